"""The discoveries of a client: one for each service that a registry must be watched for."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..control.cache_identity import cache_identity
from ..control.discovery import Discovery
from ..control.doubts import Doubts
from ..control.snapshot_cache import SnapshotCache
from ..terms.causes import read_timed_out

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from ..calls.service import Service
    from ..contracts.registry import Registry
    from ..control.plane import ControlPlane
    from ..nodes.outlook import Outlook
    from ..terms.failures import Failure
    from ..terms.node import Node, Snapshot
    from .assembly import Assembly

C = TypeVar("C")

PING_TIMEOUT = 1.0
"""Seconds that a node in doubt may take to answer, on an open connection and on a new one each."""
_GRACE = 1.0  # seconds that a ping, or a close, may overrun before it is given up from outside
_OPEN_AT_A_TIME = 3
"""Pings on open connections that are under way together. Those of a blocking client take a thread
each, of the few that the control plane has for files and names."""


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
        self._ask_open = ask_open
        self._places = asyncio.Semaphore(_OPEN_AT_A_TIME)
        self._doubts = Doubts(clock, rng)
        self._assembly = assembly
        self.registry: Registry | None = assembly.registry
        self._discoveries: dict[str, Discovery] = {}
        settings = assembly.registry_config
        where = ",".join(settings.address)
        cache = SnapshotCache(
            cache_identity(
                settings.protocol, settings.address, assembly.registry, assembly.registry_options
            )
        )
        for service in assembly.services.values():
            if assembly.known(service) is not None:
                continue
            discovery = Discovery(
                service.name,
                registry=self._the_registry,
                registry_name=f"{settings.protocol} at {where}" if where else settings.protocol,
                addresses=assembly.addresses(service),
                deliver=partial(deliver, service),
                ask=partial(self._ask, service),
                fits=service.nodes.directory.fits,
                objection=partial(self._objection, service),
                cache=cache,
                doubts=self._doubts,
                heartbeat_interval=settings.heartbeat_interval,
                clock=clock,
                rng=rng,
                registry_changed=service.observation.registry_changed,
                event=service.observation.event if service.observation.of_events else None,
            )
            self._discoveries[service.name] = discovery
            service.undiscovered = discovery
            service.nodes.explain_unknown = discovery.explain
            service.nodes.outlook = discovery.outlook
            service.refused = discovery.suspicion.refused
        if self._discoveries:
            plane.at_stop(self._close_registry)

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
        if (discovery := self._discoveries.get(service.name)) is not None:
            discovery.first.wait(until, until, asked=True)

    async def wait_for_report_async(self, service: Service[Any], until: float) -> None:
        """The same on an event loop."""
        await self.wait_async(service, until, until)
        if (discovery := self._discoveries.get(service.name)) is not None:
            await discovery.first.wait_async(until, until, asked=True)

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
            if service.nodes.snapshot.revision >= 0:
                service.undiscovered = discovery = None
        return discovery

    def outlook(self, service: str) -> Outlook | None:
        """How much the list of a service is worth now; None where no registry is watched for it."""
        discovery = self._discoveries.get(service)
        return None if discovery is None else discovery.outlook()

    def release(self) -> None:
        """The client closes: end the waits for a first list."""
        for discovery in self._discoveries.values():
            discovery.first.close()

    def after_fork(self) -> None:
        """In a forked child: the next call of each service discovers it anew.

        The child makes its own registry object for it.
        """
        self.registry = None
        self._doubts.after_fork()
        self._places = asyncio.Semaphore(_OPEN_AT_A_TIME)
        for name, discovery in self._discoveries.items():
            discovery.after_fork()
            service = self._assembly.services[name]
            service.undiscovered, service.refused = discovery, discovery.suspicion.refused

    def _the_registry(self) -> Registry:
        if self.registry is None:
            self.registry = self._assembly.make_registry()
        return self.registry

    async def _close_registry(self) -> None:
        if self.registry is not None:
            await self.registry.close()

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
