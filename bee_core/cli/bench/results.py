"""What a run gave: an object for JSON, and the same as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..output import echo, print_table
from .tally import NANOSECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .course import Course
    from .tally import Tally

FORMAT = 1
"""Of the object. A file of another number cannot be compared."""
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "p99.99": 99.99}
POINTS = ("mean", *PERCENTILES, "longest")
"""What is told of latencies, in this order."""


def describe(setting: Mapping[str, Any], course: Course, seconds: float) -> dict[str, Any]:
    """The object for JSON. Times are in seconds.

    Args:
        setting: What was called, and how.
        course: The run.
        seconds: How long was measured.
    """
    tally = course.tally
    answered = int(tally.answered.total_count)
    described: dict[str, Any] = {
        "format": FORMAT,
        **setting,
        "seconds": round(seconds, 6),
        "ending": course.ending,
        "calls": tally.calls,
        "answered": answered,
        "failed": tally.calls - answered,
        "per_second": round(answered / seconds, 3) if seconds else 0.0,
        "attempts": tally.attempts,
        "retried": tally.retried,
        "degraded": tally.degraded,
        "given_up": course.given_up,
        "latency": points(tally.answered),
        "failures": _failures(tally),
        # The whole of it, in the form that HdrHistogram's tools read and draw; in nanoseconds.
        "histogram": tally.answered.encode().decode("ascii"),
    }
    if tally.calls > answered:
        described["latency_of_failures"] = points(tally.failed)
    if course.schedule is not None:
        described |= {
            "latency_from_real_start": points(tally.from_real_start),
            "kept_up": course.kept_up,
            "longest_queue": course.longest_queue,
            "queue_at_end": course.queue_at_end,
            "never_begun": course.never_begun,
        }
    return described


def points(histogram: Any) -> dict[str, float] | None:
    """The points of a histogram, in seconds; None where it is empty."""
    if not histogram.total_count:
        return None
    found = {name: histogram.get_value_at_percentile(at) for name, at in PERCENTILES.items()}
    found = {"mean": histogram.get_mean_value(), **found, "longest": histogram.get_max_value()}
    return {name: round(found[name] / NANOSECONDS, 9) for name in POINTS}


def _failures(tally: Tally) -> list[dict[str, Any]]:
    ordered = sorted(tally.failures.items(), key=lambda item: -item[1][0])
    return [
        {"kind": kind, "type": raised, "executed": executed, "count": count, "example": example}
        for (kind, raised, executed), (count, example) in ordered
    ]


def print_results(result: Mapping[str, Any]) -> None:
    """Print the object for people."""
    seconds = result["seconds"]
    answered, failed = result["answered"], result["failed"]
    lines = [
        f"{answered:,} calls answered in {seconds:.2f} s: {result['per_second']:,.1f} a second",
        f"{failed:,} failed" + (f" ({failed / result['calls']:.3%})" if failed else ""),
        f"{result['attempts']:,} attempts; {result['retried']:,} calls had more than one",
    ]
    if result["degraded"]:
        lines.append(f"{result['degraded']:,} of the answers came from the fallback")
    if result["given_up"]:
        lines.append(f"{result['given_up']:,} calls in flight were given up; they may have run")
    if result.get("longest_queue"):
        lines.append(f"at most {result['longest_queue']:,} calls were due and not begun")
    echo("\n".join(lines))
    named = (
        ("answered", "latency"),
        ("  from the real start", "latency_from_real_start"),
        ("failed", "latency_of_failures"),
    )
    rows = [(title, result.get(key)) for title, key in named]
    print_table(
        ("latency", *POINTS),
        [(title, *(time_text(found[name]) for name in POINTS)) for title, found in rows if found],
    )
    if result["failures"]:
        print_table(
            ("failures", "executed", "count", "for example"),
            [
                (
                    f"{one['kind']} {one['type']}".strip(),
                    one["executed"],
                    f"{one['count']:,}",
                    one["example"],
                )
                for one in result["failures"]
            ],
            wrapped=["for example"],
        )


def time_text(seconds: float) -> str:
    """A time of a call for people: ``83.1 µs``, ``4.07 ms``, ``1.25 s``."""
    for unit, size in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * size:
            value = seconds / size
            return f"{value:.2f} {unit}" if value < 9.995 else f"{value:.1f} {unit}"
    return f"{seconds:.2f} s"
