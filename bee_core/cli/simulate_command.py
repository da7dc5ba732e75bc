"""``bee simulate``: what a configuration would do in trouble, in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from ..testing.simulation.picture import draw
from ..testing.simulation.run import in_zones
from ..testing.simulation.run import simulate as run
from ..testing.simulation.scenario_file import read_scenario
from ..testing.simulation.scenarios import SCENARIOS
from .command_group import FAILED, UnusableCommandError
from .output import echo, print_json, print_table
from .shared_options import CONFIG_VARIABLE, DEFAULT_CONFIG, printing_options
from .simulation_tables import print_runs

if TYPE_CHECKING:
    from ..testing.simulation.scenario import Scenario


@click.command()
@click.argument("file", default=DEFAULT_CONFIG, envvar=CONFIG_VARIABLE)
@click.option(
    "--scenario", "scenario", metavar="NAME", help="One of --list, or a YAML file of your own."
)
@click.option("--list", "listing", is_flag=True, help="List the scenarios.")
@click.option("--service", metavar="NAME", help="The service to call.  [default: the only one]")
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Of all randomness: the same seed gives the same run.",
)
@click.option("--nodes", metavar="N", type=click.IntRange(1), help="How many nodes there are.")
@click.option("--clients", metavar="N", type=click.IntRange(1), help="How many clients call them.")
@click.option(
    "--rate",
    metavar="CALLS",
    type=click.FloatRange(0, min_open=True),
    help="Calls a second.  [default: the scenario's share of what the nodes can handle]",
)
@click.option(
    "--seconds", metavar="SECONDS", type=click.FloatRange(1), help="For how long calls come in."
)
@click.option("--svg", metavar="FILE", help="Draw latency and load over time into a file.")
@click.option("--compare", "other", metavar="FILE", help="Run this configuration too, beside it.")
@printing_options("Print an object; a list of two with --compare.")
@click.pass_context
def simulate(
    ctx: click.Context,
    file: str,
    scenario: str | None,
    listing: bool,
    service: str | None,
    seed: int,
    other: str | None,
    svg: str | None,
    as_json: bool,
    nodes: int | None,
    clients: int | None,
    rate: float | None,
    seconds: float | None,
) -> None:
    """Say what the configuration FILE would do in trouble, without a network.

    The real call flow and the plugins of FILE run in virtual time against simulated nodes. FILE is
    $BEE_CONFIG by default, then bee.yml.

    \b
        bee simulate --list
        bee simulate bee.yml --scenario slow-node
        bee simulate bee.yml --scenario dead-nodes --nodes 1000 --rate 10000
        bee simulate old.yml --compare new.yml --scenario overload --svg overload.svg

    The exit code is 1 when a call that must run once ran twice, which no configuration allows.
    """  # noqa: D301  # \b is click's mark for a paragraph that keeps its lines
    if listing:
        _print_list(as_json=as_json)
        return
    chosen = _with(_scenario(scenario), nodes=nodes, clients=clients, rate=rate, seconds=seconds)
    _check_file(svg)
    _warn_of_no_trouble(chosen)
    files = [file] if other is None else [file, other]
    for one in files:
        in_zones(one, chosen)  # what is wrong with the second is said before the first one runs
    results = [run(one, chosen, service=service, seed=seed) for one in files]
    if svg is not None:
        Path(svg).write_text(draw(results), encoding="utf-8")
    if as_json:
        print_json(results[0] if other is None else results)
    else:
        print_runs(results)
    if any(one["ran_twice"] or one["untrue"] for one in results):
        ctx.exit(FAILED)


def _scenario(name: str | None) -> Scenario:
    known = ", ".join(SCENARIOS)
    if name is None:
        raise UnusableCommandError(f"name a scenario with --scenario: {known}, or a YAML file")
    found = SCENARIOS.get(name)
    if found is not None:
        return found
    if not name.endswith((".yml", ".yaml")) and not Path(name).is_file():
        raise UnusableCommandError(
            f"--scenario {name}: there is no such scenario; there are: {known}, or a YAML file"
        )
    return read_scenario(name)


def _with(scenario: Scenario, **changes: float | None) -> Scenario:
    """The scenario with what the command line says."""
    try:
        return attrs.evolve(
            scenario,
            **{name: value for name, value in changes.items() if value is not None},  # type: ignore[arg-type]
        )
    except ValueError as error:
        raise UnusableCommandError(str(error)) from error


def _check_file(svg: str | None) -> None:
    if svg is None:
        return
    if Path(svg).is_dir():
        raise UnusableCommandError(f"--svg {svg}: this is a folder; name a file")
    if not Path(svg).absolute().parent.is_dir():
        raise UnusableCommandError(f"--svg {svg}: there is no such folder")


def _warn_of_no_trouble(scenario: Scenario) -> None:
    if scenario.troubles and not scenario.that_begin:
        first = min(one.at for one in scenario.troubles)
        echo(
            f"warning: nothing goes wrong in {scenario.seconds:g} s: the first trouble begins at"
            f" {first:g} s; give more --seconds",
            err=True,
        )


def _print_list(*, as_json: bool) -> None:
    found = [{"name": one.name, "about": one.about} for one in SCENARIOS.values()]
    if as_json:
        print_json(found)
    else:
        print_table(("scenario", "what happens"), [(one["name"], one["about"]) for one in found])
