"""``bee demo``: see a node die while calls go on."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..command_group import FAILED
from ..shared_options import debug_option, json_option
from .registry_server import SERVERS

if TYPE_CHECKING:
    from types import FrameType

    from .scenario import Report
    from .screen import Screen

_EXPLANATION = """\
Three servers of one service, of the versions 1.0.0, 1.1.0 and 2.0.0, run in processes of their own and announce themselves in a registry: {registry}.
One client finds them there. It asks for ">=1.0, <2", so the third gets no calls; on the others it calls an idempotent method in turn, from four threads.
Then one of these is killed, and started again. A call that meets the dead server goes on to the other one (fail: failover), three failures in a row cut
it off (breaker: consecutive), and the registry takes it off the list {when}, so that no call fails.
All of this is said by the YAML files in {folder}; the code is only calc.add(1, 2).
"""


@click.command()
@json_option("Print one object and nothing else.")
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
    help="Who knows the servers. Other than local, its server is started too.",
)
@click.option("--registry-address", help="Use a registry that runs already, at this address.")
@click.option("--keep", is_flag=True, help="Keep the folder with the YAML files.")
@debug_option
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
    from .scenario import play

    # SIGTERM ends the demo as an exception, so that its servers and its folder go with it.
    before = signal.signal(signal.SIGTERM, _leave)
    folder = Path(tempfile.mkdtemp(prefix="bee-demo-"))
    try:
        if not as_json:
            click.echo(
                _EXPLANATION.format(
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
    click.echo(_as_json(report) if as_json else _summary(report))
    if not report.succeeded:
        ctx.exit(FAILED)


def _screen(as_json: bool) -> Screen:
    from .screen import LiveTable, PlainLines, Silence

    if as_json:
        return Silence()
    return LiveTable() if sys.stdout.isatty() else PlainLines()


def _as_json(report: Report) -> str:
    import attrs

    return json.dumps(attrs.asdict(report))


def _summary(report: Report) -> str:
    text = f"{report.calls} calls, {report.failures} failed; {report.moved_on} met the dead node and were answered by another one."
    if report.seconds_to_detect is None:
        return f"{text} The kill was not noticed."
    if report.seconds_to_recover is None:
        return f"{text} The killed node did not come back."
    return f"{text} Detected after {report.seconds_to_detect:.3f} s, answering again {report.seconds_to_recover:.3f} s after its start."


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
