"""The SDK of OpenTelemetry with exporters in memory, for one test at a time."""

from __future__ import annotations

import json

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Telemetry:
    """Providers that a test puts in the place of the global ones, and what they were given."""

    def __init__(self, monkeypatch, **settings):
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.measured = None
        self.tracers = TracerProvider(**settings)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])
        monkeypatch.setattr(trace, "get_tracer", self.tracers.get_tracer)
        monkeypatch.setattr(metrics, "get_meter", self.meters.get_meter)

    def close(self):
        self.tracers.shutdown()
        self.meters.shutdown()

    def spans(self, kind=None, name=None):
        """The spans that have ended, oldest first."""
        found = [
            span
            for span in self.exporter.get_finished_spans()
            if (kind is None or span.kind.name == kind) and (name is None or span.name == name)
        ]
        return sorted(found, key=lambda span: span.start_time)

    def span(self, kind=None, name=None):
        """The only span of that kind and name."""
        (found,) = self.spans(kind, name)
        return found

    def points(self, name):
        """The points of a histogram. What was measured is read once: a look resets exemplars."""
        if self.measured is None:
            data = self.reader.get_metrics_data()
            self.measured = data.resource_metrics if data else ()
        return [
            point
            for resource in self.measured
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


def is_child(span, parent):
    """Whether a span is a child of another one, in the same trace."""
    return (
        span.parent is not None
        and span.parent.span_id == parent.context.span_id
        and span.context.trace_id == parent.context.trace_id
    )


def as_line(span):
    """A span as a line of JSON, for another process."""
    return json.dumps(
        {
            "name": span.name,
            "kind": span.kind.name,
            "trace": span.context.trace_id,
            "id": span.context.span_id,
            "parent": span.parent and span.parent.span_id,
            "attributes": dict(span.attributes),
        }
    )
