"""``bee demo``: see a node die while calls go on."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from ..command_group import FAILED
from ..output import fields
from ..shared_options import printing_options
from .registry_server import SERVERS
from .scenario import Report, play
from .screen import WIDEST, LivePicture, PlainLines, Screen, wrapped

_EXPLANATION = (
    (
        "Three servers of one service run in processes of their own. Their versions are 1.0.0,"
        " 1.1.0 and 2.0.0. They announce themselves in a registry: {registry}. One client finds"
        ' them there. It asks for ">=1.0, <2", so the third server gets no calls. On the others it'
        " calls an idempotent method in turn, from four threads. Then one of these is killed, and"
        " started again. No call fails:"
    ),
    "- a call that meets the dead server goes on to the other one (fail: failover);",
    "- three failures in a row cut the dead server off (breaker: consecutive);",
    "- the registry takes it off the list {when}.",
    "All of this is said by the YAML files in {folder}; the code is only calc.add(1, 2).",
    "",
)


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(2, 600),
    default=10.0,
    show_default=True,
    help="How long it takes in all.",
)
@click.option(
    "--registry",
    type=click.Choice(["local", *SERVERS]),
    default="local",
    show_default=True,
    help="Who knows the servers. Other than local, its server is started too. zk is zookeeper.",
)
@click.option("--registry-address", help="Use a registry that runs already, at this address.")
@click.option("--keep", is_flag=True, help="Keep the folder with the YAML files.")
@printing_options("Print one object and nothing else.")
@click.pass_context
def demo(
    ctx: click.Context,
    as_json: bool,
    seconds: float,
    registry: str,
    registry_address: str | None,
    keep: bool,
) -> None:
    """Kill one of three servers while calls go on, and see that none fails."""
    # SIGTERM ends the demo as an exception, so that its servers and its folder go with it.
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="bee-demo-"))
    try:
        if not as_json:
            click.echo(
                _explanation(
                    folder=folder if keep else f"{folder} (gone afterwards; --keep keeps them)",
                    registry="a folder" if registry == "local" else registry,
                    when="at once" if registry == "local" else "when its lease has run out",
                )
            )
        with _screen(as_json) as screen:
            report = play(folder, seconds, screen, registry, registry_address)
    finally:
        signal.signal(signal.SIGTERM, before)
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    if sys.stdout.isatty() and not as_json:
        click.echo()
    click.echo(json.dumps(_object(report)) if as_json else wrapped(_summary(report), _width()))
    if not report.succeeded:
        ctx.exit(FAILED)


def _explanation(**values: Any) -> str:
    paragraphs = [line.format(**values) for line in _EXPLANATION]
    return "\n".join(
        wrapped(one, _width(), "  " if one.startswith("- ") else "") for one in paragraphs
    )


def _width() -> int:
    """Columns for text; a file or a pipe gets lines as long as a wide terminal."""
    here = shutil.get_terminal_size((WIDEST, 24)).columns if sys.stdout.isatty() else WIDEST
    return min(here, WIDEST)


def _screen(as_json: bool) -> Screen:
    if as_json:
        return Screen()
    return LivePicture() if sys.stdout.isatty() else PlainLines()


def _object(report: Report) -> dict[str, Any]:
    tally = report.tally
    return {
        **fields(tally, "calls", "failures", "moved_on"),
        "nodes": [fields(row, "address", "version", "calls", "reason") for row in report.nodes],
        "killed": report.killed,
        "seconds_to_detect": _rounded(tally.seconds_to_detect),
        "seconds_to_delist": _rounded(tally.seconds_to_delist),
        "seconds_to_recover": _rounded(tally.seconds_to_recover),
        "seconds": round(report.seconds, 3),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _summary(report: Report) -> str:
    tally = report.tally
    moved = f"{tally.moved_on} met the dead node and were answered by another one"
    text = f"{tally.calls} calls, {tally.failures} failed; {moved}."
    if tally.seconds_to_detect is None:
        return f"{text} The kill was not noticed."
    if tally.seconds_to_recover is None:
        return f"{text} The killed node did not come back."
    detected, recovered = f"{tally.seconds_to_detect:.3f}", f"{tally.seconds_to_recover:.3f}"
    return f"{text} Detected after {detected} s, answering again {recovered} s after its start."
