"""Cares for the breakers of a client: pings nodes that are cut off, and sweeps what is due."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from ..terms.backoff import Backoff
from ..terms.causes import broken_peer, read_timed_out
from ..terms.loggers import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from random import Random

    from ..calls.service import Service
    from ..contracts.channels import AsyncChannel
    from ..contracts.policies import Breaker, BreakerState
    from ..terms.failures import Failure
    from ..terms.node import Node

log = logger("bee.client")

FIRST_PAUSE = 1.0
"""Seconds before the first ping, or the heartbeat interval where that is shorter.

A server that was just restarted is back by then.
"""

_GRACE = 1.0  # seconds that a ping may overrun its own timeout, before it is given up from outside


class Prober:
    """Pings nodes that were cut off, on the control plane's loop. One for each client; thread-safe.

    It also sweeps the breakers of a service at the times that they ask for, from the service's
    first call on.

    The pauses double from :data:`FIRST_PAUSE` to the heartbeat interval, with jitter. They go on
    growing for a node that answers pings, is tried and fails again, such as one whose calls hang.
    They begin anew once its breaker has closed. No task is left for a node that is not cut off, or
    not in the list any more.

    Args:
        spawn: Starts a task on the control plane's loop, from any thread; takes what makes the
            coroutine. The plane cancels it when the client closes.
        open_channel: Makes a channel to a node of a service, on the loop that runs.
        heartbeat_interval: Seconds, the longest pause.
        rng: For jitter.
    """

    def __init__(
        self,
        spawn: Callable[[Callable[[], Coroutine[Any, Any, None]]], object],
        open_channel: Callable[[Service[Any], Node], AsyncChannel],
        *,
        heartbeat_interval: float,
        rng: Random,
    ) -> None:
        self._spawn = spawn
        self._open_channel = open_channel
        self.pace(heartbeat_interval)
        self._rng = rng
        self.tasks: dict[tuple[str, str], object] = {}
        self.swept: set[Service[Any]] = set()  # those that a task sweeps
        self.pings: dict[tuple[str, str], int] = {}  # since the breaker was closed

    def pace(self, heartbeat_interval: float) -> None:
        """Take another heartbeat interval, in seconds."""
        self._backoff = Backoff(min(FIRST_PAUSE, heartbeat_interval), heartbeat_interval)

    def watch(self, service: Service[Any]) -> None:
        """Take care of the breakers of a service. While the client is built: starts no task."""
        service.nodes.on_breaker_change = partial(self.breaker_changed, service)
        if service.nodes.sweep(service.clock()) is not None:
            service.nodes.on_connect = partial(self.sweep, service)

    def sweep(self, service: Service[Any]) -> None:
        """Sweep the breakers of a service from now on. From any thread; once is enough."""
        if service not in self.swept:
            self.swept.add(service)
            self._spawn(lambda: self._sweep(service))

    async def _sweep(self, service: Service[Any]) -> None:
        due = service.nodes.sweep(service.clock())
        while due is not None and not service.nodes.retired:
            await asyncio.sleep(due - service.clock())
            due = service.nodes.sweep(service.clock())
        self.swept.discard(service)

    def breaker_changed(
        self, service: Service[Any], node: Node, before: BreakerState, after: BreakerState
    ) -> None:
        """Log that a node's breaker changed, tell the observers, and probe a node that is cut off.

        Thread-safe.
        """
        why = service.nodes.why_cut_off(node.id, service.clock()) if after == "open" else ""
        log.log(
            logging.WARNING if after == "open" else logging.INFO,
            "%s: the breaker of %s went from %s to %s%s%s",
            service.name,
            node,
            before,
            after,
            _MEANING[after],
            f"; why: {why}" if why else "",
        )
        service.observation.breaker_changed(service.name, node, before, after)
        if after == "open":
            self.probe(service, node)
        elif after == "closed":
            self.pings.pop((service.name, node.id), None)

    def probe(self, service: Service[Any], node: Node) -> None:
        """Ping a node until its breaker is not open. From any thread."""
        state = service.nodes.states.get(node.id)
        if state is None or state.breaker is None:
            return
        breaker = state.breaker
        key = (service.name, node.id)
        # The newest task goes on: an older one may be about to end, too late to take this over.
        token = self.tasks[key] = object()

        async def task() -> None:
            try:
                await self._probe(service, node, breaker, key, token)
            finally:
                if self.tasks.get(key) is token:
                    del self.tasks[key]

        try:
            self._spawn(task)
        except RuntimeError as error:  # the system gives no thread; a later change tries again
            self.tasks.pop(key, None)
            log.warning("%s: %s cannot be pinged now: %s", service.name, node, error)

    def resume(self, services: Iterable[Service[Any]]) -> None:
        """Probe all nodes that are cut off; for a forked child, which has no task of its parent."""
        self.swept.clear()
        for service in services:
            if service.nodes.on_connect is not None and service.nodes.connected:
                self.sweep(service)
            for state in service.nodes.cut_off():
                self.probe(service, state.node)

    async def _probe(
        self,
        service: Service[Any],
        node: Node,
        breaker: Breaker,
        key: tuple[str, str],
        token: object,
    ) -> None:
        while True:
            await asyncio.sleep(self.pause(self.pings.get(key, 0)))
            state = service.nodes.states.get(node.id)
            if state is None or state.breaker is not breaker or service.nodes.retired:
                if self.tasks.get(key) is token:
                    self.pings.pop(key, None)
                return
            if not _is_open(breaker) or self.tasks.get(key) is not token:
                return
            self.pings[key] = self.pings.get(key, 0) + 1
            answer = await self._ping(service, state.node)
            # A node that drains is about to leave, so it does not come back.
            service.nodes.probed(node.id, breaker, answer == "serving", service.clock())
            if not _is_open(breaker):
                return
            log.debug("%s: %s stays cut off: %s", service.name, node, answer)

    def pause(self, index: int) -> float:
        """Seconds before a ping: from half of the ceiling to all of it.

        So pauses grow, and clients that lost a node at one moment do not ping in step.
        """
        return self._backoff.ceiling(index) * (0.5 + 0.5 * self._rng.random())

    async def _ping(self, service: Service[Any], node: Node) -> str | Failure:
        timeout = service.config.connect_timeout
        try:
            channel = self._open_channel(service, node)
            try:
                return await asyncio.wait_for(channel.ping(timeout), timeout + _GRACE)
            finally:
                await asyncio.wait_for(channel.close(), _GRACE)
        except (TimeoutError, asyncio.TimeoutError):
            return read_timed_out(timeout, full=True)
        except Exception as error:  # whatever a transport does, the node stays to be probed
            return broken_peer(error)


def _is_open(breaker: Breaker) -> bool:
    return breaker.state == "open"


_MEANING: dict[BreakerState, str] = {
    "open": ": it is cut off, and pinged until it answers",
    "half-open": ": it answers pings, and is tried with one call at a time",
    "closed": ": it is back",
}
