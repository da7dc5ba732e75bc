"""What a server decides about peers and requests before any work is done."""

from __future__ import annotations

from difflib import get_close_matches
from hashlib import sha256
from hmac import compare_digest
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from ..contracts.observation import Interception, Observation
from ..contracts.plugin_origin import of_unknown
from ..terms.causes import local
from ..terms.failures import Load
from ..wire.messages import ANY_SERVICE
from .admission import Admission
from .answers import Answers, Unfinished
from .in_flight import InFlight
from .injected_faults import with_faults
from .limiters import NO_LIMITERS, Limiters
from .loop_lag import LoopLag
from .recording import record, record_refusal, running
from .running_call import RunningCall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..config.secret import Secret
    from ..config.server_model import ServerConfig
    from ..contracts.connection_numbers import ConnectionNumbers
    from ..contracts.endpoint import InboundCall, Running, ServedMethod
    from ..contracts.flight_recorder import FlightRecorder, Kept
    from ..contracts.plugin_origin import Blame
    from ..contracts.size_rule import SizeRule
    from ..errors import Executed
    from ..terms.failures import Failure
    from ..wire.messages import Hello, HelloAck
    from .handlers import BoundHandler
    from .threads import HandlerThreads

    Tokens = Sequence[Secret]

_NO_INTERCEPTORS, _NO_OBSERVERS = Interception(), Observation()
_NOTHING_SHOWN = (
    "this server wants a token and the client shows none; "
    "state token under bee.rpc.client.<service>"
)
_NOT_ACCEPTED = (
    "the client's token is not accepted here; compare its token with tokens under bee.rpc.server"
)


def entry_of(tokens: Tokens, token: str | None) -> Secret | None:
    """The entry of the configuration that a token belongs to, or None for one that is not accepted.

    From any thread. The time that it takes does not tell which one, how much of it was right, or
    how long they are. Of several entries with this token the first one counts.

    Args:
        tokens: The entries. Each gives its tokens as they are now.
        token: What a client shows, or None.
    """
    # Digests have one length, and the comparison looks at all of each and at all of them.
    given = sha256((token or "").encode()).digest()
    found = [
        entry
        for entry in tokens
        for known in entry.values()
        if compare_digest(sha256(known.encode()).digest(), given)
    ]
    return found[0] if found and token is not None else None


@attrs.frozen
class Parts:
    """What a configuration makes for the requests of a server.

    Attributes:
        rules: For each compressor's name and None, the size rule.
        limiters: Bound the requests that run at a time.
        interceptors: Stand around each call.
        observers: Are told of each call.
    """

    rules: Mapping[str | None, SizeRule]
    limiters: Limiters
    interceptors: Interception
    observers: Observation


class ServiceEndpoint:
    """See :class:`bee_core.interfaces.Endpoint`.

    Args:
        ack: What the server says of itself.
        tables: For each codec's name, the bound handlers by method name.
        rules: For each compressor's name and None, the size rule.
        threads: Run ``def`` handlers.
        settings: The server section: bounds, and the tokens of which a client must show one.
        limiters: Bound the requests that run at a time.
        clock: Seconds, monotonic.
        methods: What the methods are to people and tools, in the order of their names.
        codecs: By name, for what is said of them.
        interceptors: Stand around each call.
        observers: Are told of each call.
        blame: Says where a plugin comes from.
        streams: By name, why a method that an interface declares cannot be called: it would stream.
        recorder: Remembers the last requests, or None.

    Attributes:
        flight: The requests that have begun and not ended.
    """

    flight_type: type[InFlight] = InFlight
    numbers: ConnectionNumbers  # not looked at: the ack says nothing of answers that are remembered

    def __init__(
        self,
        ack: HelloAck,
        tables: Mapping[str, Mapping[str, BoundHandler]],
        rules: Mapping[str | None, SizeRule],
        threads: HandlerThreads,
        *,
        settings: ServerConfig,
        limiters: Limiters = NO_LIMITERS,
        clock: Callable[[], float],
        methods: Sequence[ServedMethod] = (),
        codecs: Mapping[str, object] = MappingProxyType({}),
        interceptors: Interception = _NO_INTERCEPTORS,
        observers: Observation = _NO_OBSERVERS,
        blame: Blame = of_unknown,
        streams: Mapping[str, str] = MappingProxyType({}),
        recorder: FlightRecorder | None = None,
    ) -> None:
        self.ack = ack
        self.clock = clock
        self.draining = False
        self.flight = self.flight_type(clock)
        self._tables = tables
        self._rules = rules
        self._threads = threads
        self._tokens: Tokens = settings.tokens
        self._methods = methods
        self._lag = LoopLag()
        self._admission = Admission(settings, threads, self._lag, clock)
        self._gate = self._admission.gate
        self._blame = blame
        self._streams = streams
        self._answers = Answers(
            rules,
            codecs,
            threads,
            self.flight,
            limiters,
            self._admission,
            with_faults(interceptors, settings.faults),
            observers,
            send_tracebacks=settings.send_tracebacks,
            blame=blame,
            recorder=recorder,
        )

    def reload(self, settings: ServerConfig, parts: Parts) -> None:
        """Take other bounds, tokens and policies. Requests in flight end with those of before."""
        self.ack = attrs.evolve(self.ack, max_body=settings.max_size)
        self._rules = parts.rules
        self._admission.revise(settings)
        self._gate = self._admission.gate
        self._tokens = settings.tokens
        self._threads.resize(settings.max_pool_size)
        self._answers = self._answers.revised(
            parts.rules,
            parts.limiters,
            with_faults(parts.interceptors, settings.faults),
            parts.observers,
            send_tracebacks=settings.send_tracebacks,
            blame=self._blame,
        )

    def admit(self, hello: Hello) -> Failure | None:
        """Decide about a peer.

        It must show one of the tokens and ask for this service, and its codec and compressor must
        be offered here.
        """
        failure = self._objection(hello)
        if failure is not None:
            fields = {"service": self.ack.service, "kind": failure.kind, "reason": failure.message}
            self._answers.observers.event("peer_refused", fields)
        return failure

    def _objection(self, hello: Hello) -> Failure | None:
        # The token first: a stranger does not learn what is offered here.
        if self._tokens and entry_of(self._tokens, hello.token) is None:
            return local(
                "unauthenticated", _NOTHING_SHOWN if hello.token is None else _NOT_ACCEPTED
            )
        if hello.service not in {self.ack.service, ANY_SERVICE}:
            return local(
                "protocol_error",
                f"this is the service {self.ack.service!r}, not {hello.service!r}: "
                "the address belongs to another service",
            )
        if hello.codec not in self._tables:
            names = ", ".join(sorted(self._tables))
            return local(
                "protocol_error",
                f"the codec {hello.codec!r} is not offered here; offered: {names} (server.codecs)",
            )
        if hello.compressor is not None and hello.compressor not in self._rules:
            names = ", ".join(sorted(name for name in self._rules if name)) or "none"
            return local(
                "protocol_error",
                f"the compressor {hello.compressor!r} is not offered here; "
                f"offered: {names} (server.compressors)",
            )
        return None

    def identity(self, hello: Hello) -> str | None:
        """See :meth:`bee_core.interfaces.Endpoint.identity`."""
        entry = entry_of(self._tokens, hello.token) if self._tokens else None
        return None if entry is None else entry.identity

    def methods(self) -> Sequence[ServedMethod]:
        """See :meth:`bee_core.interfaces.Endpoint.methods`."""
        return self._methods

    def load(self) -> Load:
        """The requests in flight and the lag of the loop. On the loop's thread only."""
        return Load(self.flight.count, self._lag.seconds())

    def begin(self, call: InboundCall) -> Running | None:
        """Start a request, or reject it: whatever is rejected here did not run. Never raises."""
        answers = self._answers
        answer = None
        try:
            # Load first: under overload the cheapest answer counts.
            if self.flight.count >= self._gate:
                refusal = self._admission.refusal(call, self.flight.count)
                if refusal is not None:
                    self._refuse(call, refusal)
                    return None
            call.accepted = now = self.clock()
            granted = call.granted
            if granted is not None:
                if granted <= 0:
                    late = "the request was late when it arrived"
                    self._refuse(call, local("deadline_exceeded", late))
                    return None
                call.deadline = now + granted
            bound = self._tables[call.caller.codec].get(call.method)
            if bound is None:
                self._refuse(call, self._unknown(call))
                return None
            if answers.straight and bound.kind == "nonblocking" and not call.compressed:
                # Nothing can come between the parts of this call: it is over when this returns.
                answer = answers.context.copy().run(answers.run_here, call, bound, call.body)
                if type(answer) is not Unfinished:
                    answers.send(call, answer)  # type: ignore[arg-type]  # not narrowed by type()
                    if answers.recorder is not None:
                        record(answers.recorder, call, answer)  # type: ignore[arg-type]
                    return None
                running = RunningCall(answers, call, bound)
                running.go_on(answer)
            else:
                running = RunningCall(answers, call, bound)
                running.begin()
        except BaseException as error:  # a bug of bee
            executed: Executed = "no" if answer is None else "yes"
            answers.send(call, answers.faults.fault(None, "begin", call, error, executed))
            return None
        return None if running.ended else running

    def _refuse(self, call: InboundCall, failure: Failure) -> None:
        """Answer a request that is not accepted."""
        observers = self._answers.observers
        if observers.of_refusals:
            observers.request_refused(call, failure)
        call.fail(failure)
        if self._answers.recorder is not None:
            record_refusal(self._answers.recorder, call, failure)

    def running(self) -> list[Kept]:
        """The requests that did not end at once and still run, for people. From any thread."""
        return running(self.flight)

    def _unknown(self, call: InboundCall) -> Failure:
        if call.method in self._streams:
            return local("method_not_found", self._streams[call.method])
        method = call.method[:128]
        table = [name for name in self._tables[call.caller.codec] if not name.startswith("_")]
        near = get_close_matches(method, table, n=3)
        there = f"there are: {', '.join(sorted(table)[:20])}"
        hint = f"did you mean {' or '.join(near)}?" if near else there
        return local(
            "method_not_found",
            f"the service {self.ack.service} has no method {method!r}; {hint}",
        )

    def close(self, timeout: float) -> list[str]:
        """Drop the timer, end the threads, and say what is counted in the log.

        Args:
            timeout: Seconds to wait for all threads that still work together.

        Returns:
            The names of the threads that hang in a handler.
        """
        self.flight.close()
        self._answers.faults.lines.close()
        self._lag.close()
        return self._threads.close(timeout)
