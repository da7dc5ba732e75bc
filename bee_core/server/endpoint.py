"""What happens to a request inside a server: decided about before any work, run as its handler's kind wants, answered once."""

from __future__ import annotations

import asyncio
import traceback
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ..call_context import CurrentCall, reset_current, set_current
from ..errors import CallCancelled, InvalidArgument, MessageTooLarge, ProtocolError
from ..failures import Failure, local
from ..payloads import HEAVY
from ..streams.deadline_timer import DeadlineTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..interfaces import InboundCall, MethodCodec, Running
    from ..messages import Hello, HelloAck
    from ..payloads import SizeRule
    from .handlers import Handler
    from .threads import HandlerThreads


_ANSWERS = (Exception, asyncio.CancelledError, SystemExit)
"""Whatever a handler raises is its answer; an ``exit()`` in a handler must not end the server."""


class BoundHandler:
    """A handler with the codec of one kind of peer."""

    __slots__ = ("codec", "function", "kind")

    def __init__(self, handler: Handler, codec: MethodCodec) -> None:
        self.function: Callable[..., Any] = handler.function
        self.kind = handler.kind
        self.codec = codec


class ServiceEndpoint:
    """See :class:`bee_core.interfaces.Endpoint`.

    Args:
        ack: What the server says of itself.
        tables: For each codec's name, the bound handlers by method name.
        rules: For each compressor's name and None, the size rule.
        threads: Run ``def`` handlers.
        max_in_flight: Requests at a time; one more is refused before any work.
        send_tracebacks: Whether errors carry the server's traceback.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        ack: HelloAck,
        tables: Mapping[str, Mapping[str, BoundHandler]],
        rules: Mapping[str | None, SizeRule],
        threads: HandlerThreads,
        *,
        max_in_flight: int,
        send_tracebacks: bool,
        clock: Callable[[], float],
    ) -> None:
        self.ack = ack
        self.draining = False
        self.in_flight = 0
        self._service = ack.service
        self._tables = tables
        self._rules = rules
        self._threads = threads
        self._max_in_flight = max_in_flight
        self._send_tracebacks = send_tracebacks
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._running: dict[RunningCall, None] = {}
        self._timer = DeadlineTimer(self._loop, clock, self._sweep)
        self._quiet: asyncio.Event = asyncio.Event()

    def admit(self, hello: Hello) -> Failure | None:
        """Decide about a peer: it must want this service, in a codec and with a compressor that are there."""
        if hello.service != self._service:
            return local("protocol_error", f"this is the service {self._service!r}, not {hello.service!r}: the address belongs to another service")
        if hello.codec not in self._tables:
            return local("protocol_error", f"the codec {hello.codec!r} is not offered here; offered: {', '.join(sorted(self._tables))} (server.codecs)")
        if hello.compressor is not None and hello.compressor not in self._rules:
            names = ", ".join(sorted(name for name in self._rules if name)) or "none"
            return local("protocol_error", f"the compressor {hello.compressor!r} is not offered here; offered: {names} (server.compressors)")
        return None

    def begin(self, call: InboundCall) -> Running | None:
        """Start a request, or reject it: whatever is rejected here did not run."""
        # Load first: under overload the cheapest answer counts.
        if self.in_flight >= self._max_in_flight:
            call.fail(local("overloaded", f"{self.in_flight} requests are in flight, max_in_flight is {self._max_in_flight}"))
            return None
        left = call.time_left
        if left is not None and left <= 0:
            call.fail(local("deadline_exceeded", "the request was late when it arrived"))
            return None
        bound = self._tables[call.peer.codec].get(call.method)
        if bound is None:
            call.fail(self._unknown(call))
            return None
        running = RunningCall(self, call, bound, None if left is None else self._clock() + left)
        self.in_flight += 1
        if call.compressed and len(call.body) >= HEAVY:
            running.inflate_elsewhere()
        else:
            running.start()
        return None if running.ended else running

    def _unknown(self, call: InboundCall) -> Failure:
        table = self._tables[call.peer.codec]
        near = get_close_matches(call.method[:128], table, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; there are: {', '.join(sorted(table)[:20])}"
        return local("method_not_found", f"the service {self._service} has no method {call.method[:128]!r}{hint}")

    async def wait_quiet(self, timeout: float) -> bool:
        """Wait until nothing is in flight; False when that takes longer than ``timeout`` seconds."""
        if self.in_flight:
            self._quiet.clear()
            try:
                await asyncio.wait_for(self._quiet.wait(), timeout)
            except (TimeoutError, asyncio.TimeoutError):
                return False
        return True

    def give_up_rest(self) -> int:
        """Cancel what is still in flight; returns how many."""
        rest = list(self._running)
        for running in rest:
            running.stop("cancelled", "the server has shut down before the call was done")
        return len(rest)

    def close(self) -> None:
        """Drop the timer."""
        self._timer.close()

    # For RunningCall.

    def watch(self, running: RunningCall) -> None:
        """Keep an eye on a call that did not end at once."""
        self._running[running] = None
        if running.context.deadline is not None:
            self._timer.watch(running.context.deadline)

    def ended(self, running: RunningCall) -> None:
        """A handler is done, or has never begun."""
        self.in_flight -= 1
        self._running.pop(running, None)
        if self.in_flight == 0:
            self._quiet.set()

    def _sweep(self, now: float) -> float | None:
        earliest: float | None = None
        for running in tuple(self._running):
            deadline = running.context.deadline
            if deadline is None or running.context.cancelled:
                continue
            if deadline <= now:
                running.stop("deadline_exceeded", "the deadline passed while the handler ran")
            elif earliest is None or deadline < earliest:
                earliest = deadline
        return earliest

    def failure_of(self, error: BaseException, context: CurrentCall) -> Failure:
        """What a handler's exception is to the caller."""
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__)) if self._send_tracebacks else None
        if context.cancelled and isinstance(error, (asyncio.CancelledError, CallCancelled)):
            return Failure("cancelled", "the handler was cancelled", "maybe", "never", "none")
        return Failure("remote_error", str(error) or type(error).__name__, "yes", "never", "none", error_type=type(error).__name__, traceback=text)

    def encode(self, call: InboundCall, codec: MethodCodec, value: Any) -> tuple[bytes, bool] | Failure:
        """A handler's result as a body that the peer takes. The handler has run, whatever is wrong with it."""
        try:
            body = codec.encode_result(value)
            rule = self._rules[call.peer.compressor]
            limit = call.peer.max_body
            if len(body) <= rule.threshold and (limit is None or len(body) <= limit):
                return body, False
            return rule.pack(body, limit)
        except InvalidArgument as error:
            return Failure("invalid_argument", f"the result of {call.method} does not fit: {error.message}", "yes", "never", "none", path=error.path)
        except MessageTooLarge as error:
            return Failure("message_too_large", f"the result of {call.method}: {error.message}", "yes", "never", "none")

    def inflate(self, call: InboundCall) -> bytes | Failure:
        """A compressed request's body."""
        try:
            return self._rules[call.peer.compressor].unpack(call.body)
        except (MessageTooLarge, ProtocolError) as error:
            return local(error.kind, error.message)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The serving loop."""
        return self._loop

    @property
    def threads(self) -> HandlerThreads:
        """Run ``def`` handlers."""
        return self._threads

    def context_of(self, call: InboundCall, deadline: float | None) -> CurrentCall:
        """What the handler can know of its call."""
        return CurrentCall(self._service, call.method, deadline, call.metadata, call.baggage, call.peer.address, call.dedupe_key, self._clock)


class RunningCall:
    """A request between its acceptance and its answer. On the loop's thread, except where it says otherwise."""

    __slots__ = ("_begun", "_bound", "_call", "_endpoint", "_task", "context", "ended")

    def __init__(self, endpoint: ServiceEndpoint, call: InboundCall, bound: BoundHandler, deadline: float | None) -> None:
        self._endpoint = endpoint
        self._call = call
        self._bound = bound
        self._task: asyncio.Future[Any] | None = None
        self._begun = False
        self.ended = False
        self.context = endpoint.context_of(call, deadline)

    def inflate_elsewhere(self) -> None:
        """Inflate a large body off the loop, then go on."""
        endpoint = self._endpoint
        endpoint.watch(self)

        def inflated(body: bytes | Failure) -> None:
            if self.context.cancelled:
                self._end(local("cancelled", "given up before the handler began"))
            else:
                self._run(body)

        def job() -> None:
            endpoint.loop.call_soon_threadsafe(inflated, endpoint.inflate(self._call))

        endpoint.threads.submit(job)

    def start(self) -> None:
        """Decode and run."""
        self._run(self._endpoint.inflate(self._call) if self._call.compressed else self._call.body)

    def _run(self, body: bytes | Failure) -> None:
        if isinstance(body, Failure):
            self._end(body)
            return
        bound = self._bound
        try:
            args, kwargs = bound.codec.decode_args(self._call.form, body)
        except InvalidArgument as error:
            self._end(local("invalid_argument", error.message, path=error.path))
            return
        if bound.kind == "nonblocking":
            self._run_here(args, kwargs)
        elif bound.kind == "async":
            token = set_current(self.context)
            try:
                self._task = self._endpoint.loop.create_task(self._run_async(args, kwargs))
            finally:
                reset_current(token)
            self._endpoint.watch(self)
        else:
            self._endpoint.watch(self)
            self._endpoint.threads.submit(lambda: self._run_threaded(args, kwargs))

    def _run_here(self, args: Any, kwargs: Any) -> None:
        token = set_current(self.context)
        try:
            value = self._bound.function(*args, **kwargs)
        except _ANSWERS as error:
            self._end(self._endpoint.failure_of(error, self.context))
            return
        finally:
            reset_current(token)
        self._answer(self._endpoint.encode(self._call, self._bound.codec, value))

    async def _run_async(self, args: Any, kwargs: Any) -> None:
        self._begun = True
        answer: tuple[bytes, bool] | Failure
        try:
            value = await self._bound.function(*args, **kwargs)
            answer = self._endpoint.encode(self._call, self._bound.codec, value)
        except _ANSWERS as error:
            answer = self._endpoint.failure_of(error, self.context)
        self._answer(answer)

    def _run_threaded(self, args: Any, kwargs: Any) -> None:
        """On a handler thread."""
        context = self.context
        # Before the look at `cancelled`: stop() writes and reads in the opposite order, so it never says "no" of a handler that runs.
        self._begun = True
        if context.cancelled or (context.deadline is not None and context.time_left == 0.0):
            answer: tuple[bytes, bool] | Failure = local("deadline_exceeded", "the deadline passed while the request waited for a thread")
        else:
            token = set_current(context)
            try:
                value = self._bound.function(*args, **kwargs)
                answer = self._endpoint.encode(self._call, self._bound.codec, value)
            except BaseException as error:  # noqa: BLE001  # SystemExit too: a handler must not end a thread of the pool
                answer = self._endpoint.failure_of(error, context)
            finally:
                reset_current(token)
        try:
            self._endpoint.loop.call_soon_threadsafe(self._answer, answer)
        except RuntimeError:
            pass  # the loop is closed: the server has left past this handler

    def _answer(self, answer: tuple[bytes, bool] | Failure) -> None:
        if isinstance(answer, Failure):
            self._end(answer)
            return
        self.ended = True
        self._endpoint.ended(self)
        self._call.reply(*answer)

    def _end(self, failure: Failure) -> None:
        self.ended = True
        self._endpoint.ended(self)
        self._call.fail(failure)

    def stop(self, kind: str, message: str) -> None:
        """Give the call up on the server's side, and tell the caller. What a thread has begun goes on until it looks at ``cancelled``."""
        self.context.cancelled = True
        self._call.fail(Failure(kind, message, "maybe" if self._begun else "no", "never", "none"))
        self.cancel()

    def cancel(self) -> None:
        """See :class:`bee_core.interfaces.Running`."""
        self.context.cancelled = True
        if self._task is None or self.ended:
            return
        self._task.cancel()
        if not self._begun:
            # A task that is cancelled before its first step never runs a line of ours, so it is counted out here.
            self.ended = True
            self._endpoint.ended(self)


