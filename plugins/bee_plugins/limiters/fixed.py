"""Limiter ``fixed``: a fixed number of calls at a time, and a bounded queue for the rest."""

from __future__ import annotations

from threading import Lock
from typing import Literal

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import AnyRequest, Failure, Limiter, Outcome, Ticket, local, part_of
from bee_core.options import Seconds, at_least, positive

from .queueing import QueuedCall, WaitingLine, level_of


@attrs.frozen
class FixedOptions:
    """Options of ``fixed``.

    Attributes:
        max_in_flight: Calls at a time. The default is 100, the smallest limit that HTTP/2
            recommends for the streams of a connection (RFC 9113, 6.5.2).
        max_queue: Calls that may wait for their turn; one more fails at once. None: as many as
            ``max_in_flight``, so that a wait lasts about one call.
        queue_timeout: Seconds that a call may wait. None: until its deadline.
    """

    max_in_flight: int = attrs.field(default=100, validator=at_least(1))
    max_queue: int | None = attrs.field(default=None, validator=at_least(0))
    queue_timeout: Seconds | None = attrs.field(default=None, validator=positive)


class Fixed:
    """A bulkhead (Nygard, *Release It!*) with a queue, the most important calls first.

    Calls of one level are served in the order of their arrival. A level below the usual one may
    fill a part of both bounds (:func:`bee_core.interfaces.part_of`).

    Thread-safe: one small lock, and no callback runs under it. A permit that is given back goes to
    the first call in the queue, so a new call never overtakes one of its own level.
    """

    __slots__ = ("_in_flight", "_max_in_flight", "_max_queue", "_sure", "line", "lock", "timeout")

    def __init__(self, options: FixedOptions) -> None:
        self.timeout = options.queue_timeout
        self._max_in_flight = options.max_in_flight
        self._max_queue = options.max_in_flight if options.max_queue is None else options.max_queue
        self._sure = part_of(options.max_in_flight, "sheddable")  # any call has this
        self.lock = Lock()
        self._in_flight = 0
        self.line = WaitingLine()

    def admit(self, request: AnyRequest, now: float) -> Ticket | Literal[True] | Failure:
        """See :meth:`bee_core.interfaces.Limiter.admit`."""
        taken: QueuedCall | Literal[True] | None = None
        try:
            with self.lock:
                if self._has_room(request):
                    self._in_flight, taken = self._in_flight + 1, True
                    return taken
                if self.line.size < self._places(request):
                    taken = QueuedCall(self, request, self.timeout)
                    self.line.add(taken)
                    return taken
        except BaseException:
            # A handler of signals raised before anybody heard of the permit.
            if taken is True or (taken is not None and not taken.leave()):
                self.release(None, 0.0)
            raise
        return local(
            "overloaded",
            f"{self._max_in_flight} calls are in flight and {self._max_queue} wait: the limits of"
            " the limiter 'fixed' (max_in_flight, max_queue)",
        )

    def release(self, outcome: Outcome | None, seconds: float) -> None:
        """See :meth:`bee_core.interfaces.Limiter.release`."""
        queued: QueuedCall | None = None
        back = False
        try:
            with self.lock:
                queued = self.line.first()
                if queued is None or self._in_flight > part_of(self._max_in_flight, queued.level):
                    # A forked child begins at 0, even if the call that forked was in flight.
                    self._in_flight, back = max(0, self._in_flight - 1), True
                    return
                self.line.drop(queued)  # first: one that stayed there would be granted a second one
                queued.granted = True
        except BaseException:
            # A handler of signals raised before the permit was back.
            if not back and (queued is None or not queued.granted):
                self.release(None, 0.0)
            raise
        if queued.callback is not None:
            queued.callback()

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`. The calls in flight and in the queue are the parent's."""
        self.lock = Lock()
        self._in_flight = 0
        self.line.clear()

    def _has_room(self, request: AnyRequest) -> bool:
        """Whether a new call may run at once."""
        if self._in_flight >= self._max_in_flight:
            return False
        if self._in_flight < self._sure and not self.line.size:
            return True
        level = level_of(request)
        room = self._in_flight < part_of(self._max_in_flight, level)
        return room and not self.line.before(level)

    def _places(self, request: AnyRequest) -> float:
        """How many calls may wait for a new one to wait as well."""
        most = self._max_queue
        return part_of(most, level_of(request)) if most else 0


@hookimpl
def bee_register_limiters(registry: Registrar[Limiter]) -> None:
    """Offer ``fixed``."""
    registry.add("fixed", Fixed, options=FixedOptions)
