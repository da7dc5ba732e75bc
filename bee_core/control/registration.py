"""A server's registration: made, renewed, made anew when it was lost, and left.

A lease says "this node serves", so it is renewed only while the serving loop ticks. A process whose
loop hangs answers no call, although another thread of it could renew the lease for ever.

What may happen to a lease stands in ``lease_states``; this file asks and waits.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import attrs

from ..contracts.conformance import part_misfits
from ..contracts.registry import Lease
from ..terms.backoff import Backoff
from .lease_states import Event, EventName, LeaseState, State
from .renewals import Renewals, outcome, sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contracts.registry import Instance, Registry

_BEATS = 3
"""Heartbeats that a lease lasts, and so that an attempt to register may take."""
_PACE = 1.0
"""Seconds between an attempt to register that failed and the next one, at least.

An attempt is about two requests, so they stay below two a second.
"""
_OF_A_BEAT = 0.7
"""The same as a part of the heartbeat, where that is shorter: attempts stand for renewals then."""
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
        report: Takes each event. What lasts is told once: an outage is one line and not one a
            second. Must not raise.
        rng: For the jitter of pauses.
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
        # After so long without an answer the registry counts as out of reach; a slow one may still
        # answer, so an attempt goes on for as long as a lease lasts.
        self._patience = max(1.0, heartbeat_interval)
        # From the pace to a heartbeat: so soon a registry that is back has the record.
        self._pace = min(_PACE, _OF_A_BEAT * heartbeat_interval)
        longest = heartbeat_interval - self._pace
        self._backoff = Backoff(min(self._pace, longest), longest)
        self._state = LeaseState()
        self._task: asyncio.Task[None] | None = None
        self._attempt: asyncio.Future[Lease] | None = None
        # The last one that was granted; also after its time was over, until the registry says that
        # it has gone: it may stand there for longer than it counts here.
        self._lease: Lease | None = None
        self._seen = -1
        self._seen_at = 0.0
        self._why = ""
        self._leaving = False

    @property
    def state(self) -> State:
        """The state of the lease. From any thread."""
        return self._state.state

    @property
    def registered(self) -> bool:
        """Whether there is a lease that is not known to be lost."""
        return self._state.state in {"held", "unsure"}

    async def keep(self) -> None:
        """Register, and stay registered until :meth:`leave`, or until the task is cancelled.

        An error of the registry never ends it.
        """
        if self._leaving:
            return
        self._task = asyncio.current_task()
        try:
            while True:
                lease, asked = await self._register()
                self._lease = lease
                # Made before it is told: the lease counts from now on, whatever that takes.
                renewals = Renewals(lease, asked, self._interval, self._clock, self._rng)
                self._meet("granted", ttl=lease.ttl)
                event, reason = await self._renew_until_over(lease, renewals)
                if event != "time_over":
                    self._lease = None
                self._meet(event, reason, lease.ttl)
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
        attempt = self._attempt
        if attempt is not None:
            await asyncio.wait((attempt,), timeout=timeout)
        task = self._task
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=max(0.0, until - self._clock()))
        self._meet("leave")
        lease, self._lease = self._lease, None
        if attempt is not None:
            if not attempt.done():
                attempt.cancel()
                self._meet("unknown", "the registry did not answer")
                return False
            if outcome(attempt)[0] == "granted":
                lease = attempt.result()
        if lease is None:
            return True
        left = max(0.0, until - self._clock())
        revoked = sent(lease.revoke())
        await asyncio.wait((revoked,), timeout=left)
        event: Event = "unknown"
        reason = f"no answer within {left:g} s"
        if revoked.done():
            event, reason = outcome(revoked)
        else:
            revoked.cancel()
        self._meet(event, reason, lease.ttl)
        return event not in {"unknown", "refused"}

    # Registering.

    async def _register(self) -> tuple[Lease, float]:
        """A lease, and when the request was sent that gave it."""
        failures = 0
        while True:
            # What hangs is not announced. The other loop sets no event here.
            while not self._loop_runs():  # noqa: ASYNC110
                await asyncio.sleep(self._interval / 10)
            self._meet("ask")
            asked = self._clock()
            self._attempt = sent(self._registry.register(self._instance))
            try:
                event, reason = await self._answer(self._attempt)
            finally:
                if not self._leaving:  # otherwise `leave` looks after it
                    self._attempt.cancel()
            if event == "granted":
                lease = self._attempt.result()
                problem = part_misfits(lease, Lease) or ("" if lease.ttl > 0 else "ttl above 0")
                if not problem:
                    self._attempt = None
                    return lease, asked
                event, reason = "unknown", f"what register() returned does not do: {problem}"
            self._attempt = None
            self._meet(event, reason)
            await asyncio.sleep(self._pace + self._backoff.delay(failures, self._rng))
            failures += 1

    async def _answer(self, attempt: asyncio.Future[Lease]) -> tuple[Event, str]:
        """What an attempt gave. When this returns, it has ended: it is the only one under way."""
        waited = 0.0
        for until in (self._patience, _BEATS * self._patience):
            await asyncio.wait((attempt,), timeout=until - waited)
            if attempt.done():
                return outcome(attempt)
            waited = until
            self._meet("unknown", f"no answer within {waited:g} s")
        attempt.cancel()
        # A plugin that cannot be interrupted may take a while. It may still bring a lease.
        await asyncio.wait((attempt,), timeout=_BEATS * self._patience)
        if attempt.done() and not attempt.cancelled():
            return outcome(attempt)
        return "unknown", f"no answer within {waited:g} s"

    # Renewing.

    async def _renew_until_over(self, lease: Lease, renewals: Renewals) -> tuple[Event, str]:
        """Renew until the lease is over; returns the event that ended it, and why."""
        repairs = getattr(lease, "repairs", 0)
        try:
            while True:
                asleep = self._clock()
                for event, reason in await renewals.answers():
                    if event in {"lost", "taken"}:
                        return event, reason
                    if event is not None:
                        self._meet(event, reason, lease.ttl)
                before, repairs = repairs, getattr(lease, "repairs", 0)
                if repairs != before:
                    self._tell("record_repaired", "it was overwritten or removed", lease.ttl)
                now = self._clock()
                if now >= renewals.end:
                    overslept = now - asleep - renewals.pause > lease.ttl / 2
                    return "time_over", self._why_over(overslept=overslept)
                if now < renewals.due:
                    continue
                if not self._loop_runs():
                    # Checked more often now: a loop that comes back just in time keeps its lease.
                    renewals.postpone()
                elif renewals.begin():
                    self._meet("unknown", f"no answer within {renewals.beat:g} s", lease.ttl)
        finally:
            await renewals.stop()

    def _why_over(self, *, overslept: bool) -> str:
        if overslept:
            return "the process was paused for longer than the lease"
        if self._state.trouble == "registration_refused":
            return f"the registry refused renewals for longer than the lease: {self._why}"
        if self._state.trouble:
            return "the registry was out of reach for longer than the lease"
        return "the serving loop has not run for longer than the lease; a handler blocks it"

    def _loop_runs(self) -> bool:
        """Whether the serving loop has ticked within the last beat, as far as this loop saw."""
        ticks, now = self._ticks(), self._clock()
        if ticks != self._seen:
            self._seen, self._seen_at = ticks, now
        return now - self._seen_at < _NEARLY * self._interval

    # Telling.

    def _meet(self, event: Event, reason: str = "", ttl: float = 0.0) -> None:
        name = self._state.meet(event)
        self._why = reason
        if name is not None:
            self._tell(name, reason, ttl)

    def _tell(self, name: EventName, reason: str, ttl: float) -> None:
        self._report(RegistrationEvent(name, ttl, reason))
