"""The command line of the benchmarks: ``python -m benchmarks --help``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .contenders import CONTENDERS
from .contenders.bee import native_exchange
from .instructions import counting, table
from .instructions.programs import NODES
from .loads import LOADS
from .report import page
from .results import load as load_results
from .rounds import Plan, Runner
from .suites import SUITES

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure bee beside its peers, and beside what no framework can beat.

    \b
    python -m benchmarks list                      who can be measured, and how
    python -m benchmarks run --quick               the headlines, in a few minutes
    python -m benchmarks run                       everything, in an hour or two
    python -m benchmarks run -c bee -c thriftpy2 -l threads-16
    python -m benchmarks report                    tables and picture of the last run
    python -m benchmarks instructions              instructions a call against the table
    """


@main.command("list")
def list_() -> None:
    """Show contenders, loads and suites."""
    click.secho("contenders", bold=True)
    for name, contender in CONTENDERS.items():
        why = contender.left_out()
        missing = click.style(f"  LEFT OUT: {why}", fg="red") if why else ""
        click.echo(f"  {name:<24} {contender.setup}{missing}")
    click.secho("loads", bold=True)
    for name, load in LOADS.items():
        click.echo(f"  {name:<24} {load.title}")
    click.secho("suites", bold=True)
    for name, suite in SUITES.items():
        click.echo(f"  {name:<24} {suite.title}")


def checked(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    """Names that there are. ``bee*`` stands for all that begin so."""
    known = {"suites": SUITES, "loads": LOADS, "contenders": CONTENDERS}[str(parameter.name)]
    found: dict[str, None] = {}
    for name in value:
        fitting = [one for one in known if one == name or (
            name.endswith("*") and one.startswith(name[:-1])
        )]  # fmt: skip
        if not fitting:
            raise click.BadParameter(f"there is no {name!r}; there are {', '.join(known)}")
        found |= dict.fromkeys(fitting)
    return tuple(found)


@main.command()
@click.option("--quick", is_flag=True, help="The headlines only: three rounds of each suite's few.")
@click.option("-s", "--suite", "suites", multiple=True, callback=checked, help="A suite; several.")
@click.option("-l", "--load", "loads", multiple=True, callback=checked, help="A load; several.")
@click.option(
    "-c", "--contender", "contenders", multiple=True, callback=checked,
    help="A contender; several. `bee*` means all that begin so.",
)  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), help="Rounds.  [7; with --quick 3]")
@click.option("--seconds", type=float, help="Seconds of a load in a round.  [2; quick 0.8]")
@click.option("--open-seconds", type=float, help="Of an open loop in a round.  [5; quick 2]")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=Path("bench.json"),
    show_default=True, help="The result file.",
)  # fmt: skip
def run(
    *,
    quick: bool,
    suites: Sequence[str],
    loads: Sequence[str],
    contenders: Sequence[str],
    rounds: int | None,
    seconds: float | None,
    open_seconds: float | None,
    output: Path,
) -> None:
    """Measure. Without options: everything."""
    chosen = tuple(suites) or tuple(SUITES)
    if quick and not loads:
        loads = tuple({load: None for suite in chosen for load in SUITES[suite].quick})
        chosen = tuple(suite for suite in chosen if SUITES[suite].quick)
    plan = Plan(
        chosen,
        tuple(loads) or tuple(LOADS),
        tuple(contenders) or tuple(CONTENDERS),
        rounds or (3 if quick else 7),
        seconds or (0.8 if quick else 2.0),
        open_seconds or (2.0 if quick else 5.0),
    )
    if not plan.steps():
        raise click.UsageError("none of these contenders can run any of these loads")
    click.echo(f"about {plan.about_seconds() / 60:.0f} minutes; the machine should do nothing else")
    results = Runner(plan, lambda line: click.echo(line, err=True)).run()
    results.save(output)
    click.echo(page.as_text(results))
    click.echo(f"written to {output}; `python -m benchmarks report {output}` draws the picture")


@main.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True), default=RESULTS)
@click.option(
    "--into", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Replace the generated parts of this page, and the picture beside it.",
)  # fmt: skip
def report(results: Path, into: Path | None) -> None:
    """Print the tables of a result file, or put them into a page with `--into`.

    RESULTS is the committed run if nothing is said. `--into docs/performance.md` makes that page.
    """
    try:
        loaded = load_results(results)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if into is None:
        click.echo(page.as_text(loaded))
        return
    page.fill(into, loaded)
    click.echo(f"{into} and {page.picture_of(into)} are up to date")


def print_balancers(python: str, *, native: bool) -> None:
    """Print the instructions of a pick and of calls with each balancer."""
    click.echo(f"Python {python}: instructions of a pick among {NODES} nodes, and of a call to one")
    try:
        found = counting.count_balancers(
            native, done=lambda name: click.echo(f"counted: {name}", err=True)
        )
    except counting.CannotCount as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"  {'balancer':<16} {'pick':>8} {'blocking':>9} {'asyncio':>9}")
    for name, (pick, blocking, multiplexed) in found.items():
        click.echo(f"  {name:<16} {pick:>8,} {blocking:>9,} {multiplexed:>9,}")


@main.command()
@click.option("--update", is_flag=True, help="Write what was counted into the table.")
@click.option("--reason", default="", help="Why the figures moved, for the table's history.")
@click.option("--pure", is_flag=True, help="Without the native exchange, though it is there.")
@click.option(
    "--observers", default="", help="Show what these cost: NAME,NAME or JSON; NAME may be recorder."
)
@click.option("--balancers", is_flag=True, help="Show what a call costs with each balancer.")
def instructions(*, update: bool, reason: str, pure: bool, observers: str, balancers: bool) -> None:
    """Count the instructions of a call, and compare them with the committed table.

    Fails if a figure is not within the table's tolerance. It needs valgrind, and not a quiet
    machine. It takes a minute or two; stderr says which programs are counted.
    """
    if (observers or balancers) and update:
        raise click.UsageError("the table is for calls that nobody observes")
    native = native_exchange() and not pure
    python = table.this_python(native=native)
    known = table.read()
    if balancers:
        print_balancers(python, native=native)
        return
    try:
        counted = counting.count(
            native=native,
            observers=observers,
            done=lambda program: click.echo(f"counted: {program}", err=True),
        )
    except counting.CannotCount as error:
        raise click.ClickException(str(error)) from None
    if observers:
        click.echo(f"Python {python}: instructions a call with {observers}, and beyond the table")
        figures = known["figures"].get(python, {})
        for name, (own, _) in counted.items():
            without = figures[name]["instructions"] if name in figures else own
            more = f"{own - without:>+10,} {own / without - 1:+8.1%}"
            click.echo(f"  {name:<30} {own:>9,} {more}")
        return
    click.echo(f"Python {python}: instructions a call, those of the bare protocol, the ratio")
    for name, (own, bare) in counted.items():
        click.echo(f"  {name:<30} {own:>9,} {bare:>9,} {own / bare:8.3f}")
    if update:
        try:
            table.write(table.updated(known, python, counted, reason))
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        click.echo(f"{table.PATH} has them now; `report --into docs/performance.md` shows them")
        return
    if found := table.complaints(known, python, counted):
        click.secho(
            f"The cost of a call has moved by more than {known['tolerance']:.0%}:", fg="red"
        )
        for line in found:
            click.echo(f"  {line}")
        click.echo(
            "If that is meant, update the table with a reason and commit it:\n"
            f"  python -m benchmarks instructions {'--pure ' if pure else ''}--update --reason '…'"
        )
        raise click.exceptions.Exit(1)
    click.echo("within the table's tolerance")
