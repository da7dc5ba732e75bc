"""The context of a trace in bee's metadata, by W3C Trace Context and W3C Baggage."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from bee_core.interfaces import InboundCall, Metadata, Request

TRACEPARENT = "traceparent"


_LONGEST = {TRACEPARENT: 256, "tracestate": 8192, "baggage": 8192}
"""Characters: what the library takes."""
_MOST = {TRACEPARENT: 1, "tracestate": 32, "baggage": 180}
"""Members of the list (W3C Trace Context, 3.3.1.1; of baggage what the library takes)."""
_NAME = r"[a-z][-_0-9a-z*/]{0,255}|[a-z0-9][-_0-9a-z*/]{0,240}@[a-z][-_0-9a-z*/]{0,13}"
_FORMS = {
    TRACEPARENT: re.compile(r"[ -~]+"),
    "tracestate": re.compile(rf"(?:{_NAME})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{1,256}}"),
    "baggage": re.compile(
        r"[-!#$%&'*+.^_`|~0-9A-Za-z]+[ \t]*=[ \t]*[!#-+\x2d-:<-\x5b\x5d-~]{0,2048}"
    ),
}


class _Texts(Getter["Metadata"]):
    """Reads values that are what they should be. A client may send anything under any name.

    The library writes a line of the log for each value that is wrong, and a stranger must not fill
    the log. So it sees none of those.
    """

    def get(self, carrier: Metadata, key: str) -> list[str] | None:
        value = carrier.get(key)
        if not isinstance(value, str) or not value.isascii() or len(value) > _LONGEST[key]:
            return None
        members = [found for member in value.split(",") if (found := member.strip(" \t"))]
        sound = {
            member.partition("=")[0].rstrip(" \t"): member
            for member in members
            if _FORMS[key].fullmatch(member)
        }
        if len(members) > _MOST[key] or (key != "baggage" and len(sound) < len(members)):
            return None  # a list that is not whole says nothing; each member of baggage is its own
        return [",".join(sound.values())]

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
