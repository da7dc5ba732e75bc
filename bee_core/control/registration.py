"""A server's registration: made, renewed, made anew when it was lost, and left.

A lease says "this node serves", so it is renewed only while the serving loop ticks. A process whose
loop hangs answers no call, although another thread of it could renew the lease for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING, Any, Literal

import attrs

from ..errors import RegistryError
from ..terms.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ..contracts.registry import Instance, Lease, Registry

EventName = Literal[
    "registered",
    "registered_again",
    "lease_lost",
    "registry_out_of_reach",
    "registry_in_reach",
    "not_deregistered",
]

_BASE = 0.2
"""Seconds, the first ceiling of the pauses between attempts to register.

A registry that restarts is back after about a second.
"""
_REVOKE_LOST = 1.0
"""Seconds granted to revoking a lost lease before the next one is made.

Some registries would refuse the next lease because of the old one.
"""
_NEARLY = 0.9
"""Of a beat: after so long without a tick the loop counts as hanging. It ticks three times a beat.

The rest of the beat is for timers that are not exact.
"""


@attrs.frozen
class RegistrationEvent:
    """What an operator should know.

    Attributes:
        name: What has happened.
        ttl: Seconds that the registration outlives its last renewal; 0 where there is none.
        reason: Why, in words; empty where nothing went wrong.
    """

    name: EventName
    ttl: float = 0.0
    reason: str = ""


class Registration:
    """Keeps one instance registered.

    It runs on one event loop, the control plane's: ``keep`` as a task of its own, ``leave`` from
    another task.

    Args:
        registry: Where.
        instance: What is announced.
        heartbeat_interval: Seconds between renewals.
        ticks: A number that grows while the serving loop runs. Called from this loop, so it must
            not need the other.
        report: Takes each event, of equal ones in a row only the first: an outage is one line and
            not one a second. Must not raise.
        rng: For the jitter of the back-off.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        registry: Registry,
        instance: Instance,
        heartbeat_interval: float,
        ticks: Callable[[], int],
        report: Callable[[RegistrationEvent], None],
        *,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._instance = instance
        self._interval = heartbeat_interval
        self._ticks = ticks
        self._report = report
        self._rng = rng or random.Random()  # noqa: S311  # jitter, not secrets
        self._clock = clock
        # Granted to one request: a beat, but never too short for a slow registry.
        self._patience = max(1.0, heartbeat_interval)
        self._backoff = Backoff(min(_BASE, heartbeat_interval), heartbeat_interval)
        self._task: asyncio.Task[None] | None = None
        self._registering: asyncio.Task[Lease] | None = None
        self._lease: Lease | None = None
        self._seen = -1
        self._seen_at = 0.0
        self._renewed = 0.0
        self._reachable = True
        self._leaving = False

    @property
    def registered(self) -> bool:
        """Whether there is a lease that is not known to be lost."""
        return self._lease is not None

    async def keep(self) -> None:
        """Register, and stay registered until :meth:`leave`, or until the task is cancelled.

        An error of the registry never ends it.
        """
        if self._leaving:
            return
        self._task = asyncio.current_task()
        name: EventName = "registered"
        try:
            while True:
                self._lease = lease = await self._register()
                self._reachable = True
                self._report(RegistrationEvent(name, lease.ttl))
                name = "registered_again"
                reason = await self._renew_until_lost(lease)
                self._lease = None
                self._report(RegistrationEvent("lease_lost", lease.ttl, reason))
                with contextlib.suppress(Exception):
                    await _within(_REVOKE_LOST, lease.revoke())
        except asyncio.CancelledError:
            if not self._leaving:
                raise

    async def leave(self, timeout: float) -> bool:
        """Stop renewing and take the registration back. Idempotent.

        Args:
            timeout: Seconds that it may take at most.

        Returns:
            Whether the registry has confirmed it, or there was nothing to take back. Otherwise the
            lease runs out by itself.
        """
        self._leaving = True
        until = self._clock() + timeout
        # A registration under way is waited for: given up, it might stand for a whole lease.
        registering = self._registering
        if registering is not None:
            await asyncio.wait((registering,), timeout=timeout)
        task = self._task
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=max(0.0, until - self._clock()))
        lease, self._lease = self._lease, None
        if lease is None and registering is not None:
            if not registering.done():
                registering.cancel()
                self._report(
                    RegistrationEvent("not_deregistered", reason="the registry did not answer")
                )
                return False
            if not registering.cancelled() and registering.exception() is None:
                lease = registering.result()
        if lease is None:
            return True
        try:
            await _within(max(0.0, until - self._clock()), lease.revoke())
        except Exception as error:
            self._report(RegistrationEvent("not_deregistered", lease.ttl, _describe(error)))
            return False
        return True

    async def _register(self) -> Lease:
        failures = 0
        while True:
            # What hangs is not announced. The other loop sets no event here.
            while not self._loop_runs():  # noqa: ASYNC110
                await asyncio.sleep(self._interval / 10)
            # The lease counts from before the request: the registry cannot begin earlier.
            self._renewed = self._clock()
            registering = self._registering = asyncio.ensure_future(
                self._registry.register(self._instance)
            )
            reason = f"no answer within {self._patience:g} s"
            try:
                await asyncio.wait((registering,), timeout=self._patience)
                if registering.done():
                    return registering.result()
            except Exception as error:
                reason = _describe(error)
            finally:
                if not self._leaving:  # otherwise `leave` looks after it
                    registering.cancel()
                    self._registering = None
            self._out_of_reach(reason)
            await asyncio.sleep(self._backoff.delay(failures, self._rng))
            failures += 1

    async def _renew_until_lost(self, lease: Lease) -> str:
        """Renew until that fails for good; returns why."""
        # A registry may shorten the lease: ZooKeeper cuts sessions to twenty of its ticks.
        beat = pause = min(self._interval, lease.ttl / 3)
        while True:
            asleep = self._clock()
            await asyncio.sleep(pause)
            now = self._clock()
            left = self._renewed + lease.ttl - now
            if left <= 0:
                return self._why_expired(overslept=now - asleep - pause > lease.ttl / 2)
            if not self._loop_runs():
                # Checked more often now: a loop that comes back just in time keeps its lease.
                pause = min(beat / 3, left)
                continue
            try:
                await _within(min(left, self._patience), lease.renew())
            except RegistryError as error:
                return _describe(error)
            except Exception as error:
                self._out_of_reach(_describe(error))
                pause = min(beat / 3, left)
            else:
                self._renewed, pause = now, beat
                if not self._reachable:
                    self._reachable = True
                    self._report(RegistrationEvent("registry_in_reach", lease.ttl))

    def _why_expired(self, *, overslept: bool) -> str:
        if overslept:
            return "the process was paused for longer than the lease"
        if not self._reachable:
            return "the registry was out of reach for longer than the lease"
        return "the serving loop has not run for longer than the lease; a handler blocks it"

    def _loop_runs(self) -> bool:
        """Whether the serving loop has ticked within the last beat, as far as this loop saw."""
        ticks, now = self._ticks(), self._clock()
        if ticks != self._seen:
            self._seen, self._seen_at = ticks, now
        return now - self._seen_at < _NEARLY * self._interval

    def _out_of_reach(self, reason: str) -> None:
        if self._reachable:
            self._reachable = False
            self._report(RegistrationEvent("registry_out_of_reach", reason=reason))


async def _within(seconds: float, request: Coroutine[Any, Any, None]) -> None:
    """Wait for a request, and raise TimeoutError when it takes too long.

    Not asyncio.wait_for: before Python 3.12 it swallows a cancellation that comes as the request
    ends, and the renewals would go on after ``leave``.
    """
    task = asyncio.ensure_future(request)
    try:
        await asyncio.wait((task,), timeout=seconds)
        if not task.done() or task.cancelled():
            raise TimeoutError(f"no answer within {seconds:g} s")
        task.result()
    finally:
        task.cancel()


def _describe(error: BaseException) -> str:
    return str(error) or type(error).__name__
