"""Traces without a collector: each process appends its spans to one file.

A service imports ``record``. ``python traces.py`` reads the file and prints the last order that
was placed as a tree, and with ``--failed`` the last one that was refused.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

SPANS = Path(__file__).with_name("spans.jsonl")


class FileExporter(SpanExporter):
    """Appends one line a span. A line is written at once, so processes may share the file."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with SPANS.open("a", encoding="utf-8") as file:
            for span in spans:
                file.write(span.to_json(indent=None) + "\n")
                file.flush()
        return SpanExportResult.SUCCESS


def record(service: str) -> None:
    """Let OpenTelemetry keep the spans of this process."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(FileExporter()))
    trace.set_tracer_provider(provider)


def lasted(span: dict[str, Any]) -> float:
    """Milliseconds."""
    start, end = (datetime.fromisoformat(span[key][:26]) for key in ("start_time", "end_time"))
    return (end - start).total_seconds() * 1000


def show(spans: list[dict[str, Any]], parent: str | None = None, indent: str = "") -> None:
    """Print the children of a span, in the order of their starts, each with its own children."""
    for span in spans:
        if span["parent_id"] == parent:
            kind = span["kind"].removeprefix("SpanKind.")
            service = span["resource"]["attributes"]["service.name"]
            status = span["attributes"]["rpc.status_code"]
            print(f"{service:<10}{indent}{kind} {span['name']} {status} {lasted(span):.1f} ms")
            show(spans, span["context"]["span_id"], indent + "  ")


def main() -> None:
    lines = SPANS.read_text(encoding="utf-8").splitlines()
    spans = sorted(map(json.loads, lines), key=lambda span: span["start_time"])
    failed = "--failed" in sys.argv
    calls = [span for span in spans if span["parent_id"] is None]
    shown = [span for span in calls if (span["status"]["status_code"] == "ERROR") == failed][-1]
    trace_id = shown["context"]["trace_id"]
    show([span for span in spans if span["context"]["trace_id"] == trace_id])


if __name__ == "__main__":
    main()
