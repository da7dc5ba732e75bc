"""A run beside an earlier one: ratios, and what was not the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..command_group import UnusableCommandError
from ..output import echo, print_table
from .results import FORMAT, POINTS, time_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SETTINGS = ("service", "method", "arguments", "loop", "rate", "concurrency", "driver", "python")
"""What should be the same in both. ``arguments`` is a digest."""


def read_earlier(path: str) -> dict[str, Any]:
    """The result that an earlier run saved.

    Raises:
        OSError: The file cannot be read.
        UnusableCommandError: It is none of ``bee bench``.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UnusableCommandError(
            f"--compare {path}: this is no result of this version of bee bench;"
            " make one with --save FILE"
        )
    return found


def compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The ratios of ``now`` over ``before``, for JSON.

    Returns:
        ``per_second`` (above 1 is faster), each point of the latency (below 1 is faster), None
        where one of both is missing; and ``differences``, the settings that are not the same.
    """
    then, later = before.get("latency") or {}, now.get("latency") or {}
    return {
        "per_second": _ratio(before.get("per_second"), now.get("per_second")),
        "latency": {name: _ratio(then.get(name), later.get(name)) for name in POINTS},
        "differences": {
            name: [before.get(name), now.get(name)]
            for name in SETTINGS
            if before.get(name) != now.get(name)
        },
    }


def _ratio(before: Any, now: Any) -> float | None:
    numbers = (int, float)
    if not (isinstance(before, numbers) and isinstance(now, numbers) and before > 0):
        return None
    return round(now / before, 4)


def print_comparison(
    before: Mapping[str, Any], now: Mapping[str, Any], compared: Mapping[str, Any]
) -> None:
    """Print both, and the ratios."""
    print_table(("compared", "before", "now", "ratio"), _rows(before, now, compared))
    for name, (then, later) in compared["differences"].items():
        echo(f"not the same: {name} was {then} and is {later}")


def _rows(
    before: Mapping[str, Any], now: Mapping[str, Any], compared: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, str]]:
    rates = [f"{one.get('per_second') or 0:,.1f}" for one in (before, now)]
    yield ("calls a second", rates[0], rates[1], _text(compared["per_second"]))
    for name, ratio in compared["latency"].items():
        if ratio is not None:
            times = [time_text(one["latency"][name]) for one in (before, now)]
            yield (name, times[0], times[1], _text(ratio))


def _text(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"
