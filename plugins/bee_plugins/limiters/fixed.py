"""Limiter ``fixed``: so many calls at a time, a bounded queue for the rest."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import attrs

from bee_core.hookspecs import hookimpl
from bee_core.interfaces import Failure, local
from bee_core.options import Seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Limiter, Outcome, Ticket
    from bee_core.options import Seconds


def _at_least(least: int) -> Callable[[object, attrs.Attribute[Any], int | None], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: int | None) -> None:
        if value is not None and value < least:
            raise ValueError(f"{attribute.name} must be {least} or more, not {value}")

    return check


def _positive(_: object, attribute: attrs.Attribute[float | None], value: float | None) -> None:
    if value is not None and not value > 0:
        raise ValueError(
            f"{attribute.name} must be above 0, not {value:g}; leave it out to wait until the call's deadline"
        )


@attrs.frozen
class FixedOptions:
    """Options of ``fixed``.

    Attributes:
        max_in_flight: Calls at a time. 100: what HTTP/2 recommends as the least for streams of a connection (RFC 9113, 6.5.2).
        max_queue: Calls that may wait for their turn beside; one more fails at once. None: as many as may run, so that a wait lasts about one call.
        queue_timeout: Seconds that a call may wait. None: until its deadline.
    """

    max_in_flight: int = attrs.field(default=100, validator=_at_least(1))
    max_queue: int | None = attrs.field(default=None, validator=_at_least(0))
    queue_timeout: Seconds | None = attrs.field(default=None, validator=_positive)


class Fixed:
    """A bulkhead (Nygard, *Release It!*) with a first-come-first-served queue. Thread-safe: one small lock, nobody is called back under it.

    A permit that is given back goes straight to the first in the queue, so a newcomer never overtakes.
    """

    __slots__ = ("_in_flight", "_lock", "_max_in_flight", "_max_queue", "_queue", "timeout")

    def __init__(self, options: FixedOptions) -> None:
        self.timeout = options.queue_timeout
        self._max_in_flight = options.max_in_flight
        self._max_queue = options.max_in_flight if options.max_queue is None else options.max_queue
        self._lock = Lock()
        self._in_flight = 0
        self._queue: OrderedDict[Place, None] = (
            OrderedDict()
        )  # a place is left in one step, wherever it is

    def admit(self, now: float) -> Ticket | Literal[True] | Failure:
        """See :meth:`bee_core.interfaces.Limiter.admit`."""
        with self._lock:
            if self._in_flight < self._max_in_flight:
                self._in_flight += 1
                return True
            if len(self._queue) < self._max_queue:
                place = Place(self)
                self._queue[place] = None
                return place
        return local(
            "overloaded",
            f"{self._max_in_flight} calls are in flight and {self._max_queue} wait: the limits of the limiter 'fixed' (max_in_flight, max_queue)",
        )

    def release(self, outcome: Outcome | None, seconds: float) -> None:
        """See :meth:`bee_core.interfaces.Limiter.release`."""
        with self._lock:
            if not self._queue:
                # A forked child begins at 0, also where the call that forked was in flight.
                self._in_flight = max(0, self._in_flight - 1)
                return
            place, _ = self._queue.popitem(last=False)
            callback = place.grant()
        if callback is not None:
            callback()

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`. The calls in flight and in the queue are the parent's."""
        self._lock = Lock()
        self._in_flight = 0
        self._queue.clear()

    def listen(self, place: Place, callback: Callable[[], None]) -> bool:
        """Take a place's callback; True when its permit is there already."""
        with self._lock:
            place.callback = callback
            return place.granted

    def withdraw(self, place: Place) -> bool:
        """Take a place out of the queue; False when its permit was granted."""
        with self._lock:
            self._queue.pop(place, None)
            return not place.granted


class Place:
    """A ticket: a place in the queue. Changed under the limiter's lock alone."""

    __slots__ = ("_limiter", "callback", "granted", "timeout")

    def __init__(self, limiter: Fixed) -> None:
        self._limiter = limiter
        self.timeout = limiter.timeout
        self.callback: Callable[[], None] | None = None
        self.granted = False

    def grant(self) -> Callable[[], None] | None:
        """Give it the permit; for the limiter, which calls back what this returns."""
        self.granted = True
        return self.callback

    def on_admitted(self, callback: Callable[[], None]) -> None:
        """See :meth:`bee_core.interfaces.Ticket.on_admitted`."""
        if self._limiter.listen(self, callback):
            callback()

    def leave(self) -> bool:
        """See :meth:`bee_core.interfaces.Ticket.leave`."""
        return self._limiter.withdraw(self)


@hookimpl
def bee_register_limiters(registry: Registrar[Limiter]) -> None:
    """Offer ``fixed``."""
    registry.add("fixed", Fixed, options=FixedOptions)
