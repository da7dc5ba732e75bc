"""A request between its acceptance and its answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..contracts.size_rule import HEAVY
from ..errors import InvalidArgument
from ..terms.call_context import reset_current, set_current
from ..terms.failures import Failure, Success, local

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contracts.policies import Ticket
    from ..contracts.transport import InboundCall
    from ..terms.failures import Outcome
    from .endpoint import BoundHandler, ServiceEndpoint

ANSWERS = (Exception, asyncio.CancelledError, SystemExit)
"""Whatever a handler raises is its answer; an ``exit()`` in a handler must not end the server."""


def misfit(error: InvalidArgument) -> Failure:
    """Arguments that do not fit the signature: the handler did not run."""
    return local("invalid_argument", error.message, path=error.path)


def on_loop(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *args: Any) -> None:
    """Call back on the serving loop from a handler thread."""
    try:
        loop.call_soon_threadsafe(callback, *args)
    except RuntimeError:
        return  # the loop is closed: the server has left past this handler


SUCCESS = Success(b"")
"""That a call went well; the limiter has no use for its result."""


class RunningCall:
    """A request between its acceptance and its answer. On the loop's thread, except where it says otherwise."""

    __slots__ = (
        "_begun",
        "_bound",
        "_endpoint",
        "_patience",
        "_task",
        "_ticket",
        "call",
        "ended",
        "outcome",
        "permitted_at",
    )

    def __init__(self, endpoint: ServiceEndpoint, call: InboundCall, bound: BoundHandler) -> None:
        self._endpoint = endpoint
        self.call = call
        self._bound = bound
        self._task: asyncio.Future[Any] | None = None
        self._begun = False
        self.ended = False
        self._ticket: Ticket | None = None
        self._patience: asyncio.TimerHandle | None = None
        self.permitted_at: float | None = None
        """When the limiter gave its permit; None without one."""
        self.outcome: Outcome | None = None
        """How it ended, for the limiter."""

    def queue(self, ticket: Ticket) -> None:
        """Wait for the limiter's permit: until it comes, the deadline passes, the peer gives up, or the ticket's own timeout."""
        endpoint = self._endpoint
        self._ticket = ticket
        endpoint.watch(self)
        if ticket.timeout is not None:
            self._patience = endpoint.loop.call_later(
                ticket.timeout, self._lose_patience, ticket.timeout
            )
        # By way of the loop: the permit is handed over in the middle of another call's end, or on another thread.
        ticket.on_admitted(lambda: on_loop(endpoint.loop, self._admitted))

    def _admitted(self) -> None:
        if self._ticket is None:
            return  # given up while the permit was on its way; leave() said so, and it went back
        self._leave_queue()
        self.permitted_at = self._endpoint.clock()
        deadline = self.call.deadline
        if deadline is not None and deadline <= self.permitted_at:
            self._end(
                local(
                    "deadline_exceeded", "the deadline passed while the request waited for its turn"
                )
            )
        else:
            self.start()

    def _lose_patience(self, seconds: float) -> None:
        if self._give_up_queue():
            self.call.fail(
                local(
                    "overloaded",
                    f"no turn within queue_timeout ({seconds:g} s) of the server's limiter",
                )
            )

    def _leave_queue(self) -> None:
        self._ticket = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up_queue(self) -> bool:
        """Out of the limiter's queue, if it is there: then it has ended without having begun."""
        ticket = self._ticket
        if ticket is None:
            return False
        self._leave_queue()
        if not ticket.leave():
            self.permitted_at = (
                self._endpoint.clock()
            )  # the permit came in this very moment; it goes back
        self._out_of_flight()
        return True

    def _inflate_elsewhere(self) -> None:
        """Inflate a large body off the loop, then go on."""
        endpoint = self._endpoint
        endpoint.watch(self)

        def inflated(body: bytes | Failure) -> None:
            if self.call.cancelled:
                self._end(local("cancelled", "given up before the handler began"))
            else:
                self._run(body)

        def job() -> None:
            on_loop(endpoint.loop, inflated, endpoint.inflate(self.call))

        endpoint.threads.submit(job)

    def start(self) -> None:
        """Inflate, decode and run."""
        if self.call.compressed and len(self.call.body) >= HEAVY:
            self._inflate_elsewhere()
            return
        self._run(self._endpoint.inflate(self.call) if self.call.compressed else self.call.body)

    def _run(self, body: bytes | Failure) -> None:
        endpoint, bound, call = self._endpoint, self._bound, self.call
        if isinstance(body, Failure):
            self._end(body)
            return
        if bound.kind == "nonblocking":
            endpoint.run_here(call, bound, body)
            self.outcome = SUCCESS  # of the server, whatever the handler said
            self._out_of_flight()
            return
        try:
            args, kwargs = bound.codec.decode_args(call.form, body)
        except InvalidArgument as error:
            self._end(misfit(error))
            return
        if bound.kind == "async":
            token = set_current(call)
            try:
                self._task = endpoint.loop.create_task(self._run_async(args, kwargs))
            finally:
                reset_current(token)
            endpoint.watch(self)
        else:
            endpoint.watch(self)
            endpoint.threads.submit(lambda: self._run_threaded(args, kwargs))

    async def _run_async(self, args: Any, kwargs: Any) -> None:
        self._begun = True
        try:
            value = await self._bound.function(*args, **kwargs)
        except ANSWERS as error:
            self._end(self._endpoint.failure_of(error, self.call))
            return
        # The answer first: a body that is packed on a thread takes its own place in flight before this one is given back.
        self._endpoint.answer(self.call, self._bound.codec, value)
        self.outcome = SUCCESS
        self._out_of_flight()

    def _run_threaded(self, args: Any, kwargs: Any) -> None:
        """On a handler thread; encoding and compressing stay there too."""
        endpoint, call = self._endpoint, self.call
        # Before the look at `cancelled`: stop() writes and reads in the opposite order, so it never says "no" of a handler that runs.
        self._begun = True
        answer: tuple[bytes, bool] | Failure
        if call.cancelled or (call.deadline is not None and call.time_left == 0.0):
            answer = local(
                "deadline_exceeded", "the deadline passed while the request waited for a thread"
            )
        else:
            token = set_current(call)
            try:
                value = self._bound.function(*args, **kwargs)
                encoded = b"" if call.oneway else endpoint.encode(call, self._bound.codec, value)
                if isinstance(encoded, Failure):
                    answer = encoded
                elif endpoint.fits(call, encoded):
                    answer = encoded, False
                else:
                    answer = endpoint.pack(call, encoded)
            except (
                BaseException
            ) as error:  # SystemExit too: a handler must not end a thread of the pool
                answer = endpoint.failure_of(error, call)
            finally:
                reset_current(token)
        on_loop(endpoint.loop, self._answer, answer)

    def _answer(self, answer: tuple[bytes, bool] | Failure) -> None:
        self.outcome = answer if isinstance(answer, Failure) else SUCCESS
        self._out_of_flight()
        self._endpoint.send(self.call, answer)

    def _end(self, failure: Failure) -> None:
        self.outcome = failure
        self._out_of_flight()
        self.call.fail(failure)

    def _out_of_flight(self) -> None:
        self.ended = True
        self._endpoint.ended(self)

    def stop(self, kind: str, message: str) -> None:
        """Give the call up on the server's side, and tell the caller. What a thread has begun goes on until it looks at ``cancelled``."""
        self.call.cancelled = True
        self.call.fail(Failure(kind, message, "maybe" if self._begun else "no", "never", "none"))
        self.cancel()

    def cancel(self) -> None:
        """See :class:`bee_core.interfaces.Running`."""
        self.call.cancelled = True
        if self.ended or self._give_up_queue() or self._task is None:
            return
        self._task.cancel()
        if not self._begun:
            # A task that is cancelled before its first step never runs a line of ours, so it is counted out here.
            self._out_of_flight()
