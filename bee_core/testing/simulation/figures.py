"""What came out of a run, as an object for JSON. Times are in seconds."""

from __future__ import annotations

from array import array
from math import ceil
from typing import TYPE_CHECKING, Any

from .counts import STEP, WINDOWS
from .world import START

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .caches import CacheCounts
    from .connections import Connections
    from .counts import Counts
    from .nodes import SimulatedNode
    from .scenario import Scenario

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9}
DETECTED = 0.1
"""A trouble counts as detected when bad nodes get less than this part of their fair share."""


def figures(counts: Counts, scenario: Scenario, fair: float | None) -> dict[str, Any]:
    """The figures of a run.

    Args:
        counts: What was counted.
        scenario: What happened.
        fair: The share of the nodes that had trouble, or None where all or none had.
    """
    calls = sum(kind.calls for kind in counts.kinds)
    answered = sum(kind.answered for kind in counts.kinds)
    found: dict[str, Any] = {
        "calls": calls,
        "answered": answered,
        "failed": calls - answered,
        "success": _ratio(answered, calls),
        "goodput": round(answered / scenario.seconds, 3),
        "degraded": sum(kind.degraded for kind in counts.kinds),
        "attempts": counts.total,
        "extra_attempts": _ratio(max(0, counts.total - calls + sum(counts.unsent)), calls),
        "latency": _points(counts.latencies),
        "failures": dict(sorted(counts.failures.items())),
        "kinds": [
            {
                "method": kind.method,
                "idempotent": kind.idempotent,
                "calls": kind.calls,
                "success": _ratio(kind.answered, kind.calls),
                **(
                    {"heard": _ratio(kind.heard, kind.calls * scenario.nodes)}
                    if kind.everyone
                    else {}
                ),
                "latency": None if kind.latencies is None else _points([kind.latencies]),
            }
            for kind in counts.kinds
        ],
        "bad_nodes": _bad_nodes(counts, scenario, fair),
        "phases": _phases(counts, scenario),
        "windows": _windows(counts),
    }
    return found


def spread(
    nodes: Sequence[SimulatedNode], connections: Connections, cache: CacheCounts | None
) -> dict[str, Any]:
    """How evenly attempts and connections lie on the nodes, and what the caches did."""
    attempts = [there.attempts for there in nodes]
    mean = sum(attempts) / len(attempts)
    return {
        "balance": {
            "busiest": round(max(attempts) / mean, 6) if mean else None,
            "idlest": round(min(attempts) / mean, 6) if mean else None,
        },
        "connections": {
            "most": connections.most,
            "most_of_a_client": connections.most_of_a_client,
            "most_of_a_node": connections.most_of_a_node,
        },
        "hit_rate": None if cache is None else _ratio(cache.hits, cache.asked),
    }


def _bad_nodes(counts: Counts, scenario: Scenario, fair: float | None) -> dict[str, Any] | None:
    if fair is None:
        return None
    begins = min(one.at for one in scenario.that_begin if one.of_some)
    first = ceil(begins / STEP - 1e-9)
    late = min(len(counts.bad), first + round(5 / STEP))
    opened = counts.opened
    return {
        "fair_share": round(fair, 6),
        "share": _ratio(sum(counts.bad[first:]), sum(counts.attempts[first:])),
        "share_after_5_s": _ratio(sum(counts.bad[late:]), sum(counts.attempts[late:])),
        "detected_after": _detected(counts, first, fair),
        "cut_off_after": None if opened is None else round(opened - START - begins, 3),
    }


def _detected(counts: Counts, first: int, fair: float) -> float | None:
    """Seconds until bad nodes get few calls for a second; None where they never do.

    One attempt in this second is none: a trial, such as a node that is half-open gets.
    """
    second = round(1 / STEP)
    for step in range(first, len(counts.bad) - second + 1):
        bad, attempts = (
            sum(found[step : step + second]) for found in (counts.bad, counts.attempts)
        )
        if bad <= max(1, DETECTED * fair * attempts):
            return (step - first) * STEP
    return None


def _phases(counts: Counts, scenario: Scenario) -> dict[str, Any]:
    """Before, during and after the trouble: by windows that lie wholly in a phase."""
    fault = scenario.fault
    if fault is None:
        return {}
    width = counts.width
    begin, end = ceil(fault[0] / width - 1e-9), int(fault[1] / width + 1e-9)
    spans = {"before": (0, int(fault[0] / width + 1e-9)), "during": (begin, end)}
    spans["after"] = (ceil(fault[1] / width - 1e-9), WINDOWS)
    return {
        name: _phase(counts, first, last) for name, (first, last) in spans.items() if first < last
    }


def _phase(counts: Counts, first: int, last: int) -> dict[str, Any]:
    calls = sum(counts.calls[first:last])
    sent = calls - sum(counts.unsent[first:last])
    seconds = (last - first) * counts.width
    return {
        "seconds": round(seconds, 3),
        "calls": calls,
        "success": _ratio(calls - sum(counts.failed[first:last]), calls),
        "goodput": round(sum(counts.finished[first:last]) / seconds, 3),
        "extra_attempts": _ratio(max(0, sum(counts.sent[first:last]) - sent), calls),
        "latency": _points(counts.latencies[first:last]),
    }


def _windows(counts: Counts) -> list[dict[str, Any]]:
    """A line for each point of the picture."""
    width = counts.width
    return [
        {
            "at": round(number * width, 3),
            "calls": round(counts.calls[number] / width, 3),
            "attempts": round(counts.sent[number] / width, 3),
            "answered": round(counts.finished[number] / width, 3),
            "failed": round(counts.failed[number] / width, 3),
            **{
                name: value
                for name, value in (_points([counts.latencies[number]]) or {}).items()
                if name in {"p50", "p99"}
            },
        }
        for number in range(WINDOWS)
    ]


def _points(windows: Iterable[array[float]]) -> dict[str, float] | None:
    """Mean, percentiles and the longest; None where no call was answered. Exact: all are kept."""
    joined: array[float] = array("d")
    for one in windows:
        joined.extend(one)
    if not joined:
        return None
    ordered = sorted(joined)
    count = len(ordered)
    points = {
        name: ordered[max(0, ceil(at / 100 * count - 1e-9) - 1)] for name, at in PERCENTILES.items()
    }
    points = {"mean": sum(ordered) / count, **points, "longest": ordered[-1]}
    return {name: round(value, 9) for name, value in points.items()}


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 9) if whole else None
