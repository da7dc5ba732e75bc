"""Limiter ``fixed``: a fixed number of calls at a time, and a bounded queue for the rest."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Literal

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import AnyRequest, Failure, Limiter, Outcome, Ticket, local
from bee_core.options import Seconds, at_least, positive

if TYPE_CHECKING:
    from collections.abc import Callable


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
    """A bulkhead (Nygard, *Release It!*) with a first-come-first-served queue.

    Thread-safe: one small lock, and no callback runs under it. A permit that is given back goes to
    the first call in the queue, so a new call never overtakes.
    """

    __slots__ = ("_in_flight", "_max_in_flight", "_max_queue", "_queue", "lock", "timeout")

    def __init__(self, options: FixedOptions) -> None:
        self.timeout = options.queue_timeout
        self._max_in_flight = options.max_in_flight
        self._max_queue = options.max_in_flight if options.max_queue is None else options.max_queue
        self.lock = Lock()
        self._in_flight = 0
        # An ordered dict: a call leaves the queue in one step, wherever it stands.
        self._queue: OrderedDict[QueuedCall, None] = OrderedDict()

    def admit(self, request: AnyRequest, now: float) -> Ticket | Literal[True] | Failure:
        """See :meth:`bee_core.interfaces.Limiter.admit`."""
        taken: QueuedCall | Literal[True] | None = None
        try:
            with self.lock:
                if self._in_flight < self._max_in_flight:
                    self._in_flight, taken = self._in_flight + 1, True
                    return taken
                if len(self._queue) < self._max_queue:
                    taken = QueuedCall(self)
                    self._queue[taken] = None
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
        with self.lock:
            if not self._queue:
                # A forked child begins at 0, even if the call that forked was in flight.
                self._in_flight = max(0, self._in_flight - 1)
                return
            queued, _ = self._queue.popitem(last=False)
            queued.granted = True
            callback = queued.callback
        if callback is not None:
            callback()

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`. The calls in flight and in the queue are the parent's."""
        self.lock = Lock()
        self._in_flight = 0
        self._queue.clear()

    def listen(self, queued: QueuedCall, callback: Callable[[], None]) -> bool:
        """Take the callback of a queued call; True when its permit is there already."""
        with self.lock:
            queued.callback = callback
            return queued.granted

    def withdraw(self, queued: QueuedCall) -> bool:
        """Take a call out of the queue; False when its permit was granted."""
        with self.lock:
            self._queue.pop(queued, None)
            return not queued.granted


class QueuedCall:
    """The ticket of a call in the queue. It changes only under the limiter's lock."""

    __slots__ = ("_limiter", "callback", "granted", "timeout")

    def __init__(self, limiter: Fixed) -> None:
        self._limiter = limiter
        self.timeout = limiter.timeout
        self.callback: Callable[[], None] | None = None
        self.granted = False

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
