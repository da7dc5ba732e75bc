"""Observer ``opentelemetry``: spans and durations of calls and requests.

A call is a span of kind CLIENT. Each of its attempts is a child of it, of kind INTERNAL. The
context of the CLIENT span travels in the metadata, so the server's span is a child of it as well.
At the server the handler runs inside of a span of kind SERVER.
"""

from __future__ import annotations

import importlib.metadata
from time import time_ns
from typing import TYPE_CHECKING, Any

import attrs
from opentelemetry import context as contexts
from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind, StatusCode

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Observer

from .attributes import (
    BOUNDARIES,
    METHOD_NOT_FOUND,
    NO_ERROR_OF_THE_SERVER,
    SCHEMA,
    Method,
    Methods,
    peer_of,
    status_of,
)
from .propagation import Propagation

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram
    from opentelemetry.trace import Span

    from bee_core.interfaces import (
        CallRecord,
        Failure,
        InboundCall,
        Node,
        Outcome,
        Request,
        Snapshot,
    )

SCOPE = "bee-rpc"
FLUSH_MILLISECONDS = 1000
"""What a server that stops waits for a collector, for spans and for metrics each. It has drained
before, so nobody waits for it but whoever has stopped it."""


@attrs.frozen
class OpenTelemetryOptions:
    """Options of ``opentelemetry``.

    Attributes:
        traces: Make spans, and send the context of the trace along.
        metrics: Measure durations.
        attempts: Make a span of each attempt. Without, a call has one span less, and a failed
            attempt is an event of it.
        baggage: Send OpenTelemetry's baggage along. It is off because baggage may hold what other
            teams must not see.
    """

    traces: bool = True
    metrics: bool = True
    attempts: bool = True
    baggage: bool = False


class Under:
    """A call or a request under way.

    Attributes:
        method: Its attributes.
        start: Nanoseconds since the epoch.
        span: Its span, or None.
        context: The context with the span in it, or None.
        oneway: Whether nobody waits for an answer.
        attempts: The attempts that have ended.
    """

    __slots__ = ("attempts", "context", "method", "oneway", "span", "start")

    def __init__(self, method: Method, *, oneway: bool) -> None:
        self.method = method
        self.start = time_ns()
        self.span: Span | None = None
        self.context: contexts.Context | None = None
        self.oneway = oneway
        self.attempts = 0


class OpenTelemetry(Observer):
    """See :class:`bee_core.interfaces.Observer`. Thread-safe.

    The providers are the global ones. They may be set before or after: the API's proxies wait for
    them. Without an SDK all of this does nothing but pass the caller's context on.
    """

    def __init__(self, options: OpenTelemetryOptions) -> None:
        if not (options.traces or options.metrics):
            raise ValueError("traces and metrics are both off: leave the observer out")
        version = importlib.metadata.version(SCOPE)
        self._tracer = (
            trace.get_tracer(SCOPE, version, schema_url=SCHEMA) if options.traces else None
        )
        self._attempts = options.attempts
        self._propagation = Propagation(baggage=options.baggage)
        self._calls = Methods(frozenset({"OK"}))
        self._requests = Methods(NO_ERROR_OF_THE_SERVER)
        self._call_duration: Histogram | None = None
        self._request_duration: Histogram | None = None
        if options.metrics:
            meter = metrics.get_meter(SCOPE, version, schema_url=SCHEMA)
            self._call_duration = meter.create_histogram(
                "rpc.client.call.duration",
                unit="s",
                description="Measures the duration of an outgoing Remote Procedure Call (RPC).",
                explicit_bucket_boundaries_advisory=BOUNDARIES,
            )
            self._request_duration = meter.create_histogram(
                "rpc.server.call.duration",
                unit="s",
                description="Measures the duration of an incoming Remote Procedure Call (RPC).",
                explicit_bucket_boundaries_advisory=BOUNDARIES,
            )

    # Clients.

    def nodes_changed(self, service: str, snapshot: Snapshot) -> None:
        """See the contract."""
        self._calls.locate(service, snapshot)

    def call_started(self, call: Request) -> Under:
        """See the contract."""
        method = self._calls.get(call.service, call.method)
        under = Under(method, oneway=call.oneway)
        if self._tracer is not None:
            attributes = (
                {**method.attributes, "bee.oneway": True} if call.oneway else method.attributes
            )
            under.span = span = self._tracer.start_span(
                method.name,
                kind=SpanKind.CLIENT,
                attributes=attributes,
                start_time=under.start,
            )
            under.context = context = trace.set_span_in_context(span)
            self._propagation.inject(call, context)
        return under

    def attempt_ended(
        self, state: Any, call: Request, node: Node, outcome: Outcome | None, seconds: float
    ) -> None:
        """See the contract."""
        if state is None or state.span is None or not state.span.is_recording():
            return
        state.attempts += 1
        status = status_of(outcome)
        attributes: dict[str, Any] = {"bee.attempt": state.attempts, "bee.node.id": node.id}
        failed = _say(
            attributes,
            state.method,
            "" if state.oneway and status == "OK" else status,
            outcome,
        )
        if not self._attempts:
            if failed:
                state.span.add_event("bee.attempt_failed", attributes)
            return
        assert self._tracer is not None  # noqa: S101  # it made the span; narrows the type
        attributes.update(peer_of(node.url))
        end = time_ns()
        # Made when it is over, with all that is known by then: a span that is changed costs more.
        span = self._tracer.start_span(
            f"{state.method.name} attempt",
            state.context,
            attributes=attributes,
            start_time=max(state.start, end - int(seconds * 1e9)),
        )
        if failed:
            span.set_status(StatusCode.ERROR, getattr(outcome, "message", None))
        span.end(end)

    def call_ended(self, state: Any, record: CallRecord) -> None:
        """See the contract."""
        if state is None:
            return
        failure, method = record.failure, state.method
        status = "OK" if failure is None else status_of(failure)
        if status == METHOD_NOT_FOUND:
            method = self._calls.other(record.service, record.method)
        elif state.oneway and failure is None:
            status = ""  # that it was sent is all that anybody knows
        span = state.span
        if span is not None:
            if span.is_recording():
                attributes: dict[str, Any] = {"bee.attempts": record.attempts}
                if record.node is not None:
                    attributes.update(peer_of(record.node.url))
                if method is not state.method:
                    span.update_name(method.name)
                    attributes["rpc.method"] = method.attributes["rpc.method"]
                    attributes["rpc.method_original"] = f"{record.service}/{record.method}"
                if record.degraded:
                    attributes["bee.degraded"] = True
                    span.add_event("bee.fallback", {"error.type": status})
                _end(span, attributes, method, status, failure, _end_of(state, record.seconds))
            else:
                span.end()
        if self._call_duration is not None:
            measured = method.measured(status, degraded=record.degraded)
            self._call_duration.record(record.seconds, measured, state.context)

    # Servers.

    def server_changed(self, event: str) -> None:
        """See the contract. Workers leave without ``atexit``, so what is left goes out now."""
        if event == "stopped":
            for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
                flush = getattr(provider, "force_flush", None)  # the SDK's providers have it
                if flush is not None:
                    flush(FLUSH_MILLISECONDS)

    def request_refused(self, call: InboundCall, failure: Failure) -> None:
        """See the contract. A server that is overloaded makes no spans of what it refuses."""
        if self._request_duration is not None:
            method = self._requests.known(call.service, call.method)
            self._request_duration.record(0.0, method.measured(status_of(failure)))

    def request_started(self, call: InboundCall) -> Under:
        """See the contract."""
        method = self._requests.get(call.service, call.method)
        under = Under(method, oneway=call.oneway)
        if self._tracer is not None:
            parent = self._propagation.extract(call)
            under.span = span = self._tracer.start_span(
                method.name,
                parent,
                SpanKind.SERVER,
                {**method.attributes, **peer_of(call.peer)},
                start_time=under.start,
            )
            under.context = context = trace.set_span_in_context(span, parent)
            # For the handler, which runs in this very context. It ends with the call, so nobody
            # detaches what is attached here.
            contexts.attach(context)
        return under

    def request_ended(
        self, state: Any, call: InboundCall, outcome: Outcome | None, seconds: float
    ) -> None:
        """See the contract."""
        if state is None:
            return
        status, method, span = status_of(outcome), state.method, state.span
        if span is not None:
            if span.is_recording():
                _end(span, {}, method, status, outcome, _end_of(state, seconds))
            else:
                span.end()
        if self._request_duration is not None:
            self._request_duration.record(seconds, method.measured(status), state.context)


def _end_of(under: Under, seconds: float) -> int:
    """When a span ends: it lasts as long as the metric says."""
    return under.start + int(seconds * 1e9)


def _say(attributes: dict[str, Any], method: Method, status: str, outcome: Outcome | None) -> bool:
    """Add how it went. True if it has failed, on this side."""
    if not status:
        return False
    attributes["rpc.status_code"] = status
    error_type = getattr(outcome, "error_type", "")
    if error_type:
        attributes["bee.error_type"] = error_type
    failed = method.is_error(status)
    if failed:
        attributes["error.type"] = status
    return failed


def _end(
    span: Span,
    attributes: dict[str, Any],
    method: Method,
    status: str,
    outcome: Outcome | None,
    end: int,
) -> None:
    """Say how it went, and end the span."""
    if _say(attributes, method, status, outcome):
        span.set_status(StatusCode.ERROR, getattr(outcome, "message", None))
    if attributes:
        span.set_attributes(attributes)
    span.end(end)


@hookimpl
def bee_register_observers(registry: Registrar[Observer]) -> None:
    """Offer ``opentelemetry``."""
    registry.add("opentelemetry", OpenTelemetry, options=OpenTelemetryOptions)
