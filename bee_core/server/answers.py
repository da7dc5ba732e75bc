"""What a server answers: bodies read and made, results packed and sent.

Whatever a plugin raises here beside the errors of its contract goes to :mod:`.faults`.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import copy_context
from inspect import isawaitable
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

from ..contracts.memory_bound import FREE
from ..contracts.size_rule import HEAVY, MOST_HERE
from ..errors import InvalidArgument, MessageTooLarge, ProtocolError
from ..terms.call_context import set_current
from ..terms.causes import local
from ..terms.failures import Failure, Success
from .faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..contracts.endpoint import InboundCall
    from ..contracts.flight_recorder import FlightRecorder
    from ..contracts.observation import Interception, Observation
    from ..contracts.plugin_origin import Blame
    from ..contracts.size_rule import SizeRule
    from ..terms.failures import Outcome
    from .admission import Admission
    from .handlers import BoundHandler
    from .in_flight import InFlight
    from .limiters import Limiters
    from .threads import HandlerThreads

Answer = tuple[bytes, bool] | Failure
"""A body and whether it is compressed, or why there is none."""
LARGE = 64 * 1024
"""Bytes of an answer for which a thread waits until the loop has sent it."""
_PATIENCE = 1.0
"""Seconds that a thread with a large answer waits for the loop, which may be gone."""
SUCCESS = Success(b"")
"""That a call went well; the limiter has no use for its result."""
_NOTHING = b"", False


class Unfinished(NamedTuple):
    """What came of a handler, where more must be done before it is an answer.

    Attributes:
        awaitable: To be awaited on the loop: a ``def`` handler may return a coroutine.
        encoded: To be compressed.
        again: Runs the handler, which has not begun, once the caller reads its replies.
    """

    awaitable: Any = None
    encoded: bytes = b""
    again: Callable[[], None] | None = None


class Answers:
    """Makes and sends the answers of one service. On the loop's thread, unless a method says more.

    Args:
        rules: For each compressor's name and None, the size rule.
        codecs: By name, for messages about them.
        threads: Run handlers, and what would hold up the loop.
        flight: Counts the calls.
        limiters: Bound the calls that run at a time.
        admission: What is refused because there is too much to do.
        interceptors: Stand around each call.
        observers: Are told of each call.
        send_tracebacks: Whether errors carry the server's traceback.
        blame: Says where a plugin comes from.
        recorder: Remembers the last requests, or None.

    Attributes:
        faults: Makes failures of exceptions.
        context: What the program had set when the server started. Each handler runs in a copy.
        hooked: Whether there are observers of requests or interceptors.
        straight: Whether nothing stands between a request and its handler: neither those nor a
            limiter.
    """

    __slots__ = (
        "_codecs",
        "_rules",
        "admission",
        "context",
        "faults",
        "flight",
        "hooked",
        "interceptors",
        "limiters",
        "loop",
        "observers",
        "recorder",
        "straight",
        "threads",
    )

    def __init__(
        self,
        rules: Mapping[str | None, SizeRule],
        codecs: Mapping[str, object],
        threads: HandlerThreads,
        flight: InFlight,
        limiters: Limiters,
        admission: Admission,
        interceptors: Interception,
        observers: Observation,
        *,
        send_tracebacks: bool,
        blame: Blame,
        recorder: FlightRecorder | None = None,
    ) -> None:
        self.recorder = recorder
        self._rules = rules
        self._codecs = codecs
        self.threads = threads
        self.flight = flight
        self.limiters = limiters
        self.admission = admission
        self.interceptors = interceptors
        self.observers = observers
        self.hooked = bool(interceptors.count) or observers.of_requests
        self.straight = not limiters.there and not self.hooked
        self.loop = asyncio.get_running_loop()
        self.context = copy_context()
        self.faults = Faults(self.on_loop, self.loop, blame, send_tracebacks=send_tracebacks)

    def revised(
        self,
        rules: Mapping[str | None, SizeRule],
        limiters: Limiters,
        interceptors: Interception,
        observers: Observation,
        *,
        send_tracebacks: bool,
        blame: Blame,
    ) -> Answers:
        """The same for the calls from now on, by another configuration."""
        made = Answers(
            rules,
            self._codecs,
            self.threads,
            self.flight,
            limiters,
            self.admission,
            interceptors,
            observers,
            send_tracebacks=send_tracebacks,
            blame=blame,
            recorder=self.recorder,
        )
        made.context = self.context
        made.faults.lines = self.faults.lines
        return made

    def on_loop(self, callback: Callable[..., object], *args: Any) -> None:
        """Call back on the serving loop; from any thread."""
        try:
            self.loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            return  # the loop is closed: the server has left past this handler

    def on_loop_in_turn(self, callback: Callable[..., object], *args: Any) -> None:
        """Call back on the serving loop and wait a while until it has; from a thread of the pool.

        A thread that went on at once could make large answers faster than the loop sends them.
        """
        done = Event()
        self.on_loop(callback, *args)
        self.on_loop(done.set)
        done.wait(_PATIENCE)

    # Requests.

    def inflate_here(self, call: InboundCall) -> bytes | Failure | None:
        """The body of a compressed request; None for one that is too large for the loop."""
        rule = self._rules[call.caller.compressor]
        if len(call.body) >= HEAVY:
            return None
        try:
            body = rule.unpack(call.body, MOST_HERE)
        except MessageTooLarge as error:
            if rule.max_inflated > MOST_HERE:
                return None
            return local(error.kind, error.message)
        except ProtocolError as error:
            return local(error.kind, error.message)
        except BaseException as error:  # a bug of the compressor
            return self.faults.fault(rule.compressor, "decompress", call, error, "no")
        if len(body) > FREE:
            call.becomes(len(body))
        return body

    def most_inflated(self, call: InboundCall) -> int:
        """Bytes that the body of a compressed request may become."""
        return self._rules[call.caller.compressor].max_inflated

    def inflate(self, call: InboundCall) -> bytes | Failure:
        """The body of a compressed request; from any thread."""
        rule = self._rules[call.caller.compressor]
        try:
            return rule.unpack(call.body)
        except (MessageTooLarge, ProtocolError) as error:
            return local(error.kind, error.message)
        except BaseException as error:  # a bug of the compressor
            return self.faults.fault(rule.compressor, "decompress", call, error, "no")

    def undecoded(self, call: InboundCall, bound: BoundHandler, error: BaseException) -> Failure:
        """Why the arguments cannot be decoded: the caller's fault, or the codec's."""
        if isinstance(error, InvalidArgument):
            return local("invalid_argument", error.message, path=error.path)
        return self.faults.fault(self._codec(call, bound), "decode_args", call, error, "no")

    def run_here(self, call: InboundCall, bound: BoundHandler, body: bytes) -> Answer | Unfinished:
        """Decode, and run a ``@nonblocking`` handler. In a context of the call's own."""
        try:
            args, kwargs = bound.codec.decode_args(call.form, body)
        except BaseException as error:
            return self.undecoded(call, bound, error)
        set_current(call)
        try:
            value = bound.function(*args, **kwargs)
        except BaseException as error:
            return self.faults.failure_of(error, call, bound.errors)
        return self.encode(call, bound, value)

    def run_there(
        self, call: InboundCall, bound: BoundHandler, args: Any, kwargs: Any
    ) -> Answer | Unfinished:
        """Run a ``def`` handler, and encode and compress its result; on a thread of the pool.

        In a context of the call's own.
        """
        if call.cancelled or (call.deadline is not None and call.time_left == 0.0):
            message = "the deadline passed while the request waited for a thread"
            return local("deadline_exceeded", message)
        try:
            set_current(call)
            answer = self.encode(call, bound, bound.function(*args, **kwargs))
            if type(answer) is Unfinished and answer.encoded:
                size = len(answer.encoded)
                self.on_loop(call.packs, size)
                try:
                    answer = self.pack(call, answer.encoded)
                finally:
                    self.on_loop(call.packs, -size)
        except BaseException as error:  # a handler must not end a thread of the pool
            return self.faults.failure_of(error, call, bound.errors)
        return answer

    # Results.

    def encode(self, call: InboundCall, bound: BoundHandler, value: Any) -> Answer | Unfinished:
        """The answer that carries a handler's result; of a oneway call it is thrown away.

        From any thread. The handler has run, whatever is wrong with its result.
        """
        if call.oneway:
            awaited = value is not None and isawaitable(value)
            return Unfinished(awaitable=value) if awaited else _NOTHING
        try:
            encoded = bound.codec.encode_result(value)
            size, caller = len(encoded), call.caller
        except BaseException as error:
            return self._not_encoded(call, bound, value, error)
        if size <= self._rules[caller.compressor].threshold and (
            caller.max_body is None or size <= caller.max_body
        ):
            return encoded, False
        return Unfinished(encoded=encoded)

    def _not_encoded(
        self, call: InboundCall, bound: BoundHandler, value: Any, error: BaseException
    ) -> Failure | Unfinished:
        # No codec carries an awaitable. Asked only here, it costs ordinary results nothing.
        if isawaitable(value):
            return Unfinished(awaitable=value)
        if isinstance(error, InvalidArgument):
            self.faults.lines.handler_raised(call, error)
            message = f"the result of {call.method} does not fit: {error.message}"
            return Failure("invalid_argument", message, "yes", "never", "none", path=error.path)
        return self.faults.fault(self._codec(call, bound), "encode_result", call, error, "yes")

    def pack(self, call: InboundCall, body: bytes) -> Answer:
        """Apply the size rule to a result; from any thread."""
        rule = self._rules[call.caller.compressor]
        try:
            return rule.pack(body, call.caller.max_body)
        except MessageTooLarge as error:
            message = f"the result of {call.method}: {error.message}"
            return Failure("message_too_large", message, "yes", "never", "none")
        except BaseException as error:  # a bug of the compressor
            return self.faults.fault(rule.compressor, "compress", call, error, "yes")

    # Sending.

    def send(self, call: InboundCall, answer: Answer) -> None:
        """Send an answer that is ready. Never raises."""
        try:
            if type(answer) is tuple:
                body, compressed = answer  # a call with a star costs twice as much
                call.reply(body, compressed)
            else:
                call.fail(answer)  # type: ignore[arg-type]  # mypy does not narrow by `type()`
        except BaseException as error:
            self._not_sent(call, answer, error)

    def release(self, call: InboundCall, outcome: Outcome | None, seconds: float) -> None:
        """Give a permit of the limiter back. Never raises."""
        limiter = self.limiters.of(call.method)
        if limiter is None:
            return
        try:
            limiter.release(outcome, seconds)
        except BaseException as error:
            self.faults.fault(limiter, "release", call, error, "maybe")
            try:  # the permit is still out; see Limiter.release()
                limiter.release(None, 0.0)
            except BaseException as again:
                self.faults.fault(limiter, "release", call, again, "maybe")

    def _not_sent(self, call: InboundCall, answer: Answer, error: BaseException) -> None:
        """Answer with a failure that nothing is wrong with. The answer at hand cannot be sent."""
        executed = answer.executed if isinstance(answer, Failure) else "yes"
        failure = self.faults.fault(None, "send", call, error, executed)
        with contextlib.suppress(Exception):
            call.fail(failure)

    def _codec(self, call: InboundCall, bound: BoundHandler) -> object:
        return self._codecs.get(call.caller.codec, bound.codec)
