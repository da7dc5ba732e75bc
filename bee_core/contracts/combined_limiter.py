"""Several limiters as one: all of them must admit a call.

They are asked in their order, and a call waits for one before the next is asked. So two calls never
hold what the other waits for. If one refuses, those before it get their permits back at once, with
no verdict.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from ..terms.causes import local
from ..terms.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..terms.failures import Outcome
    from .policies import AnyRequest, Limiter, Ticket

    Fault = Callable[[object, str, BaseException], Failure]
    """Says that a method of a plugin raised, and makes the failure of the call.

    It raises the exception again where it is an interruption of the caller.
    """

_INTERRUPTED = local("overloaded", "the wait for a limiter was interrupted")
_Decision = Literal["", "granted", "refused", "left"]


class CombinedLimiter:
    """A limiter made of limiters. Thread-safe, and holds no lock while it asks one of them.

    A limiter that breaks its contract costs the call that it was asked for, and no permit of
    another one.

    Args:
        limiters: In the order in which they are asked.
        clock: Seconds, monotonic: the time at which the next one is asked after a wait.
        fault: Says what one does wrong.
        contained: What else a plugin may raise is passed on.
    """

    def __init__(
        self,
        limiters: Sequence[Limiter],
        clock: Callable[[], float],
        fault: Fault,
        contained: type[BaseException] = Exception,
    ) -> None:
        self.limiters = tuple(limiters)
        self.clock = clock
        self._fault = fault
        self._contained = contained

    def admit(self, request: AnyRequest, now: float) -> Ticket | Literal[True] | Failure:
        """See :meth:`bee_core.interfaces.Limiter.admit`."""
        # What each has answered: an exception may come between any two lines.
        answers: list[Any] = [None] * len(self.limiters)
        try:
            answer = self.ask(answers, 0, request, now)
            if answer is True or isinstance(answer, Failure):
                return answer
            return CombinedTicket(self, request, answers, answers.index(answer), now)
        except BaseException:
            self.give_back(answers)
            raise

    def ask(
        self, answers: list[Any], start: int, request: AnyRequest, now: float
    ) -> Ticket | Literal[True] | Failure:
        """Ask those from ``start`` on, until one does not admit at once."""
        for index in range(start, len(self.limiters)):
            limiter = self.limiters[index]
            refusal: Any
            try:
                answers[index] = limiter.admit(request, now)
                if answers[index] is True:
                    continue
                if not isinstance(answers[index], Failure):
                    # A ticket, and it has what is asked of one.
                    _ = answers[index].timeout, answers[index].leave
                    return answers[index]  # type: ignore[no-any-return]
                answers[index], refusal = None, answers[index]
            except self._contained as error:
                refusal = self._fault(limiter, "admit", error)
            self.give_back(answers)
            return refusal  # type: ignore[no-any-return]
        return True

    def give_back(self, answers: list[Any]) -> None:
        """Give up all that a call has of the limiters, the last one first."""
        for index in reversed(range(len(answers))):
            answer, answers[index] = answers[index], None
            limiter = self.limiters[index]
            if answer is True or (answer is not None and not self._has_left(limiter, answer)):
                self._release(limiter, None, 0.0)

    def release(self, outcome: Outcome | None, seconds: float) -> None:
        """See :meth:`bee_core.interfaces.Limiter.release`."""
        interruption: BaseException | None = None
        for limiter in reversed(self.limiters):
            try:
                self._release(limiter, outcome, seconds)
            except BaseException as error:  # noqa: PERF203  the others get theirs all the same
                interruption = error
        if interruption is not None:
            raise interruption

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`."""
        for limiter in self.limiters:
            renew = getattr(limiter, "after_fork", None)
            if renew is not None:
                try:
                    renew()
                except self._contained as error:
                    self._fault(limiter, "after_fork", error)

    def _release(self, limiter: Limiter, outcome: Outcome | None, seconds: float) -> None:
        try:
            limiter.release(outcome, seconds)
        except self._contained as error:
            self._fault(limiter, "release", error)
            try:  # the permit is still out; see Limiter.release()
                limiter.release(None, 0.0)
            except self._contained as again:
                self._fault(limiter, "release", again)

    def _has_left(self, limiter: Limiter, ticket: Any) -> bool:
        """Whether a ticket was given up; False where its permit must go back."""
        leave = getattr(ticket, "leave", None)
        try:
            return leave is None or bool(leave())
        except self._contained as error:  # what it holds nobody can tell
            self._fault(limiter, "leave", error)
            return True


class CombinedTicket:
    """A call that waits for one of the limiters, and then asks those behind it.

    It waits at most as long as the first queue says that it meets, or until the call's deadline. A
    permit that a later queue gives after its own ``timeout`` goes back, and the call is refused.

    Args:
        limiter: Whose ticket it is.
        request: The call.
        answers: What each limiter has answered so far. Owned by this object from now on.
        index: Which one the call waits for.
        now: When the wait began.
    """

    def __init__(
        self,
        limiter: CombinedLimiter,
        request: AnyRequest,
        answers: list[Any],
        index: int,
        now: float,
    ) -> None:
        self._limiter = limiter
        self._request = request
        self._answers = answers
        self._index = index
        self._began = now
        self._lock = Lock()
        self._decision: _Decision = ""
        self._asking = False  # a thread asks the limiters behind the one that admitted
        self._callback: Callable[[], None] | None = None
        self.timeout: float | None = answers[index].timeout
        self.refusal: Failure | None = None

    def on_admitted(self, callback: Callable[[], None]) -> None:
        """See :meth:`bee_core.interfaces.Ticket.on_admitted`."""
        self._callback = callback
        self._answers[self._index].on_admitted(self._turned)

    def leave(self) -> bool:
        """See :meth:`bee_core.interfaces.Ticket.leave`."""
        with self._lock:
            if self._decision:
                return self._decision != "granted"
            self._decision = "left"
            if self._asking:
                return True  # who asks gives back what it gets
        self._limiter.give_back(self._answers)
        return True

    def _turned(self) -> None:
        """The limiter that the call waits for has decided. From any thread."""
        answer: Any = _INTERRUPTED
        asking = False
        try:
            with self._lock:
                if self._decision:
                    return  # given up: leave() finds the permit and gives it back
                asking = self._asking = True
            answer = self._go_on()
        finally:
            if asking:
                self._decide(answer)

    def _go_on(self) -> Ticket | Literal[True] | Failure:
        """Take what the limiter has decided, and ask those behind it."""
        answers, limiter = self._answers, self._limiter
        ticket, answers[self._index] = answers[self._index], True
        now = limiter.clock()
        refusal: Any = getattr(ticket, "refusal", None)
        if isinstance(refusal, Failure):
            answers[self._index] = None
        elif ticket.timeout is not None and now - self._began > ticket.timeout:
            refusal = local(
                "overloaded", f"no turn within the {ticket.timeout:g} s of one of the limiters"
            )
        else:
            return limiter.ask(answers, self._index + 1, self._request, now)
        return refusal  # type: ignore[no-any-return]

    def _decide(self, answer: Any) -> None:
        """Wait on, or tell the call what was decided."""
        waits = answer is not True and not isinstance(answer, Failure)
        with self._lock:
            self._asking = False
            left = self._decision == "left"
            if waits and not left:
                self._index = self._answers.index(answer)
                self._began = self._limiter.clock()
            elif not left:
                self._decision = "granted" if answer is True else "refused"
                self.refusal = None if answer is True else answer
        if left or (not waits and answer is not True):
            self._limiter.give_back(self._answers)
        if left:
            return
        if waits:
            answer.on_admitted(self._turned)
        elif self._callback is not None:
            self._callback()


def combined(
    limiters: Sequence[Limiter],
    clock: Callable[[], float],
    fault: Fault,
    contained: type[BaseException] = Exception,
) -> Limiter | None:
    """All of the limiters as one: None without any, and a single one as it is."""
    if len(limiters) < 2:
        return limiters[0] if limiters else None
    return CombinedLimiter(limiters, clock, fault, contained)
