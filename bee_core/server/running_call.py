"""The one life of a request that does not end at once.

::

    accepted ─ queue ─┐
        └─────────── enter ─ inflate ─ decode ─ execute ─ encode ─ pack ─ end

``queue`` is for a limiter that is full. ``enter`` asks the interceptors. A handler is executed on
the loop by a plain call, as a task, or on a thread. What it returns may have to be awaited. A large
body is inflated and packed on a thread.

Every way leads to ``_end``, which sends the one answer and gives everything back, once. What runs
on the loop is called through ``_step``, so an exception that nobody expects leads there, too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..contracts.size_rule import HEAVY
from ..terms.call_context import set_current
from ..terms.causes import local
from ..terms.failures import Failure
from . import first_step
from .accepted_call import AcceptedCall
from .answers import LARGE, SUCCESS, Answer, Answers, Unfinished
from .memory_waits import LargeBody, room_of
from .recording import record, record_slow
from .threads import NoThread

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from contextvars import Context

    from ..contracts.endpoint import InboundCall
    from ..errors import Executed
    from .handlers import BoundHandler
    from .hooked_call import HookedCall
    from .injected_faults import Hold
    from .queue_place import QueuePlace


class RunningCall(AcceptedCall):
    """A request from its acceptance to its answer; it takes its place in flight as it is made.

    On the loop's thread, except where it says otherwise. No public method raises.

    Attributes:
        call: The request.
        ended: Whether the answer was sent and everything given back. A handler on a thread may go
            on after its caller's deadline; until it ends, nothing is given back.
        permitted_at: When the limiter gave its permit; None without one.
    """

    __slots__ = ("_bound", "_large", "_packing", "_stepped", "_task")

    def __init__(self, answers: Answers, call: InboundCall, bound: BoundHandler) -> None:
        # All attributes of the base class are set here: one constructor less on the hot path.
        self._answers = answers
        self._flight = flight = answers.flight
        self._bound = bound
        self._context: Context = answers.context.copy()
        self._begun = False  # the handler
        self._stepped = False  # the task at hand
        self._task: asyncio.Future[Any] | None = None
        self._place: QueuePlace | Hold | None = None
        self._large: LargeBody | None = None
        self._packing = 0
        self._hooked: HookedCall | None = None
        self.call = call
        self.ended = False
        self.permitted_at: float | None = None
        flight.count += 1

    # Running.

    def _start(self, body: bytes | Failure | None = None) -> None:
        """Ask the interceptors, inflate, decode and execute.

        Args:
            body: Of a compressed request, once a thread has inflated it.
        """
        bound, call, answers = self._bound, self.call, self._answers
        if body is None:
            if self._hooked is not None:
                refused = self._hooked.enter(bound.errors)
                if refused is not None:
                    self._refused(refused)
                    return
            body = answers.inflate_here(call) if call.compressed else call.body
            if body is None:
                self._inflate()
                return
        if isinstance(body, Failure):
            self._end(body)
            return
        if bound.kind == "nonblocking":
            self._begun = True
            self._go_on(self._context.run(answers.run_here, call, bound, body))
            return
        try:
            args, kwargs = bound.codec.decode_args(call.form, body)
        except BaseException as error:
            self._end(answers.undecoded(call, bound, error))
            return
        if bound.kind == "async":
            context = self._context
            if self._hooked is not None:
                context.run(set_current, call)
                context = context.copy()  # the hooks enter theirs while the task is in this one
            self._begin_task(bound.function, args, kwargs, context)
        else:
            if answers.threads.free <= 0:
                late = answers.admission.of_thread(call)
                if late is not None:
                    self._end(late)
                    return
            self._flight.watch(self)
            self._submit_handler(args, kwargs)

    def _go_on_late(self) -> None:
        call = self.call
        body = self._answers.inflate_here(call) if call.compressed else call.body
        if body is None:
            self._inflate()
        else:
            self._start(body)

    def _inflate(self) -> None:
        """Have a thread inflate a large body, once there is memory for it."""
        self._flight.watch(self)
        self._large = LargeBody(self._answers, self.call)
        inflate = partial(self._answers.inflate, self.call)
        self._large.wait(partial(self._step, self._on_thread, inflate, self._inflated))

    def _on_thread(self, job: Callable[[], object], then: Callable[..., None]) -> None:
        """Do a part of the call on a thread, and go on with its result."""
        self._flight.watch(self)
        self._answers.threads.submit(partial(self._work, job, then))

    def _work(self, job: Callable[[], object], then: Callable[..., None]) -> None:
        try:
            result = job()
        except BaseException as error:
            result, then = error, self._broke
        large = type(result) is tuple and len(result[0]) > LARGE
        on_loop = self._answers.on_loop_in_turn if large else self._answers.on_loop
        on_loop(self._step, then, result)

    def _inflated(self, body: bytes | Failure) -> None:
        self.call.becomes(0 if isinstance(body, Failure) else len(body))
        if self.call.cancelled:
            self._end(local("cancelled", "given up before the handler began"))
        else:
            self._start(body)

    def _begin_task(
        self, function: Callable[..., Awaitable[Any]], args: Any, kwargs: Any, context: Context
    ) -> None:
        """Run a handler as a task, in a context for it alone. It may be over when this returns."""
        self._stepped = False
        steps = self._run_as_task(function, args, kwargs)
        try:
            task = first_step.begin_task(self._answers.loop, steps, context)
        except BaseException:
            steps.close()  # else Python warns that it was never awaited
            raise
        if not self.ended:
            self._task = task
            try:
                self._flight.watch(self)
            except BaseException:
                task.cancel()  # the call ends here
                raise

    async def _run_as_task(
        self, function: Callable[..., Awaitable[Any]], args: Any, kwargs: Any
    ) -> None:
        self._stepped = True
        answers, call = self._answers, self.call
        try:
            set_current(call)
            if call.held_up:
                await room_of(call, answers.loop)
            self._begun = True
            value = await function(*args, **kwargs)
            if call.held_up:
                await room_of(call, answers.loop)
            answer = answers.encode(call, self._bound, value)
        except BaseException as error:
            self._end(answers.faults.failure_of(error, call, self._bound.errors))
            return
        try:  # _step() written out, and what _go_on() does first
            if type(answer) is Unfinished:
                self._go_on(answer)
            else:
                self._end(answer)  # type: ignore[arg-type]  # not narrowed by `type()`
        except BaseException as error:
            self._broke(error)

    def _submit_handler(self, args: Any, kwargs: Any) -> None:
        handler: Callable[[], Any] = partial(self._run_handler, args, kwargs)
        if self._answers.threads.free <= 0:
            handler = self._answers.admission.timed(self.call.method, handler)
        self._answers.threads.submit(partial(self._work, handler, self._go_on))

    def _run_handler(self, args: Any, kwargs: Any) -> Answer | Unfinished:
        """Run the handler on a thread; encoding and compressing stay there too."""
        if self.call.held_up:
            # The thread is for others until the caller reads its replies.
            return Unfinished(again=partial(self._submit_handler, args, kwargs))
        # Before the look at `cancelled`: stop() has the opposite order, so it never says "no" of a
        # handler that runs.
        self._begun = True
        answers = self._answers
        return self._context.run(answers.run_there, self.call, self._bound, args, kwargs)

    # The end.

    def go_on(self, answer: Unfinished) -> None:
        """Finish what a handler returned that ran before this object was made."""
        self._begun = True
        self._step(self._go_on, answer)

    def _go_on(self, answer: Answer | Unfinished) -> None:
        """End the call, once nothing is left to be done for its answer."""
        if type(answer) is not Unfinished:
            self._end(answer)  # type: ignore[arg-type]  # mypy does not narrow by `type()`
            return
        answers, encoded = self._answers, answer.encoded
        if answer.again is not None:
            self.call.when_room(partial(self._step, answer.again))
            return
        if encoded and len(encoded) < HEAVY:
            self._end(answers.pack(self.call, encoded))
            return
        if not encoded:
            context = self._context.copy()  # a task may be in it
            self._begin_task(_itself, (answer.awaitable,), {}, context)
            return
        try:
            # Compressing megabytes would hold up every other call.
            self._on_thread(partial(answers.pack, self.call, encoded), self._end)
        except NoThread:  # the handler has run, so its result goes out all the same
            self._end(answers.pack(self.call, encoded))
        else:
            self._packing = len(encoded)
            self.call.packs(self._packing)

    def _end(self, answer: Answer | None, *, begun: bool = True) -> None:  # noqa: PLR0912  # one life
        """Send the one answer, then give back the place in flight, the permit and the watch. Once.

        Args:
            answer: None where nobody waits for one: the caller has gone, or was told before.
            begun: False for a call that was given up in the limiter's queue: it has no outcome.
        """
        if self.ended:
            return
        self.ended = True
        answers, call, hooked = self._answers, self.call, self._hooked
        outcome: Any = SUCCESS if type(answer) is tuple else answer
        try:
            if hooked is not None:
                outcome = hooked.answered or outcome
                hooked.exit(outcome)
            if answer is not None:
                answers.send(call, answer)
            if hooked is not None:
                hooked.ended(outcome)
            recorder = answers.recorder
            if recorder is not None:
                if outcome is SUCCESS and not call.cancelled:  # record() written out
                    began, now = call.accepted, recorder.clock()
                    recorder.append((call.service, call.method, call.peer, began, now))
                    if now - began > recorder.slow_above:
                        record_slow(recorder, call, now)
                else:
                    record(recorder, call, answer)
        finally:
            place = self._place
            if place is not None:
                self._place = None
                if not place.leave():
                    self.permitted_at = self._flight.clock()  # it came just now, and goes back
            # The place before the permit, which lets the next call begin.
            if self._packing:
                call.packs(-self._packing)
            self._flight.ended(self)
            if self.permitted_at is not None:
                seconds = self._flight.clock() - self.permitted_at
                answers.release(call, outcome if begun else None, seconds)

    def stop(self, kind: str, message: str) -> None:
        """Give the call up on the server's side, and tell the caller.

        What a thread has begun goes on until it looks at ``cancelled``.
        """
        self.call.cancelled = True
        executed: Executed = "maybe" if self._begun else "no"
        failure = Failure(kind, message, executed, "never", "none")
        if self._hooked is not None:
            self._hooked.answered = failure
        if self._place is not None and self._place.silent:
            self.call.drop()
        else:
            self._answers.send(self.call, failure)
        self.cancel()

    def cancel(self) -> None:
        """See :class:`bee_core.interfaces.Running`."""
        self.call.cancelled = True
        if not self.ended:
            self._step(self._cancel)

    def _cancel(self) -> None:
        if self._large is not None and self._large.leave():
            self._end(None)
        if self._give_up_queue(None) or self._task is None:
            return
        self._task.cancel()
        if not self._stepped:
            # A task that is cancelled before its first step never runs a line of ours.
            self._end(None)


def _itself(awaitable: Awaitable[Any]) -> Awaitable[Any]:
    return awaitable
