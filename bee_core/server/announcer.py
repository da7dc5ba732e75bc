"""Announces a server in its registry: joins the registration, the control plane that runs it, and the log."""

from __future__ import annotations

import asyncio
import logging
from math import inf
from typing import TYPE_CHECKING, Any

from ..control.plane import ControlPlane
from ..control.registration import Registration
from .log_lines import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contracts.registry import Instance, Registry
    from ..control.registration import RegistrationEvent

    Run = Callable[[Callable[[], None]], object]

DEREGISTER_TIMEOUT = 2.0
"""Seconds granted to leaving the registry: one round trip to one that lives. One that does not must not hold up the drain."""
WATCH_GRACE = 0.3
"""Seconds between leaving the registry and refusing connections, in which watchers hear of it: the embedded registry tells them within 0.2 s. Serving goes on meanwhile."""
TICKS_A_BEAT = 3
"""How often the serving loop ticks in a heartbeat_interval: a tick that comes late costs no renewal."""


def at_once(line: Callable[[], None]) -> None:
    """The usual way to run what writes to the log."""
    line()


class LoopTicks:
    """Shows from outside that an event loop runs: a number that it raises from time to time.

    Args:
        interval: Seconds between ticks.
        told: Called on the loop for each tick, or None.
    """

    def __init__(self, interval: float, told: Callable[[], object] | None = None) -> None:
        self.count = 0
        self._interval = interval
        self._told = told
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, on the running loop, with a first tick."""
        self._tick(asyncio.get_running_loop())

    def stop(self) -> None:
        """End. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.count += 1
        if self._told is not None:
            self._told()
        self._timer = loop.call_later(self._interval, self._tick, loop)


class Announcer:
    """Keeps a server in its registry, on a control plane of its own, while the server serves.

    Args:
        registry: The plugin's object; closed when the server leaves.
        registry_name: For the log.
        instance: What is announced.
        heartbeat_interval: Seconds between renewals.
        ticks: A number that grows while the serving loop runs.
        run: Calls what writes to the log. The default calls it at once, on the control plane's thread.
    """

    def __init__(
        self,
        registry: Registry,
        registry_name: str,
        instance: Instance,
        heartbeat_interval: float,
        ticks: Callable[[], int],
        run: Run = at_once,
    ) -> None:
        self._registry_name = registry_name
        self._instance = instance
        self._run = run
        self._plane = ControlPlane(f"server-{instance.service}")
        self._plane.at_stop(registry.close)
        self._registration = Registration(
            registry, instance, heartbeat_interval, ticks, self._report
        )

    def start(self) -> None:
        """Register, and stay registered. Does not wait: a server serves whether or not its registry is there."""
        self._plane.spawn(self._registration.keep)

    async def leave(self) -> None:
        """Leave the registry within a bound, give watchers time to hear of it, and end the control plane. From the serving loop, which goes on meanwhile."""
        registered = self._registration.registered
        loop = asyncio.get_running_loop()
        left: asyncio.Future[bool] = loop.create_future()

        def tell(confirmed: bool) -> None:
            if not left.done():
                left.set_result(confirmed)

        async def leave() -> None:
            confirmed = False
            try:
                confirmed = await self._registration.leave(DEREGISTER_TIMEOUT)
            finally:
                loop.call_soon_threadsafe(tell, confirmed)

        self._plane.spawn(leave)
        done, _ = await asyncio.wait((left,), timeout=2 * DEREGISTER_TIMEOUT)
        if done and left.result() and registered:
            await asyncio.sleep(WATCH_GRACE)
        await self._plane.stop_async(DEREGISTER_TIMEOUT)

    def _report(self, event: RegistrationEvent) -> None:
        self._run(lambda: self._say(event))

    def _say(self, event: RegistrationEvent) -> None:
        node, where = self._instance.node, self._registry_name
        ttl = f"the lease lasts {event.ttl:g} s"
        text, level = {
            "registered": (f"registered {node.url} in {where} as {node.id}; {ttl}", logging.INFO),
            "registered_again": (
                f"registered again {node.url} in {where} as {node.id}; {ttl}",
                logging.INFO,
            ),
            "lease_lost": (
                f"lease lost in {where}: {event.reason}; registering again",
                logging.WARNING,
            ),
            "registry_out_of_reach": (
                f"registry out of reach ({where}): {event.reason}; serving goes on, and so do the attempts to reach it",
                logging.WARNING,
            ),
            "registry_in_reach": (
                f"registry in reach again ({where}); the lease was kept",
                logging.INFO,
            ),
            "not_deregistered": (
                f"not deregistered from {where}: {event.reason}; the entry runs out by itself",
                logging.WARNING,
            ),
        }[event.name]
        fields: dict[str, Any] = {
            "registry": where,
            "service": self._instance.service,
            "id": node.id,
            "url": node.url,
        }
        if 0 < event.ttl < inf:
            fields["ttl"] = event.ttl
        if event.reason:
            fields["reason"] = event.reason
        say(event.name, text, level=level, **fields)
