"""What follows when a node is cut off: it is pinged until its breaker lets calls try it again."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ..terms.backoff import Backoff
from ..terms.causes import broken_peer, read_timed_out

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from random import Random

    from ..calls.service import Service
    from ..contracts.policies import Breaker, BreakerState
    from ..contracts.transport import AsyncChannel
    from ..terms.failures import Failure
    from ..terms.node import Node

log = logging.getLogger("bee.client")

FIRST_PAUSE = 1.0
"""Seconds before the first ping, or the heartbeat interval where that is shorter.

A server that was just restarted is back by then.
"""

_GRACE = 1.0  # seconds that a ping may overrun its own timeout, before it is given up from outside


class Prober:
    """Pings nodes that were cut off, on the control plane's loop. One for each client; thread-safe.

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
        self._backoff = Backoff(min(FIRST_PAUSE, heartbeat_interval), heartbeat_interval)
        self._rng = rng
        self.tasks: dict[tuple[str, str], object] = {}
        self.pings: dict[tuple[str, str], int] = {}  # since the breaker was closed

    def breaker_changed(
        self, service: Service[Any], node: Node, before: BreakerState, after: BreakerState
    ) -> None:
        """Log that a node's breaker changed, tell the observers, and probe a node that is cut off.

        Thread-safe.
        """
        log.log(
            logging.WARNING if after == "open" else logging.INFO,
            "%s: the breaker of %s went from %s to %s%s",
            service.name,
            node,
            before,
            after,
            _MEANING[after],
        )
        service.observe_breaker(node, before, after)
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

        self._spawn(task)

    def resume(self, services: Iterable[Service[Any]]) -> None:
        """Probe all nodes that are cut off; for a forked child, which has no task of its parent."""
        for service in services:
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
            if state is None or state.breaker is not breaker:
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
