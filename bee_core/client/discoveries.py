"""The discoveries of a client: one for each service that a registry must be watched for."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from ..control.cache_identity import cache_identity
from ..control.discovery import Discovery
from ..control.doubts import Doubts
from ..control.snapshot_cache import SnapshotCache
from ..terms.causes import read_timed_out
from .searches import Found, Search, Source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from random import Random

    from ..calls.service import Service
    from ..config import RegistryConfig
    from ..contracts.registry import Registry
    from ..control.plane import ControlPlane
    from ..nodes.outlook import Outlook
    from ..terms.failures import Failure
    from ..terms.node import Node, Snapshot
    from .assembly import Assembly
    from .draft import Draft

C = TypeVar("C")

PING_TIMEOUT = 1.0
"""Seconds that a node in doubt may take to answer, on an open connection and on a new one each."""
_GRACE = 1.0  # seconds that a ping, or a close, may overrun before it is given up from outside
_OPEN_AT_A_TIME = 3
"""Pings on open connections that are under way together. Those of a blocking client take a thread
each, of the few that the control plane has for files and names."""


_LEAVING = 30.0
"""Seconds that a discovery whose service was replaced goes on for calls that wait for its nodes."""
_ENDING = 2.0  # seconds for a watch that is cancelled


class Discoveries(Generic[C]):
    """Finds the nodes of a client's services, each from its first call on.

    Args:
        assembly: The client's parts.
        plane: Where the watches run.
        deliver: Hands a snapshot to a service, wherever the client makes its channels.
        ask_open: Pings on a connection of a channel that is open, within some seconds; None where
            there is none.
        clock: Seconds, monotonic.
        rng: For jitter.
    """

    def __init__(
        self,
        assembly: Assembly[C],
        plane: ControlPlane,
        deliver: Callable[[Service[C], Snapshot], None],
        ask_open: Callable[[C, float], Awaitable[str | Failure | None]],
        *,
        clock: Callable[[], float],
        rng: Random,
    ) -> None:
        self._plane = plane
        self._deliver = deliver
        self._ask_open = ask_open
        self._places = asyncio.Semaphore(_OPEN_AT_A_TIME)
        self._clock = clock
        self._rng = rng
        self._doubts = Doubts(clock, rng)
        self._assembly = assembly
        self._current: dict[str, Search[C]] = {}
        self._leaving: set[Search[C]] = set()
        self._source = self._make_source(assembly.registry, assembly.registry_config)
        found = Found[C](self._source)
        for service in assembly.services.values():
            self._look(service, assembly.registry, None, found)
        self.adopt(found)
        plane.at_stop(self._close_registries)

    @property
    def registry(self) -> Registry | None:
        """The registry's object; None in a forked child that has not asked for it yet."""
        return self._source.registry

    # Another configuration.

    def prepare(self, draft: Draft[C]) -> Found[C]:
        """How the nodes of a draft's new services will be found. Changes nothing. No I/O.

        A service goes on with the nodes that the one before it knew, where both have them of the
        same registry.
        """
        source, before = self._source, self._assembly.services
        if draft.registry is not self._assembly.registry:
            source, before = self._make_source(draft.registry, draft.registry_config), {}
        found = Found[C](source)
        for service in draft.fresh:
            self._look(service, draft.registry, before.get(service.name), found)
        return found

    def adopt(self, found: Found[C], gone: Iterable[Service[C]] = ()) -> list[Search[C]]:
        """Have services be found so from now on.

        Args:
            found: What :meth:`prepare` has returned.
            gone: The services that leave.

        Returns:
            Their discoveries, for :meth:`retire`.
        """
        leaving = set(gone)
        before = {
            name: search for name, search in self._current.items() if search.service in leaving
        }
        self._source = found.source
        for name in before:
            del self._current[name]
        for search in found.searches:
            service, discovery = search.service, search.discovery
            self._current[service.name] = search
            service.nodes.explain_unknown = discovery.explain
            service.nodes.outlook = discovery.outlook
            service.undiscovered, service.refused = discovery, discovery.suspicion.refused
            if discovery.known is None:
                continue
            service.nodes.apply(discovery.known)
            heir = before.get(service.name)
            if heir is not None and heir.discovery.handle is not None:
                with contextlib.suppress(RuntimeError):  # no thread: the next call tries again
                    discovery.start(self._plane)
        return list(before.values())

    def retire(self, searches: Iterable[Search[C]]) -> None:
        """Others take the place of these. Calls may still wait for their nodes."""
        for search in searches:
            self._leaving.add(search)
            if search.discovery.handle is not None:
                self._leave(search)

    def _look(
        self, service: Service[C], registry: Registry, heir: Service[C] | None, found: Found[C]
    ) -> None:
        """Add how one service is found. ``heir`` is the service whose place it takes, or None."""
        snapshot = self._assembly.known(service, registry)
        if snapshot is not None:
            found.known[service] = snapshot
            return
        known = None if heir is None else heir.nodes.snapshot
        if known is not None and (known.revision < 0 or known.source == "address"):
            known = None
        source = found.source
        discovery = Discovery(
            service.name,
            registry=source.get,
            registry_name=source.name,
            addresses=self._assembly.addresses(service),
            deliver=partial(self._deliver, service),
            ask=partial(self._ask, service),
            fits=service.nodes.directory.fits,
            objection=partial(self._objection, service),
            choose=partial(self._assembly.choose, service),
            cache=source.cache,
            doubts=self._doubts,
            heartbeat_interval=source.heartbeat_interval,
            clock=self._clock,
            rng=self._rng,
            registry_changed=service.observation.registry_changed,
            event=service.observation.event if service.observation.of_events else None,
            known=None if known is None else attrs.evolve(known, revision=0, changes=None),
        )
        found.searches.append(Search(service, discovery, source))

    def _make_source(self, registry: Registry, section: RegistryConfig) -> Source:
        where = ",".join(section.address)
        options = partial(self._assembly.registry_options, section)
        return Source(
            registry,
            self._assembly.make_registry,
            f"{section.protocol} at {where}" if where else section.protocol,
            SnapshotCache(cache_identity(section.protocol, section.address, registry, options)),
            section.heartbeat_interval,
        )

    def _leave(self, search: Search[C]) -> None:
        with contextlib.suppress(RuntimeError):  # the system gives no thread: nothing runs there
            self._plane.spawn(partial(self._end, search))

    async def _end(self, search: Search[C]) -> None:
        """End a discovery, once no call waits for it any more."""
        try:
            if search.service.undiscovered is not None:
                until = self._clock() + _LEAVING
                await search.discovery.first.wait_async(until, until)
        finally:
            search.discovery.suspicion.end()
            if search.discovery.handle is not None:
                await search.discovery.handle.end(_ENDING)
            self._leaving.discard(search)
            left = {self._source, *(other.source for other in self._leaving)}
            if search.source not in left:
                await search.source.close()

    def wait(self, service: Service[C], began: float, until: float) -> None:
        """Wait for the first nodes of a service, then go on with what is known.

        It returns as well when the client is closed.

        Args:
            service: The service, at its first call.
            began: When the call began.
            until: Its deadline. Some of its time is left for the call itself.
        """
        discovery = self._begin(service)
        if discovery is not None and not discovery.first.wait(began, until):
            discovery.fall_back()

    async def wait_async(self, service: Service[Any], began: float, until: float) -> None:
        """The same on an event loop."""
        discovery = self._begin(service)
        if discovery is not None and not await discovery.first.wait_async(began, until):
            discovery.fall_back()

    def wait_for_report(self, service: Service[C], until: float) -> None:
        """As :meth:`wait`, and until the nodes in question were asked; it may take all the time."""
        # As a call that begins when the wait ends: a report needs no time after it.
        self.wait(service, until, until)
        if (search := self._current.get(service.name)) is not None:
            search.discovery.first.wait(until, until, asked=True)

    async def wait_for_report_async(self, service: Service[Any], until: float) -> None:
        """The same on an event loop."""
        await self.wait_async(service, until, until)
        if (search := self._current.get(service.name)) is not None:
            await search.discovery.first.wait_async(until, until, asked=True)

    def _begin(self, service: Service[C]) -> Discovery | None:
        """Start the discovery of a service.

        Returns:
            What to wait for. None where nodes are known: there is nothing to discover, or a forked
            child goes on with its parent's list.
        """
        discovery: Discovery | None = service.undiscovered
        if discovery is not None:
            try:
                discovery.start(self._plane)
            except RuntimeError:  # the system gives no thread: go on with what is known
                discovery.fall_back()
                return None
            for search in tuple(self._leaving):
                if search.discovery is discovery:  # it was not running when it was replaced
                    self._leave(search)
            if service.nodes.snapshot.revision >= 0:
                service.undiscovered = discovery = None
        return discovery

    def outlook(self, service: str) -> Outlook | None:
        """How much the list of a service is worth now; None where no registry is watched for it."""
        search = self._current.get(service)
        return None if search is None else search.discovery.outlook()

    def release(self) -> None:
        """The client closes: end the waits for a first list."""
        for search in (*self._current.values(), *tuple(self._leaving)):
            search.discovery.first.close()

    def after_fork(self) -> None:
        """In a forked child: the next call of each service discovers it anew.

        The child makes its own registry object for it.
        """
        self._source.registry = None
        self._leaving.clear()
        self._doubts.after_fork()
        self._places = asyncio.Semaphore(_OPEN_AT_A_TIME)
        for search in self._current.values():
            service, discovery = search.service, search.discovery
            discovery.after_fork()
            service.undiscovered, service.refused = discovery, discovery.suspicion.refused

    async def _close_registries(self) -> None:
        for source in {self._source, *(search.source for search in self._leaving)}:
            await source.close()

    async def _ask(self, service: Service[C], node: Node) -> str | Failure:
        """How a node in doubt says that it is.

        A connection that is open is asked first: a node that is full serves those that it knows. An
        open connection that fails proves nothing, since servers end idle ones.
        """
        state = service.nodes.states.get(node.id)
        if state is not None and state.attempt is not None and state.node.url == node.url:
            with contextlib.suppress(Exception):  # a transport's; it proves nothing either
                async with self._places:
                    answer = await self._ask_open(state.attempt.channel, PING_TIMEOUT)
                if isinstance(answer, str):
                    return answer
        channel = self._assembly.async_channel(service, node)
        try:
            return await asyncio.wait_for(channel.ping(PING_TIMEOUT), PING_TIMEOUT + _GRACE)
        except (TimeoutError, asyncio.TimeoutError):
            return read_timed_out(PING_TIMEOUT, full=True)
        finally:
            with contextlib.suppress(Exception):  # a transport's, or too late: the answer counts
                await asyncio.wait_for(channel.close(), _GRACE)

    def _objection(self, service: Service[C], node: Node) -> str:
        """Why the client cannot call a node at all; empty if it can."""
        try:
            return self._assembly.unfit(service, node.url)
        except Exception as error:  # of what parses it, or a transport's: a bad entry, no more
            return f"{str(node.url)[:80]!r}: {error}"


def on_loop(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Call a function on a loop, from any thread."""
    with contextlib.suppress(RuntimeError):  # a loop that was closed has nobody to tell
        loop.call_soon_threadsafe(function)
