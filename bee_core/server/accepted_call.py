"""A request from its acceptance until it may begin: the half of a call that waits for its turn."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any

from ..terms.causes import local
from ..terms.failures import Failure
from .hooked_call import HookedCall
from .injected_faults import Hold, Injected
from .queue_place import QueuePlace
from .threads import NoThread

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from ..contracts.endpoint import InboundCall
    from ..contracts.policies import Ticket
    from ..errors import Executed
    from .answers import Answer, Answers
    from .in_flight import InFlight


class AcceptedCall:
    """Asks the limiter and waits in its queue. The rest is in :mod:`.running_call`.

    Attributes:
        call: The request.
        ended: See :class:`.running_call.RunningCall`.
        permitted_at: When the limiter gave its permit; None without one.
    """

    __slots__ = (
        "_answers",
        "_begun",
        "_context",
        "_flight",
        "_hooked",
        "_place",
        "call",
        "ended",
        "permitted_at",
    )

    _answers: Answers
    _begun: bool
    _context: Context
    _flight: InFlight
    _hooked: HookedCall | None
    _place: QueuePlace | Hold | None
    call: InboundCall
    ended: bool
    permitted_at: float | None

    @property
    def begun(self) -> bool:
        """See :class:`.in_flight.Watched`."""
        return self._begun

    @abstractmethod
    def _start(self) -> None:
        """Ask the interceptors, and execute."""

    @abstractmethod
    def _go_on_late(self) -> None:
        """Go on behind the interceptors."""

    @abstractmethod
    def _end(self, answer: Answer | None, *, begun: bool = True) -> None:
        """Send the answer and give everything back."""

    @abstractmethod
    def stop(self, kind: str, message: str) -> None:
        """See :class:`.in_flight.Watched`."""

    def _step(self, step: Callable[..., object], *args: Any) -> None:
        """Go a step on the loop, and end the call if the step breaks."""
        try:
            step(*args)
        except BaseException as error:
            self._broke(error)

    def _broke(self, error: BaseException, plugin: object = None, doing: str = "run") -> None:
        """End the call after an exception that has no right to be there."""
        if isinstance(error, NoThread):
            self._end(local("overloaded", str(error)))
            return
        executed: Executed = "yes" if self._begun else "no"
        self._end(self._answers.faults.fault(plugin, doing, self.call, error, executed))

    # In the limiter's queue.

    def begin(self) -> None:
        """Ask the limiter, and start now or when it gives its permit."""
        try:
            if self._answers.straight:
                self._start()
            else:
                self._begin()
        except BaseException as error:
            self._broke(error)

    def _begin(self) -> None:
        if self._answers.hooked:
            self._hooked = hooked = HookedCall(self._answers, self.call, self._context)
            hooked.started()
        limiter = self._answers.limiters.of(self.call.method)
        if limiter is None:
            self._start()
            return
        now = self._flight.clock()
        try:
            admitted = limiter.admit(self.call, now)
            if admitted is not True and not isinstance(admitted, Failure):
                self._queue(admitted)
                return
        except BaseException as error:
            self._broke(error, limiter, "admit")
            return
        if admitted is True:
            self.permitted_at = now
            self._start()
        else:
            self._limited("refused", admitted.message)
            self._end(admitted)

    def _limited(self, state: str, reason: str) -> None:
        """Tell the observers what the limiter made of the request."""
        call = self.call
        self._answers.observers.limited("server", call.service, call.method, state, reason)

    def _queue(self, ticket: Ticket) -> None:
        """Wait for the permit, then start.

        The wait ends without it when the deadline passes, the peer gives up, or the ticket's own
        timeout is over.
        """
        self._limited("queued", "")
        self._place = place = QueuePlace(self._answers, self.call, ticket)
        self._flight.watch(self)
        place.wait(partial(self._step, self._admitted), partial(self._step, self._give_up_queue))

    def _admitted(self) -> None:
        place: Any = self._place
        if place is None:
            return  # given up while the permit was on its way; it went back then
        self.permitted_at = now = self._flight.clock()
        self._place = None
        late = place.turned_away()
        if late is not None:
            self.permitted_at = None
            self._limited("refused", late.message)
            self._end(late)
            return
        late = place.taken(now)
        if late is None:
            self._start()
        else:
            self._end(late)

    # Behind the interceptors, where the configuration injects faults.

    def _refused(self, refused: Failure | Injected) -> None:
        """End a call that an interceptor refused, or let a fault have its way."""
        if isinstance(refused, Failure):
            self._end(refused)
            return
        self._place = hold = Hold(refused, self._answers.loop)
        if hold.silent:
            self._flight.unheard(self)
            if self.call.oneway:  # nobody waits, so nothing has to keep its place
                self._drop()
                return
        self._flight.watch(self)
        hold.wait(partial(self._step, self._drop if hold.silent else self._held))

    def _held(self) -> None:
        """The delay is over."""
        if self._place is None:
            return
        self._place = None
        call = self.call
        if call.deadline is not None and call.deadline <= self._flight.clock():
            message = "the deadline passed while an injected fault delayed the request"
            self._end(local("deadline_exceeded", message))
        else:
            self._go_on_late()

    def _drop(self) -> None:
        """End a call without an answer."""
        self.call.drop()
        self._end(None, begun=False)

    def _give_up_queue(self, answer: Failure | None) -> bool:
        """End a call that is still in the limiter's queue; False when it is not there."""
        if self._place is None:
            return False
        if answer is not None:
            self._limited("refused", answer.message)
        self._end(answer, begun=False)
        return True
