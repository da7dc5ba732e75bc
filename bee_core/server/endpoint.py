"""What a server decides about peers and requests before any work is done."""

from __future__ import annotations

from difflib import get_close_matches
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING

from ..terms.causes import local
from ..terms.failures import Failure
from .answers import Answers
from .in_flight import InFlight
from .running_call import RunningCall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..contracts.policies import Limiter
    from ..contracts.size_rule import SizeRule
    from ..contracts.transport import InboundCall, Running
    from ..wire.messages import Hello, HelloAck
    from .handlers import BoundHandler
    from .threads import HandlerThreads

    Tokens = Sequence[Callable[[], Sequence[str]]]

_NOTHING_SHOWN = (
    "this server wants a token and the client shows none; "
    "state token under bee.rpc.client.<service>"
)
_NOT_ACCEPTED = (
    "the client's token is not accepted here; compare its token with tokens under bee.rpc.server"
)


def accepts(tokens: Tokens, token: str | None) -> bool:
    """Whether a token is one of those that a server accepts; from any thread.

    The time that it takes does not tell which one, how much of it was right, or how long they are.

    Args:
        tokens: Each gives the tokens of one entry of the configuration, as they are now.
        token: What a client shows, or None.
    """
    # Digests have one length, and the comparison looks at all of each and at all of them.
    given = sha256((token or "").encode()).digest()
    found = False
    for source in tokens:
        for known in source():
            found |= compare_digest(sha256(known.encode()).digest(), given)
    return found and token is not None


class ServiceEndpoint:
    """See :class:`bee_core.interfaces.Endpoint`.

    Args:
        ack: What the server says of itself.
        tables: For each codec's name, the bound handlers by method name.
        rules: For each compressor's name and None, the size rule.
        threads: Run ``def`` handlers.
        max_in_flight: Requests at a time, those in the limiter's queue included. One more is
            refused before any work.
        limiter: Bounds the requests that run at a time, or None.
        send_tracebacks: Whether errors carry the server's traceback.
        clock: Seconds, monotonic.
        tokens: What a client must show one of, as :func:`accepts` takes them; empty where anybody
            may call.

    Attributes:
        flight: The requests that have begun and not ended.
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
        tokens: Tokens,
    ) -> None:
        self.ack = ack
        self.clock = clock
        self.draining = False
        self.flight = InFlight(clock, limiter)
        self._tables = tables
        self._rules = rules
        self._max_in_flight = max_in_flight
        self._limiter = limiter
        self._threads = threads
        self._tokens = tokens
        self._answers = Answers(rules, threads, self.flight, send_tracebacks=send_tracebacks)

    def admit(self, hello: Hello) -> Failure | None:
        """Decide about a peer.

        It must show one of the tokens and ask for this service, and its codec and compressor must
        be offered here.
        """
        # The token first: a stranger does not learn what is offered here.
        if self._tokens and not accepts(self._tokens, hello.token):
            return local(
                "unauthenticated", _NOTHING_SHOWN if hello.token is None else _NOT_ACCEPTED
            )
        if hello.service != self.ack.service:
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

    def begin(self, call: InboundCall) -> Running | None:
        """Start a request, or reject it: whatever is rejected here did not run."""
        # Load first: under overload the cheapest answer counts.
        if self.flight.count >= self._max_in_flight:
            message = (
                f"{self.flight.count} requests are in flight, "
                f"max_in_flight is {self._max_in_flight}"
            )
            call.fail(local("overloaded", message))
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
        limiter = self._limiter
        if limiter is None and bound.kind == "nonblocking" and not call.compressed:
            self._answers.run_here(call, bound, call.body)
            return None
        # Last of all checks: a permit is only taken for what would run.
        admitted = None if limiter is None else limiter.admit(self.clock())
        if isinstance(admitted, Failure):
            call.fail(admitted)
            return None
        running = RunningCall(self._answers, call, bound)
        if admitted is None:
            running.start()
        elif admitted is True:
            running.permitted_at = self.clock()
            running.start()
        else:
            running.queue(admitted)
        return None if running.ended else running

    def _unknown(self, call: InboundCall) -> Failure:
        table, method = self._tables[call.caller.codec], call.method[:128]
        near = get_close_matches(method, table, n=3)
        there = f"there are: {', '.join(sorted(table)[:20])}"
        hint = f"did you mean {' or '.join(near)}?" if near else there
        return local(
            "method_not_found",
            f"the service {self.ack.service} has no method {method!r}; {hint}",
        )

    def close(self, timeout: float) -> list[str]:
        """Drop the timer and end the threads.

        Args:
            timeout: Seconds to wait for all threads that still work together.

        Returns:
            The names of the threads that hang in a handler.
        """
        self.flight.close()
        return self._threads.close(timeout)
