"""A registry's watch of one service: for ever, and whatever the plugin's iterator does."""

from __future__ import annotations

import asyncio
import contextlib
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import RegistryError
from ..terms.backoff import Backoff
from ..terms.loggers import logger
from ..terms.printable import brief, counted, printable, text_of
from .registry_states import Hearing, RegistryEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from random import Random

    from ..contracts.registry import Registry
    from ..terms.node import Snapshot
    from .snapshot_cache import SnapshotCache

log = logger("bee.client")

RETRY_FIRST = 0.2
"""Seconds, the first ceiling of the pause before a watch begins again.

A registry that restarts is back within seconds, and its clients should not all come at once.
"""

FIRST_ANSWER = 5.0
"""Seconds after which a watch that has said nothing is given up, as on a connection that hangs."""

LONGEST_FIRST_ANSWER = 20.0
"""Seconds, the same for a registry that was too slow before: each attempt gets twice as long."""

SILENCES = 3
"""A watch that is silent for so many times its patience is given up, and begun anew."""

_CANCELLING = 1.0
"""Seconds that an iterator may take to end when it is cancelled."""


class RegistryWatch:
    """Watches one service, again and again, and knows whether the registry is heard.

    :meth:`run` is for the control plane's loop; the rest may be read from any thread.

    Args:
        service: The service's name.
        registry: The registry; called when a watch begins.
        registry_name: For messages.
        heard: Takes each snapshot, and the one before it in the same watch or None.
        lost: Told when the watch has failed, and why; or, with None, that it is silent.
        in_use: Says what calls go on with, for the log.
        heartbeat_interval: Seconds; bounds the pause between attempts to reach the registry.
        clock: Seconds, monotonic.
        rng: For jitter.
        registry_changed: Is told as the registry goes out of reach and comes back.

    Attributes:
        hearing: What the registry is at present.
        refused_at: When it began to refuse; None while it does not.
    """

    def __init__(
        self,
        service: str,
        *,
        registry: Callable[[], Registry],
        registry_name: str,
        heard: Callable[[Snapshot, Snapshot | None], None],
        lost: Callable[[Exception | None], None],
        in_use: Callable[[], str],
        heartbeat_interval: float,
        clock: Callable[[], float],
        rng: Random,
        registry_changed: Callable[[str, str, str], None],
    ) -> None:
        self._service = service
        self._registry = registry
        self._registry_name = registry_name
        self._heard = heard
        self._lost = lost
        self._in_use = in_use
        self._backoff = Backoff(RETRY_FIRST, max(RETRY_FIRST, heartbeat_interval))
        self._clock = clock
        self._rng = rng
        self._registry_changed = registry_changed
        self._error: Exception | None = None
        self._last: Snapshot | None = None  # of this watch
        self.hearing = Hearing()
        self.refused_at: float | None = None

    @property
    def trouble(self) -> str:
        """Why the registry is not heard at present; empty while it is."""
        error, since = self._error, self.hearing.silent_since
        if error is not None:
            return said(error)
        return "" if since is None else f"it has said nothing for {self._clock() - since:.0f} s"

    @property
    def said(self) -> str:
        """How the registry is, to stand behind its name."""
        if not (trouble := self.trouble):
            return "has not answered yet" if self.hearing.heard_at is None else "answers"
        verb = "refuses to answer" if self.hearing.state == "refusing" else "is out of reach"
        return f"{verb} ({trouble})"

    async def run(self) -> NoReturn:
        """Watch, until cancelled."""
        failures = 0
        while True:
            since = self._clock()
            error = await self._once(failures)
            if self._clock() - since > self._backoff.cap and self._last is not None:
                failures = 0
            self._fail(error)
            # Half of the pause is fixed: a registry may refuse at once each time.
            ceiling = self._backoff.ceiling(failures)
            await asyncio.sleep(ceiling / 2 + self._rng.random() * ceiling / 2)
            failures += 1

    async def _once(self, failures: int) -> Exception:
        """Watch until it ends. Returns why it did."""
        self._last = None
        try:
            registry = self._registry()
            self.hearing.expect(confirms_every(registry))
            await watch(
                registry,
                self._service,
                self._take,
                lambda: self._fail(None),
                first=min(FIRST_ANSWER * 2 ** min(failures, 8), LONGEST_FIRST_ANSWER),
                patience=self.hearing.patience,
            )
        except Exception as error:  # a plugin's; whatever it is, bee asks again
            return error

    def _take(self, snapshot: Snapshot) -> None:
        self._error = self.refused_at = None
        if self.hearing.on("heard", self._clock()):
            listed = counted(len(snapshot.nodes), "node")
            log.info(
                "the registry %s is back: it lists %s of %s",
                self._registry_name,
                listed,
                self._service,
            )
            self._registry_changed(self._service, "registry_in_reach", "")
        last, self._last = self._last, snapshot
        self._heard(snapshot, last)

    def _fail(self, error: Exception | None) -> None:
        """The watch has failed, or is silent."""
        event: RegistryEvent = "silence" if error is None else "lost"
        if not isinstance(error, RegistryError):
            self.refused_at = None
        else:
            event = "refused"
            self.refused_at = self._clock() if self.refused_at is None else self.refused_at
        self._error = error
        changed = self.hearing.on(event, self._clock())
        self._lost(error)
        if changed:
            verb = "refuses to answer" if event == "refused" else "is out of reach"
            log.warning(
                "the registry %s %s for %s: %s; %s",
                self._registry_name,
                verb,
                self._service,
                self.trouble,
                self._in_use(),
                extra={"bee_event": "registry_out_of_reach"},
            )
            self._registry_changed(self._service, "registry_out_of_reach", self.trouble)


def confirms(last: Snapshot | None, snapshot: Snapshot) -> bool:
    """Whether a snapshot says the same as the one before."""
    if last is None or snapshot is last:
        return last is not None
    return snapshot.revision == last.revision and snapshot.nodes == last.nodes


def said(error: Exception) -> str:
    """An error in one printable line."""
    plain = isinstance(error, (RegistryError, WatchEnded))
    return printable(text_of(error)) if plain else brief(error)


class WatchEnded(ConnectionError):
    """A watch is over that should have gone on. It says nothing of the registry."""


def confirms_every(registry: Registry) -> float | None:
    """How often a registry confirms its list, in seconds; None where it does not say."""
    seconds: Any = getattr(registry, "confirms_every", None)
    usable = isinstance(seconds, (int, float)) and isfinite(seconds) and seconds > 0
    return float(seconds) if usable else None


async def watch(
    registry: Registry,
    service: str,
    heard: Callable[[Snapshot], None],
    silent: Callable[[], None],
    *,
    first: float,
    patience: float | None,
) -> NoReturn:
    """Hand on each snapshot of a service, until the watch fails.

    Args:
        registry: Whose watch.
        service: The service's name.
        heard: Takes each snapshot, confirmations too.
        silent: Called when nothing has come for as long as ``patience``.
        first: Seconds for the first snapshot.
        patience: Seconds between two snapshots; None where the registry confirms nothing.

    Raises:
        TimeoutError: The first snapshot did not come in time, or none came for too long.
        WatchEnded: The plugin's iterator ended, or was cancelled from inside.
        Exception: What the plugin's iterator raised.
    """
    snapshots: Any = registry.watch(service)
    try:
        heard(await _next_snapshot(snapshots, first, lambda: None, 1))
        while True:
            heard(await _next_snapshot(snapshots, patience, silent, SILENCES))
    finally:
        with contextlib.suppress(Exception):  # an iterator that is no generator has no aclose
            await snapshots.aclose()


async def _next_snapshot(
    snapshots: AsyncIterator[Snapshot],
    patience: float | None,
    silent: Callable[[], None],
    times: int,
) -> Snapshot:
    # A task of its own, so that a plugin's internal cancellation is not taken for ours.
    task = asyncio.ensure_future(_advance(snapshots))
    try:
        for _ in range(times):
            await asyncio.wait((task,), timeout=patience)
            if task.done():
                break
            silent()
        else:
            raise TimeoutError(f"it said nothing within {times * (patience or 0.0):g} s")
    except BaseException:
        task.cancel()
        await asyncio.wait((task,), timeout=_CANCELLING)
        raise
    if task.cancelled():
        raise WatchEnded("the watch was cancelled from inside")
    snapshot = task.result()
    if snapshot is None:
        raise WatchEnded("the watch ended")
    return snapshot


async def _advance(snapshots: AsyncIterator[Snapshot]) -> Snapshot | None:
    # A task cannot end with StopAsyncIteration's cousin StopIteration, so the end is a value.
    try:
        return await snapshots.__anext__()
    except StopAsyncIteration:
        return None


def nothing_known(registry: str, said: str, cache: SnapshotCache, service: str) -> str:
    """Why no node of a service is known, and what to do.

    Args:
        registry: The registry's name.
        said: How it is.
        cache: The lists on disk.
        service: The service's name.
    """
    return (
        f"the registry {registry} {said}, no list of it is kept on disk "
        f"in {cache.folder}, and bee.rpc.client.{service}.address names no node. "
        "Start the registry, correct bee.rpc.registry.address, "
        "or set an address as the last resort"
    )
