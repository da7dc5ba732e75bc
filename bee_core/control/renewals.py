"""The renewals of one lease: which are under way, when the next is due, when the lease is over.

A slow registry is not taken for a dead one. A renewal may take as long as the lease still lasts; if
it takes longer than a beat, the next one is sent beside it. So answers may take up to two beats of
the three, and a request that the network swallowed is made up for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import IdTaken, LeaseLost, RegistryError
from ..terms.printable import printable, text_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine

    from ..contracts.registry import Lease
    from .lease_states import Event

_T = TypeVar("_T")

_AT_ONCE = 3
"""Renewals under way at most. Each is as old as the lease lasts, at most, and one a beat begins."""
_EARLY = 0.1
"""Of a beat: so much earlier a renewal may begin, by chance. Servers that an outage brought into
step come out of it again."""
_PACE = 0.5
"""Seconds between two tries of a renewal that fails, at least: two requests a second."""
_ENDING = 1.0
"""Seconds that a request may take to end when it is cancelled."""


class Renewals:
    """See the top of the file. For one task of one event loop.

    Args:
        lease: What is renewed.
        asked: When the request was sent that gave it. The registry cannot count from earlier.
        interval: Seconds between renewals, where the lease lasts for three of them.
        clock: Seconds, monotonic.
        rng: For jitter.

    Attributes:
        end: When the lease is over, as far as is known.
        due: When the next renewal should begin.
        beat: Seconds between renewals, at most.
        pause: Seconds that the last :meth:`answers` meant to wait, at most.
    """

    def __init__(
        self,
        lease: Lease,
        asked: float,
        interval: float,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._lease = lease
        self._clock = clock
        self._rng = rng
        # A registry may shorten the lease: ZooKeeper cuts sessions to twenty of its ticks.
        self.beat = min(interval, lease.ttl / 3)
        now = clock()
        # The registration may have taken most of the lease, or more: one renewal tells.
        self.end = max(asked + lease.ttl, now + self.beat)
        self.due = max(asked + self._drawn_beat(), now)
        self.pause = 0.0
        self._under_way: dict[asyncio.Future[None], float] = {}
        self._late: set[asyncio.Future[None]] = set()

    async def answers(self) -> list[tuple[Event | None, str]]:
        """Wait until renewals are answered, one is due, or the lease is over.

        Returns:
            For each answer what it means, and why. None for one that was late: it prolongs the
            lease, but the registry does not yet count as well.
        """
        self.pause = max(0.0, min(self.due, self.end) - self._clock())
        if not self._under_way:
            await asyncio.sleep(self.pause)
            return []
        done, _ = await asyncio.wait(
            self._under_way, timeout=self.pause, return_when=asyncio.FIRST_COMPLETED
        )
        # The oldest first: each says that those before it can say nothing new.
        in_order = sorted(done, key=lambda renewal: self._under_way[renewal])
        return [self._answer(renewal) for renewal in in_order]

    def begin(self) -> bool:
        """Begin a renewal, unless too many are under way.

        Returns:
            Whether another one is late since the last time.
        """
        now = self._clock()
        self.due = now + self._drawn_beat()
        by_now = now - (1 - _EARLY) * self.beat
        late = {each for each, began in self._under_way.items() if began <= by_now} - self._late
        self._late |= late
        if len(self._under_way) < _AT_ONCE:
            self._under_way[sent(self._lease.renew())] = now
        return bool(late)

    def postpone(self) -> None:
        """Look again a little later whether a renewal may begin."""
        self.due = self._clock() + self.beat / 3

    async def stop(self) -> None:
        """Cancel what is under way, and wait for its end: nothing is written afterwards."""
        under_way, self._under_way = self._under_way, {}
        for renewal in under_way:
            renewal.cancel()
        if under_way:
            await asyncio.wait(under_way, timeout=_ENDING)

    def _answer(self, renewal: asyncio.Future[None]) -> tuple[Event | None, str]:
        began, now = self._under_way.pop(renewal), self._clock()
        late = renewal in self._late
        self._late.discard(renewal)
        event, reason = outcome(renewal)
        if event == "granted":
            self.end = max(self.end, began + self._lease.ttl)
            self._give_up(before=began)
            return (None if late else "renewed"), ""
        pause = max(self.beat / 4, min(_PACE, self.beat / 2))
        self.due = min(self.due, now + pause * self._rng.uniform(1, 2))
        return event, reason

    def _give_up(self, before: float) -> None:
        """What was asked earlier than what has been answered can say nothing new."""
        for each in [each for each, began in self._under_way.items() if began < before]:
            each.cancel()
            del self._under_way[each]
            self._late.discard(each)

    def _drawn_beat(self) -> float:
        return self.beat * (1 - _EARLY * self._rng.random())


def sent(request: Coroutine[Any, Any, _T]) -> asyncio.Future[_T]:
    """A request under way. Nobody has to look at its error."""
    future = asyncio.ensure_future(request)
    future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return future


def outcome(request: asyncio.Future[Any]) -> tuple[Event, str]:
    """What a request that has ended says: ``granted`` or what went wrong, and why."""
    if request.cancelled():
        return "unknown", "the request was cancelled from inside the plugin"
    error = request.exception()
    if error is None:
        return "granted", ""
    reason = printable(text_of(error))
    if isinstance(error, LeaseLost):
        return "lost", reason
    if isinstance(error, IdTaken):
        return "taken", reason
    return ("refused" if isinstance(error, RegistryError) else "unknown"), reason
