"""What a server answers: bodies read and made, results packed, exceptions turned into failures."""

from __future__ import annotations

import asyncio
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

from ..contracts.size_rule import HEAVY, SizeRule
from ..errors import CallCancelled, InvalidArgument, MessageTooLarge, ProtocolError
from ..terms.call_context import reset_current, set_current
from ..terms.causes import local
from ..terms.failures import Failure, Success

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..contracts.codec import MethodCodec
    from ..contracts.transport import InboundCall
    from .handlers import BoundHandler
    from .in_flight import InFlight
    from .threads import HandlerThreads

Answer = tuple[bytes, bool] | Failure
"""A body and whether it is compressed, or why there is none."""
HANDLER_ERRORS = (Exception, asyncio.CancelledError, SystemExit)
"""What a handler on the loop may raise as its answer; an ``exit()`` must not end the server."""
SUCCESS = Success(b"")
"""That a call went well; the limiter has no use for its result."""


def misfit(error: InvalidArgument) -> Failure:
    """The failure of arguments that do not fit the signature: the handler did not run."""
    return local("invalid_argument", error.message, path=error.path)


def _unfit(call: InboundCall, error: InvalidArgument) -> Failure:
    """The failure of a result that does not fit: the handler has run."""
    message = f"the result of {call.method} does not fit: {error.message}"
    return Failure("invalid_argument", message, "yes", "never", "none", path=error.path)


class Answers:
    """Makes and sends the answers of one service. On the loop's thread, unless a method says more.

    ``run_here``, ``answer`` and ``send`` take the same arguments: the call, its handler, and what
    the answer is made of. So a call can end with any of them.

    Args:
        rules: For each compressor's name and None, the size rule.
        threads: Pack results that would hold up the loop.
        flight: Counts such a result until it is sent.
        send_tracebacks: Whether errors carry the server's traceback.
    """

    __slots__ = ("_rules", "_send_tracebacks", "flight", "loop", "threads")

    def __init__(
        self,
        rules: Mapping[str | None, SizeRule],
        threads: HandlerThreads,
        flight: InFlight,
        *,
        send_tracebacks: bool,
    ) -> None:
        self._rules = rules
        self._send_tracebacks = send_tracebacks
        self.threads = threads
        self.flight = flight
        self.loop = asyncio.get_running_loop()

    def on_loop(self, callback: Callable[..., object], *args: Any) -> None:
        """Call back on the serving loop; from any thread."""
        try:
            self.loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            return  # the loop is closed: the server has left past this handler

    def inflate(self, call: InboundCall) -> bytes | Failure:
        """The body of a compressed request; from any thread."""
        try:
            return self._rules[call.caller.compressor].unpack(call.body)
        except (MessageTooLarge, ProtocolError) as error:
            return local(error.kind, error.message)

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
        except HANDLER_ERRORS as error:
            call.fail(self.failure_of(error, call))
            return
        finally:
            reset_current(token)
        self.answer(call, bound, value)

    def answer(self, call: InboundCall, bound: BoundHandler, value: Any) -> None:
        """Encode a handler's result and send it; of a oneway call it is thrown away."""
        if call.oneway:
            call.reply(b"", False)
            return
        try:
            encoded = bound.codec.encode_result(value)
        except InvalidArgument as error:
            call.fail(_unfit(call, error))
            return
        if self._fits(call, encoded):
            call.reply(encoded, False)
        elif len(encoded) < HEAVY:
            self.send(call, bound, self._pack(call, encoded))
        else:
            # Compressing megabytes would hold up every other call.
            # The answer has a place in flight of its own until it is sent.
            self.flight.count += 1
            self.threads.submit(partial(self._pack_on_thread, call, bound, encoded))

    def _pack_on_thread(self, call: InboundCall, bound: BoundHandler, body: bytes) -> None:
        self.on_loop(self._send_last, call, bound, self._pack(call, body))

    def _send_last(self, call: InboundCall, bound: BoundHandler, answer: Answer) -> None:
        self.flight.leave()
        self.send(call, bound, answer)

    def send(self, call: InboundCall, bound: BoundHandler, answer: Answer) -> None:
        """Send an answer that is ready."""
        if isinstance(answer, Failure):
            call.fail(answer)
        else:
            call.reply(*answer)

    def make(self, call: InboundCall, codec: MethodCodec, value: Any) -> Answer:
        """The answer that carries a handler's result; from any thread, and not for the loop's.

        The handler has run, whatever is wrong with its result.
        """
        if call.oneway:
            return b"", False
        try:
            encoded = codec.encode_result(value)
        except InvalidArgument as error:
            return _unfit(call, error)
        return (encoded, False) if self._fits(call, encoded) else self._pack(call, encoded)

    def _fits(self, call: InboundCall, body: bytes) -> bool:
        """Whether a result can go out as it is."""
        caller, size = call.caller, len(body)
        return size <= self._rules[caller.compressor].threshold and (
            caller.max_body is None or size <= caller.max_body
        )

    def _pack(self, call: InboundCall, body: bytes) -> Answer:
        """Apply the size rule to a result; from any thread."""
        try:
            return self._rules[call.caller.compressor].pack(body, call.caller.max_body)
        except MessageTooLarge as error:
            message = f"the result of {call.method}: {error.message}"
            return Failure("message_too_large", message, "yes", "never", "none")

    def failure_of(self, error: BaseException, call: InboundCall) -> Failure:
        """What a handler's exception is to the caller; from any thread."""
        if call.cancelled and isinstance(error, (asyncio.CancelledError, CallCancelled)):
            return Failure("cancelled", "the handler was cancelled", "maybe", "never", "none")
        kind = type(error)
        traced = self._send_tracebacks or call.oneway
        return Failure(
            "remote_error",
            str(error) or kind.__name__,
            "yes",
            "never",
            "none",
            error_type=kind.__name__,
            traceback="".join(traceback.format_exception(error)) if traced else None,
        )
