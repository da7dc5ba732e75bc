"""The context of a trace in bee's metadata, by W3C Trace Context and W3C Baggage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from bee_core.interfaces import InboundCall, Metadata, Request

TRACEPARENT = "traceparent"


class _Texts(Getter["Metadata"]):
    """Reads values that are text. A client may send bytes under any name."""

    def get(self, carrier: Metadata, key: str) -> list[str] | None:
        value = carrier.get(key)
        return [value] if isinstance(value, str) else None

    def keys(self, carrier: Metadata) -> list[str]:
        return list(carrier)


_TEXTS = _Texts()


class Propagation:
    """Writes the context into a request, and reads it at the server.

    Args:
        baggage: Whether OpenTelemetry's baggage travels too.
    """

    def __init__(self, *, baggage: bool) -> None:
        self._trace = TraceContextTextMapPropagator()
        self._baggage = W3CBaggagePropagator() if baggage else None

    def inject(self, call: Request, context: Context) -> None:
        """Send the context along. One without a trace adds nothing."""
        carrier: dict[str, str] = {}
        self._trace.inject(carrier, context)
        if self._baggage is not None:
            self._baggage.inject(carrier, context)
        # What differs from call to call comes last: a server remembers what stands before.
        parent = carrier.pop(TRACEPARENT, None)
        for name, value in carrier.items():
            call.add_metadata(name, value)
        if parent is not None:
            call.add_metadata(TRACEPARENT, parent)

    def extract(self, call: InboundCall) -> Context:
        """The caller's context; an empty one where it sent none.

        What was current as the server started is no parent of a request.
        """
        metadata = call.metadata
        context = Context()
        if TRACEPARENT in metadata:
            context = self._trace.extract(metadata, context, _TEXTS)
        if self._baggage is not None:
            context = self._baggage.extract(metadata, context, _TEXTS)
        return context
