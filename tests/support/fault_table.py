"""The table of faults: what each cost.

Written as JSON to ``$BEE_FAULT_TABLE``, else into the cache folder of pytest, and shown at the end
of a run.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from pathlib import Path


@attrs.frozen
class Row:
    """What a fault cost.

    Attributes:
        fault: What happened.
        calls: Calls made while it did.
        failed: Those of them that failed.
        detect: Seconds until a call met the fault and was answered elsewhere, or the node was
            taken out; None where there was nothing to detect.
        recover: Seconds until everything was right again, from the end of the fault or, where it
            has no end, from its beginning.
        note: More figures.
    """

    fault: str
    calls: int
    failed: int
    detect: float | None = None
    recover: float | None = None
    note: str = ""


def save(rows: list[Row], path: Path) -> None:
    path.write_text(json.dumps([attrs.asdict(row) for row in rows], indent=2) + "\n")


def lines(rows: list[Row]) -> list[str]:
    """A Markdown table."""
    heads = [
        "| fault | calls | failed | seconds to detect | seconds to recover | |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    return [
        *heads,
        *(
            f"| {row.fault} | {row.calls} | {row.failed} | {_seconds(row.detect)} "
            f"| {_seconds(row.recover)} | {row.note} |"
            for row in rows
        ),
    ]


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
