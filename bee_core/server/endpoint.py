"""What happens to a request inside a server: decided about before any work, run as its handler's kind wants, answered once."""

from __future__ import annotations

import asyncio
import traceback
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ..contracts.size_rule import HEAVY
from ..errors import CallCancelled, InvalidArgument, MessageTooLarge, ProtocolError
from ..streams.deadline_timer import DeadlineTimer
from ..terms.call_context import reset_current, set_current
from ..terms.failures import Failure, local
from .running_call import ANSWERS, RunningCall, misfit, on_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..contracts.codec import MethodCodec
    from ..contracts.policies import Limiter
    from ..contracts.size_rule import SizeRule
    from ..contracts.transport import InboundCall, Running
    from ..tokens import Tokens
    from ..wire.messages import Hello, HelloAck
    from .handlers import Handler
    from .threads import HandlerThreads


_NO_TOKEN = "this server wants a token and the client shows none; state token under bee.rpc.client.<service>"  # noqa: S105  # words about it
_WRONG_TOKEN = (
    "the client's token is not accepted here; compare its token with tokens under bee.rpc.server"  # noqa: S105  # words about it
)


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
        max_in_flight: Requests at a time, those in the limiter's queue included; one more is refused before any work.
        limiter: Bounds the requests that run at a time, or None.
        send_tracebacks: Whether errors carry the server's traceback.
        clock: Seconds, monotonic.
        tokens: What a client must show one of, or None where anybody may call.
    """

    def __init__(
        self,
        ack: HelloAck,
        tables: Mapping[str, Mapping[str, BoundHandler]],
        rules: Mapping[str | None, SizeRule],
        threads: HandlerThreads,
        *,
        max_in_flight: int,
        limiter: Limiter | None,
        send_tracebacks: bool,
        clock: Callable[[], float],
        tokens: Tokens | None = None,
    ) -> None:
        self.ack = ack
        self.draining = False
        self.in_flight = 0
        self._service = ack.service
        self._tables = tables
        self._rules = rules
        self.threads = threads
        self._max_in_flight = max_in_flight
        self.limiter = limiter
        self._send_tracebacks = send_tracebacks
        self.clock = clock
        self._tokens = tokens
        self.loop = asyncio.get_running_loop()
        self._running: dict[RunningCall, None] = {}
        self._timer = DeadlineTimer(self.loop, clock, self._sweep)
        self._quiet: asyncio.Event = asyncio.Event()

    def admit(self, hello: Hello) -> Failure | None:
        """Decide about a peer: it must be one of ours, and want this service, in a codec and with a compressor that are there."""
        # The token first: a stranger does not learn what is offered here.
        if self._tokens is not None and not self._tokens.accept(hello.token):
            return local("unauthenticated", _NO_TOKEN if hello.token is None else _WRONG_TOKEN)
        if hello.service != self._service:
            return local(
                "protocol_error",
                f"this is the service {self._service!r}, not {hello.service!r}: the address belongs to another service",
            )
        if hello.codec not in self._tables:
            return local(
                "protocol_error",
                f"the codec {hello.codec!r} is not offered here; offered: {', '.join(sorted(self._tables))} (server.codecs)",
            )
        if hello.compressor is not None and hello.compressor not in self._rules:
            names = ", ".join(sorted(name for name in self._rules if name)) or "none"
            return local(
                "protocol_error",
                f"the compressor {hello.compressor!r} is not offered here; offered: {names} (server.compressors)",
            )
        return None

    def begin(self, call: InboundCall) -> Running | None:
        """Start a request, or reject it: whatever is rejected here did not run."""
        # Load first: under overload the cheapest answer counts.
        if self.in_flight >= self._max_in_flight:
            call.fail(
                local(
                    "overloaded",
                    f"{self.in_flight} requests are in flight, max_in_flight is {self._max_in_flight}",
                )
            )
            return None
        granted = call.granted
        if granted is not None:
            if granted <= 0:
                call.fail(local("deadline_exceeded", "the request was late when it arrived"))
                return None
            call.deadline = self.clock() + granted
        bound = self._tables[call.caller.codec].get(call.method)
        if bound is None:
            call.fail(self._unknown(call))
            return None
        if self.limiter is not None:
            return self._begin_limited(call, bound, self.limiter)
        if bound.kind == "nonblocking" and not call.compressed:
            self.run_here(call, bound, call.body)
            return None
        running = RunningCall(self, call, bound)
        self.in_flight += 1
        running.start()
        return None if running.ended else running

    def _begin_limited(
        self, call: InboundCall, bound: BoundHandler, limiter: Limiter
    ) -> Running | None:
        # Last of all checks: a permit is only taken for what would run.
        admitted = limiter.admit(self.clock())
        if isinstance(admitted, Failure):
            call.fail(admitted)
            return None
        running = RunningCall(self, call, bound)
        self.in_flight += 1
        if admitted is True:
            running.permitted_at = self.clock()
            running.start()
        else:
            running.queue(admitted)
        return None if running.ended else running

    def _unknown(self, call: InboundCall) -> Failure:
        table = self._tables[call.caller.codec]
        near = get_close_matches(call.method[:128], table, n=3)
        hint = (
            f"; did you mean {' or '.join(near)}?"
            if near
            else f"; there are: {', '.join(sorted(table)[:20])}"
        )
        return local(
            "method_not_found",
            f"the service {self._service} has no method {call.method[:128]!r}{hint}",
        )

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
        if running.call.deadline is not None:
            self._timer.watch(running.call.deadline)

    def ended(self, running: RunningCall) -> None:
        """A handler is done, or has never begun."""
        self._running.pop(running, None)
        self.leave_flight()
        if running.permitted_at is not None and self.limiter is not None:
            self.limiter.release(running.outcome, self.clock() - running.permitted_at)

    def leave_flight(self) -> None:
        """One request less in flight."""
        self.in_flight -= 1
        if self.in_flight == 0:
            self._quiet.set()

    def _sweep(self, now: float) -> float | None:
        earliest: float | None = None
        for running in tuple(self._running):
            deadline = running.call.deadline
            if deadline is None or running.call.cancelled:
                continue
            if deadline <= now:
                running.stop("deadline_exceeded", "the deadline passed while the handler ran")
            elif earliest is None or deadline < earliest:
                earliest = deadline
        return earliest

    def failure_of(self, error: BaseException, call: InboundCall) -> Failure:
        """What a handler's exception is to the caller."""
        text = (
            "".join(traceback.format_exception(type(error), error, error.__traceback__))
            if self._send_tracebacks or call.oneway
            else None
        )
        if call.cancelled and isinstance(error, (asyncio.CancelledError, CallCancelled)):
            return Failure("cancelled", "the handler was cancelled", "maybe", "never", "none")
        return Failure(
            "remote_error",
            str(error) or type(error).__name__,
            "yes",
            "never",
            "none",
            error_type=type(error).__name__,
            traceback=text,
        )

    def run_here(self, call: InboundCall, bound: BoundHandler, body: bytes) -> None:
        """Decode, run and answer a ``@nonblocking`` handler in one go."""
        codec = bound.codec
        try:
            args, kwargs = codec.decode_args(call.form, body)
        except InvalidArgument as error:
            call.fail(misfit(error))
            return
        token = set_current(call)
        try:
            value = bound.function(*args, **kwargs)
        except ANSWERS as error:
            call.fail(self.failure_of(error, call))
            return
        finally:
            reset_current(token)
        self.answer(call, codec, value)

    def answer(self, call: InboundCall, codec: MethodCodec, value: Any) -> None:
        """Encode a handler's result and send it; of a oneway call it is thrown away."""
        if call.oneway:
            call.reply(b"", False)
            return
        try:  # what encode() does, without the call
            encoded = codec.encode_result(value)
        except InvalidArgument as error:
            call.fail(_unfit(call, error))
            return
        if self.fits(call, encoded):
            call.reply(encoded, False)
        elif len(encoded) < HEAVY:
            self.send(call, self.pack(call, encoded))
        else:
            # Compressing megabytes would hold up every other call. The call counts as in flight until its answer is out.
            self.in_flight += 1

            def job() -> None:
                on_loop(self.loop, self._packed, call, self.pack(call, encoded))

            self.threads.submit(job)

    def _packed(self, call: InboundCall, packed: tuple[bytes, bool] | Failure) -> None:
        self.leave_flight()
        self.send(call, packed)

    def send(self, call: InboundCall, packed: tuple[bytes, bool] | Failure) -> None:
        """Send what :meth:`pack` made."""
        if isinstance(packed, Failure):
            call.fail(packed)
        else:
            call.reply(*packed)

    def encode(self, call: InboundCall, codec: MethodCodec, value: Any) -> bytes | Failure:
        """A handler's result as bytes. The handler has run, whatever is wrong with its result."""
        try:
            return codec.encode_result(value)
        except InvalidArgument as error:
            return _unfit(call, error)

    def fits(self, call: InboundCall, body: bytes) -> bool:
        """Whether a result can go out as it is."""
        caller, size = call.caller, len(body)
        return size <= self._rules[caller.compressor].threshold and (
            caller.max_body is None or size <= caller.max_body
        )

    def pack(self, call: InboundCall, body: bytes) -> tuple[bytes, bool] | Failure:
        """Apply the size rule to a result; from any thread."""
        try:
            return self._rules[call.caller.compressor].pack(body, call.caller.max_body)
        except MessageTooLarge as error:
            return Failure(
                "message_too_large",
                f"the result of {call.method}: {error.message}",
                "yes",
                "never",
                "none",
            )

    def inflate(self, call: InboundCall) -> bytes | Failure:
        """A compressed request's body."""
        try:
            return self._rules[call.caller.compressor].unpack(call.body)
        except (MessageTooLarge, ProtocolError) as error:
            return local(error.kind, error.message)


def _unfit(call: InboundCall, error: InvalidArgument) -> Failure:
    return Failure(
        "invalid_argument",
        f"the result of {call.method} does not fit: {error.message}",
        "yes",
        "never",
        "none",
        path=error.path,
    )
