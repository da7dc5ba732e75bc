"""``bee services``, ``bee nodes`` and ``bee plugins``: what there is to call, and with what."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import attrs
import click

from ..plugins.hub import PluginHub
from ..plugins.listing import list_installed
from .command_group import FAILED
from .native_parts import native_parts
from .output import duration, echo, fields, node_object, print_json, print_table, seconds
from .registry_lines import outlook_code, outlook_fields, print_outlook, source_text
from .shared_options import config_option, load_configuration, open_client, printing_options

if TYPE_CHECKING:
    from ..nodes.report import KnownNode, NodesReport

_AT_A_TIME = 200  # services that wait for their registry together, a second in all


@click.command()
@config_option
@printing_options("Print a list of objects.")
@click.pass_context
def services(ctx: click.Context, config_path: str, as_json: bool) -> None:
    """List the services under bee.rpc.client: how many nodes are known, and how many fit.

    The exit code is 0 when nodes of each service are known. It is 3 when those of some may be out
    of date: the registry is silent, the list comes from the disk, or nodes are in doubt. It is 1
    when no node of some service is known.
    """
    config = load_configuration(config_path)
    with open_client(config) as client, ThreadPoolExecutor(_AT_A_TIME) as threads:
        reports = list(threads.map(client.nodes, config.clients))
    if as_json:
        print_json([_counted(report) for report in reports])
    else:
        print_table(
            ("service", "asks for", "nodes", "fitting", "in doubt", "source"),
            (
                (
                    report.service,
                    report.asked,
                    str(len(report.nodes)),
                    str(len(report.fitting)),
                    str(len(report.in_doubt)),
                    source_text(report),
                )
                for report in reports
            ),
        )
        print_outlook(reports)
    ctx.exit(outlook_code(reports))


@click.command()
@click.argument("service")
@config_option
@printing_options("Print an object.")
@click.pass_context
def nodes(ctx: click.Context, service: str, config_path: str, as_json: bool) -> None:
    """List the nodes of SERVICE that are known: which fit, and why the others do not.

    SERVICE is a key under bee.rpc.client. The nodes are looked for like those of a first call: at
    the registry, then in the cache on disk, then in the configuration.

    The exit code is 0 when nodes are known. It is 3 when they may be out of date: the registry is
    silent, the list comes from the disk, or nodes are in doubt. It is 1 when none is known.
    """
    with open_client(config_path) as client:
        report = client.nodes(service)
    if as_json:
        listed = [
            node_object(known.node)
            | fields(known, "fitting", "reason", "doubt", "cut_off")
            | {"doubted_for": seconds(known.doubted_for)}
            for known in report.nodes
        ]
        print_json(_counted(report) | {"nodes": listed})
    else:
        fitting = f"{len(report.fitting)} of {len(report.nodes)} nodes fit"
        echo(f"{service}: asks for {report.asked}; {fitting}; source: {source_text(report)}")
        if report.nodes:
            print_nodes(report)
        print_outlook([report])
    ctx.exit(outlook_code([report]))


@click.command()
@click.option(
    "--check",
    "checked",
    is_flag=True,
    help="Make an object of each and check it against its contract; exit with 1 when one is wrong.",
)
@printing_options("Print a list of objects.")
@click.pass_context
def plugins(ctx: click.Context, checked: bool, as_json: bool) -> None:
    """List the plugins that are installed, and whether each can be loaded.

    With --check a plugin whose options have no defaults is checked by its class. A package that is
    not installed is not the plugin's fault, so the exit code is 0 then.
    """
    rows = list_installed(PluginHub(), check=checked)
    if as_json:
        print_json([attrs.asdict(row) for row in rows])
    else:
        print_table(
            ("kind", "name", "distribution", "version", "loadable"),
            (
                (
                    row.kind,
                    row.name,
                    row.distribution,
                    row.version,
                    "yes" if row.loadable else f"no: {row.reason}",
                )
                for row in rows
            ),
            wrapped=("loadable",),
        )
        echo(native_parts())
    if checked and any(row.wrong for row in rows):
        ctx.exit(FAILED)


def print_nodes(report: NodesReport) -> None:
    """Print a table; columns that say the same of all nodes are left out."""
    titles: tuple[str, ...] = ("url", "version", "weight", "zone", "tags", "fits", "id")
    rows = [_row(known) for known in report.nodes]
    if report.in_doubt:
        titles += ("listed",)
        rows = [(*row, _listed(known)) for row, known in zip(rows, report.nodes, strict=True)]
    if any(known.cut_off for known in report.nodes):
        titles += ("cut off",)
        rows = [
            (*row, known.cut_off or "no") for row, known in zip(rows, report.nodes, strict=True)
        ]
    print_table(titles, rows, wrapped=("url", "tags", "fits", "id", "listed", "cut off"))


def _listed(known: KnownNode) -> str:
    if not known.doubt:
        return "yes"
    span = "" if known.doubted_for is None else f" for {duration(known.doubted_for)}"
    return f"no, in doubt{span}"


def _row(known: KnownNode) -> tuple[str, ...]:
    node = known.node
    return (
        node.url,
        node.version or "-",
        f"{node.weight:g}",
        node.zone or "-",
        ",".join(sorted(node.tags)) or "-",
        "yes" if known.fitting else f"no: {known.reason}",
        node.id,
    )


def _counted(report: NodesReport) -> dict[str, Any]:
    return {
        **fields(report, "service", "asked"),
        "nodes": len(report.nodes),
        "fitting": len(report.fitting),
        **fields(report, "revision", "unknown"),
        **outlook_fields(report),
    }
