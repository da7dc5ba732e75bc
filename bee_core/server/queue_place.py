"""A call's place in the queue of a limiter that is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..terms.causes import local
from ..terms.failures import Failure

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ..contracts.endpoint import InboundCall
    from ..contracts.policies import Ticket
    from .answers import Answers


class QueuePlace:
    """Waits for a permit. On the loop's thread.

    Args:
        answers: Says what a limiter does wrong.
        call: Who waits.
        ticket: What the limiter gave.
    """

    __slots__ = ("_answers", "_call", "_patience", "_ticket")

    silent = False  # a call that ends here is answered

    def __init__(self, answers: Answers, call: InboundCall, ticket: Ticket) -> None:
        self._answers = answers
        self._call = call
        self._ticket = ticket
        self._patience: asyncio.TimerHandle | None = None

    def wait(self, admitted: Callable[[], None], impatient: Callable[[Failure], None]) -> None:
        """Begin to wait.

        Args:
            admitted: Called on the loop once the permit is there.
            impatient: Called with the call's end once the ticket's timeout is over.
        """
        loop, timeout = self._answers.loop, self._ticket.timeout
        if timeout is not None:
            message = f"no turn within queue_timeout ({timeout:g} s) of the server's limiter"
            refusal = local("overloaded", message, retry_after=timeout)
            self._patience = loop.call_later(timeout, impatient, refusal)
        # The permit comes in the middle of another call's end, or on another thread.
        self._ticket.on_admitted(lambda: self._answers.on_loop(admitted))

    def leave(self) -> bool:
        """Give the place up; False when the permit came just now and must go back."""
        self._drop_timer()
        try:
            return self._ticket.leave()
        except BaseException as error:
            limiter = self._answers.limiters.of(self._call.method)
            self._answers.faults.fault(limiter, "leave", self._call, error, "no")
            return True

    def turned_away(self) -> Failure | None:
        """Why the limiter turned the call away after its wait; None where it gave a permit."""
        refusal = getattr(self._ticket, "refusal", None)
        if not isinstance(refusal, Failure):
            return None
        self._drop_timer()
        return refusal

    def taken(self, now: float) -> Failure | None:
        """The permit was taken. Why it comes too late for the call, or None."""
        self._drop_timer()
        deadline = self._call.deadline
        if deadline is None or deadline > now:
            return None
        message = "the deadline passed while the request waited for its turn"
        return local("deadline_exceeded", message)

    def _drop_timer(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
