"""One service's nodes, as its registry names them, for as long as a client lives.

Sources in order: the registry, the list kept on disk, the addresses of the configuration. A lower
one is used only until a higher one has spoken. An outage of the registry changes nothing for calls:
the last list stays, and the watch begins again with back-off until the registry is back.
"""

from __future__ import annotations

import asyncio
import logging
from threading import Event, Lock
from typing import TYPE_CHECKING

from ..errors import RegistryError
from ..terms.backoff import Backoff
from ..terms.node import Changes, Node, Snapshot, Source
from .empty_list import EmptyListGuard
from .snapshot_cache import CacheWriter, SnapshotCache
from .watch import watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from random import Random

    from ..contracts.registry import Registry
    from .plane import ControlPlane, Handle

log = logging.getLogger("bee.client")

PATIENCE = 1.0
"""Seconds that first calls wait for the registry's first answer.

Many times what a registry takes, and less than a user notices as an outage.
"""

RETRY_FIRST = 0.2
"""Seconds, the first ceiling of the pause before a watch begins again.

A registry that restarts is back within seconds, and its clients should not all come at once.
"""


class Discovery:
    """Watches one service on the control plane and hands on each list of its nodes.

    Thread-safe: first calls wait on their own threads. Snapshots get revisions of this object's
    own, because a registry that restarts begins its revisions anew.

    Args:
        service: The service's name.
        registry: The registry; called on the plane when the watch begins.
        registry_name: For messages: ``local``, ``etcd3 at 10.0.0.1:2379``.
        addresses: The nodes that the configuration names.
        deliver: Takes each snapshot, on the plane's thread or a first call's. Must not block.
        answers: Tells whether a node answers a ping as serving; called on the plane's loop.
        objection: Why a node cannot be called at all (an unreadable url, a scheme without a
            transport); empty when it can.
        cache: The lists on disk.
        heartbeat_interval: Seconds; bounds the pause between attempts to reach the registry.
        clock: Seconds, monotonic.
        rng: For jitter.
    """

    def __init__(
        self,
        service: str,
        *,
        registry: Callable[[], Registry],
        registry_name: str,
        addresses: tuple[Node, ...],
        deliver: Callable[[Snapshot], None],
        answers: Callable[[Node], Awaitable[bool]],
        objection: Callable[[Node], str],
        cache: SnapshotCache,
        heartbeat_interval: float,
        clock: Callable[[], float],
        rng: Random,
    ) -> None:
        self.service = service
        self._registry = registry
        self._registry_name = registry_name
        self._addresses = addresses
        self._deliver = deliver
        self._answers = answers
        self._objection = objection
        self._cache = cache
        self._heartbeat = heartbeat_interval
        self._backoff = Backoff(RETRY_FIRST, max(RETRY_FIRST, heartbeat_interval))
        self._clock = clock
        self._rng = rng
        self._revision = 0
        self._current: Snapshot | None = None
        self._warned = False
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the watch, which is the parent's in a forked child. The list stays.

        The next :meth:`start` begins anew.
        """
        self._lock = Lock()
        self._known = Event()
        if self._current is not None:
            self._known.set()
        self._callbacks: list[Callable[[], None]] = []
        self._handle: Handle | None = None
        self._begun = 0.0
        self._heard_revision: int | None = None
        self._remembered: tuple[Node, ...] = ()
        self._writer = CacheWriter(self._cache, self.service)
        self._guard = EmptyListGuard(
            self.service,
            self._registry_name,
            answers=self._answers,
            publish=self._publish,
            heartbeat_interval=self._heartbeat,
            clock=self._clock,
        )
        self._trouble: Exception | None = None

    # For first calls, on their threads.

    def start(self, plane: ControlPlane) -> None:
        """Begin to watch, once. Does not wait."""
        with self._lock:
            if self._handle is None:
                self._begun = self._clock()
                self._handle = plane.spawn(self._run)

    def patience(self) -> float:
        """Seconds that a call may still wait for the first list; 0 when the time is over."""
        return max(0.0, self._begun + PATIENCE - self._clock())

    def wait(self, seconds: float) -> bool:
        """Wait until nodes are known, or the registry has said that there are none.

        All first calls wait for the same answer.

        Returns:
            False when the time is over.
        """
        return self._known.wait(seconds)

    def when_known(self, callback: Callable[[], None]) -> None:
        """Call back once, from any thread, as soon as :meth:`wait` would return True."""
        with self._lock:
            if not self._known.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def fall_back(self) -> None:
        """Use the list on disk, else the configured addresses, until the registry answers."""
        with self._lock:
            if self._current is not None:
                return
            source: Source = "cache" if self._remembered else "address"
            nodes = self._remembered or self._addresses
            if not nodes:
                return
            snapshot = self._next(source, nodes)
        self._hand_on(snapshot)

    def release(self) -> None:
        """Wake all that wait: nodes are known, or the client closes."""
        with self._lock:
            self._known.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def explain(self) -> str:
        """Why no node is known, and what to do, for a call that finds none."""
        said = (
            "has not answered yet"
            if self._trouble is None
            else f"is out of reach ({_said(self._trouble)})"
        )
        return (
            f"the registry {self._registry_name} {said}, no list of it is kept on disk in "
            f"{self._cache.folder}, and bee.rpc.client.{self.service}.address names no node. "
            "Start the registry, correct bee.rpc.registry.address, "
            "or set an address as the last resort"
        )

    @property
    def trouble(self) -> str:
        """Why the registry is not heard at present; empty while it is."""
        return "" if self._trouble is None else _said(self._trouble)

    # On the control plane.

    async def _run(self) -> None:
        try:
            await self._recall()
            failures = 0
            while True:
                since = self._clock()
                try:
                    await watch(self._registry(), self.service, self._heard)
                    error: Exception = RegistryError("the watch ended")
                except Exception as caught:  # a plugin's; whatever it is, bee asks again
                    error = caught
                if self._clock() - since > self._backoff.cap:
                    failures = 0
                self._lost(error)
                # Half of the pause is fixed: a registry may refuse at once each time.
                ceiling = self._backoff.ceiling(failures)
                await asyncio.sleep(ceiling / 2 + self._rng.random() * ceiling / 2)
                failures += 1
        finally:
            self._guard.stop()
            await self._writer.finish()

    async def _recall(self) -> None:
        loop = asyncio.get_running_loop()
        nodes = self._sound(await loop.run_in_executor(None, self._cache.load, self.service))
        with self._lock:
            self._remembered = self._writer.saved = nodes
            # A very impatient first call may have taken the addresses already.
            if not nodes or self._current is None or self._current.source != "address":
                return
            snapshot = self._next("cache", nodes)
        self._hand_on(snapshot)

    def _heard(self, snapshot: Snapshot) -> None:
        if self._trouble is not None:
            self._trouble = None
            log.info(
                "the registry %s is back: it lists %s of %s",
                self._registry_name,
                _count(snapshot.nodes),
                self.service,
            )
        changes = self._own_changes(snapshot)
        nodes = snapshot.nodes if changes is not None else self._sound(snapshot.nodes)
        # Changes count only from a list that was taken over whole.
        whole = nodes and len(nodes) == len(snapshot.nodes)
        self._heard_revision = snapshot.revision if whole else None
        current = self._current
        if nodes:
            self._guard.stop()
            self._publish(nodes, changes)
            self._writer.save(nodes)
        elif current is None or not current.nodes:
            self._publish(())
        else:
            self._guard.hold(current.nodes)

    def _own_changes(self, snapshot: Snapshot) -> Changes | None:
        """What changed, in this object's revisions; None where the whole list must be read."""
        changes, current = snapshot.changes, self._current
        if (
            changes is None
            or current is None
            or changes.since != self._heard_revision
            or not snapshot.nodes
            or len(self._sound(changes.put)) < len(changes.put)
        ):
            return None
        return Changes(current.revision, changes.put, changes.gone)

    def _lost(self, error: Exception) -> None:
        first = self._trouble is None
        self._trouble = error
        self.fall_back()  # no use in waiting on where something is known
        if first:
            current = self._current
            rest = (
                f"calls go on with {_count(current.nodes)} known from the {current.source}"
                if current is not None and current.nodes
                else "no node is known"
            )
            log.warning(
                "the registry %s is out of reach for %s: %s; %s",
                self._registry_name,
                self.service,
                _said(error),
                rest,
            )

    def _sound(self, nodes: Iterable[Node]) -> tuple[Node, ...]:
        """The nodes that can be called at all: a bad entry must not cost the good ones."""
        sound = []
        for node in nodes:
            reason = self._objection(node)
            if not reason:
                sound.append(node)
            elif not self._warned:
                self._warned = True
                log.warning(
                    "a node of %s is left out: %s (said once; bee nodes lists the others)",
                    self.service,
                    reason,
                )
        return tuple(sound)

    def _publish(self, nodes: tuple[Node, ...], changes: Changes | None = None) -> None:
        with self._lock:
            current = self._current
            if current is not None and current.source == "registry" and current.nodes == nodes:
                return  # nothing new: the watch began again
            snapshot = self._next("registry", nodes, changes)
        self._hand_on(snapshot)

    def _next(
        self, source: Source, nodes: tuple[Node, ...], changes: Changes | None = None
    ) -> Snapshot:
        self._revision += 1
        self._current = Snapshot(self._revision, source, nodes, changes)
        return self._current

    def _hand_on(self, snapshot: Snapshot) -> None:
        try:
            self._deliver(snapshot)
        except Exception as error:  # of a balancer or a transport; the next list may do
            log.warning(
                "the nodes of %s could not be taken over: %s",
                self.service,
                _said(error),
                exc_info=error,
            )
        self.release()


def _count(nodes: tuple[Node, ...]) -> str:
    return "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, RegistryError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
