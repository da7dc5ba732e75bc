"""The one life of a request that does not end at once.

::

    accepted ─ queue ─┐
        └─────────── start ─ inflate ─ decode ─ execute ─ end

``queue`` is for a limiter that is full, and ``inflate`` leaves the loop for a large body. A handler
is executed on the loop by a plain call, as a task, or on a thread. Every way that a contract allows
leads to ``_end``, which sends the one answer and gives everything back.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..contracts.size_rule import HEAVY
from ..errors import InvalidArgument
from ..terms.call_context import reset_current, set_current
from ..terms.causes import local
from ..terms.failures import Failure, Outcome
from .answers import HANDLER_ERRORS, SUCCESS, Answer, Answers, misfit

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ..contracts.policies import Ticket
    from ..contracts.transport import InboundCall
    from .handlers import BoundHandler

    Reply = Callable[[InboundCall, BoundHandler, Any], None]


class RunningCall:
    """A request from its acceptance to its answer; it takes its place in flight as it is made.

    On the loop's thread, except where it says otherwise.

    Attributes:
        call: The request.
        ended: Whether everything was given back. A handler on a thread may go on after its
            caller's deadline; until it ends, nothing is given back.
        permitted_at: When the limiter gave its permit; None without one.
        outcome: How it ended, for the limiter; None when it was given up before it began.
    """

    __slots__ = (
        "_answers",
        "_begun",
        "_bound",
        "_flight",
        "_patience",
        "_task",
        "_ticket",
        "call",
        "ended",
        "outcome",
        "permitted_at",
    )

    def __init__(self, answers: Answers, call: InboundCall, bound: BoundHandler) -> None:
        self._answers = answers
        self._flight = flight = answers.flight
        self._bound = bound
        self._begun = False
        self._task: asyncio.Future[Any] | None = None
        self._ticket: Ticket | None = None
        self._patience: asyncio.TimerHandle | None = None
        self.call = call
        self.ended = False
        self.permitted_at: float | None = None
        self.outcome: Outcome | None = None
        flight.count += 1

    # In the limiter's queue.

    def queue(self, ticket: Ticket) -> None:
        """Wait for the permit, then start.

        The wait ends without it when the deadline passes, the peer gives up, or the ticket's own
        timeout is over.
        """
        self._ticket = ticket
        self._flight.watch(self)
        if ticket.timeout is not None:
            self._patience = self._answers.loop.call_later(
                ticket.timeout, self._lose_patience, ticket.timeout
            )
        # The permit comes in the middle of another call's end, or on another thread.
        ticket.on_admitted(lambda: self._answers.on_loop(self._admitted))

    def _admitted(self) -> None:
        if self._ticket is None:
            return  # given up while the permit was on its way; it went back then
        self._leave_queue()
        self.permitted_at = self._flight.clock()
        deadline = self.call.deadline
        if deadline is not None and deadline <= self.permitted_at:
            message = "the deadline passed while the request waited for its turn"
            self._fail(local("deadline_exceeded", message))
        else:
            self.start()

    def _lose_patience(self, seconds: float) -> None:
        message = f"no turn within queue_timeout ({seconds:g} s) of the server's limiter"
        self._give_up_queue(self._answers.send, local("overloaded", message))

    def _leave_queue(self) -> None:
        self._ticket = None
        if self._patience is not None:
            self._patience.cancel()

    def _give_up_queue(self, reply: Reply, source: Any = None) -> bool:
        """End a call that is still in the limiter's queue; False when it is not there."""
        ticket = self._ticket
        if ticket is None:
            return False
        self._leave_queue()
        if not ticket.leave():
            self.permitted_at = self._flight.clock()  # the permit came just now; it goes back
        self._end(None, reply, source)
        return True

    # Running.

    def start(self, inflated: bytes | Failure | None = None) -> None:
        """Inflate, decode and execute.

        Args:
            inflated: The body of a compressed request, once a thread has inflated it.
        """
        bound, call, answers = self._bound, self.call, self._answers
        body = inflated
        if body is None:
            if call.compressed and len(call.body) >= HEAVY:
                self._flight.watch(self)
                answers.threads.submit(self._inflate_on_thread)
                return
            body = answers.inflate(call) if call.compressed else call.body
        if isinstance(body, Failure):
            self._fail(body)
            return
        if bound.kind == "nonblocking":
            # To the limiter it is a success, whatever the handler says.
            self._end(SUCCESS, answers.run_here, body)
            return
        try:
            args, kwargs = bound.codec.decode_args(call.form, body)
        except InvalidArgument as error:
            self._fail(misfit(error))
            return
        if bound.kind == "async":
            token = set_current(call)  # the task copies the context, and with it the current call
            try:
                self._task = answers.loop.create_task(self._run_as_task(args, kwargs))
            finally:
                reset_current(token)
            self._flight.watch(self)
        else:
            self._flight.watch(self)
            answers.threads.submit(partial(self._run_on_thread, args, kwargs))

    def _inflate_on_thread(self) -> None:
        self._answers.on_loop(self._inflated, self._answers.inflate(self.call))

    def _inflated(self, body: bytes | Failure) -> None:
        if self.call.cancelled:
            self._fail(local("cancelled", "given up before the handler began"))
        else:
            self.start(body)

    async def _run_as_task(self, args: Any, kwargs: Any) -> None:
        self._begun = True
        try:
            value = await self._bound.function(*args, **kwargs)
        except HANDLER_ERRORS as error:
            self._fail(self._answers.failure_of(error, self.call))
        else:
            self._end(SUCCESS, self._answers.answer, value)

    def _run_on_thread(self, args: Any, kwargs: Any) -> None:
        """Run the handler on a thread; encoding and compressing stay there too."""
        answers, call = self._answers, self.call
        answer: Answer
        # Before the look at `cancelled`: stop() writes and reads in the opposite order, so it never
        # says "no" of a handler that runs.
        self._begun = True
        if call.cancelled or (call.deadline is not None and call.time_left == 0.0):
            message = "the deadline passed while the request waited for a thread"
            answer = local("deadline_exceeded", message)
        else:
            token = set_current(call)
            try:
                value = self._bound.function(*args, **kwargs)
                answer = answers.make(call, self._bound.codec, value)
            except BaseException as error:  # a handler must not end a thread of the pool
                answer = answers.failure_of(error, call)
            finally:
                reset_current(token)
        outcome = answer if isinstance(answer, Failure) else SUCCESS
        answers.on_loop(self._end, outcome, answers.send, answer)

    # The end.

    def _end(self, outcome: Outcome | None, reply: Reply, source: Any) -> None:
        """Send the one answer, then give back the place in flight, the permit and the watch.

        A result that is packed on a thread takes its own place before this one is given back.

        Args:
            outcome: For the limiter; None for a call that was given up before it began.
            reply: Sends the answer.
            source: What ``reply`` makes the answer of.
        """
        self.outcome = outcome
        try:
            reply(self.call, self._bound, source)
        finally:
            self.ended = True
            self._flight.ended(self)

    def _fail(self, failure: Failure) -> None:
        self._end(failure, self._answers.send, failure)

    def stop(self, kind: str, message: str) -> None:
        """Give the call up on the server's side, and tell the caller.

        What a thread has begun goes on until it looks at ``cancelled``.
        """
        self.call.cancelled = True
        self.call.fail(Failure(kind, message, "maybe" if self._begun else "no", "never", "none"))
        self.cancel()

    def cancel(self) -> None:
        """See :class:`bee_core.interfaces.Running`."""
        self.call.cancelled = True
        if self.ended or self._give_up_queue(_nobody_waits) or self._task is None:
            return
        self._task.cancel()
        if not self._begun:
            # A task that is cancelled before its first step never runs a line of ours.
            self._end(None, _nobody_waits, None)


def _nobody_waits(call: InboundCall, bound: BoundHandler, source: None) -> None:
    """No answer: the caller has gone, or was told before."""
