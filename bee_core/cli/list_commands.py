"""``bee services``, ``bee nodes`` and ``bee plugins``: what there is to call, and with what."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import attrs
import click

from .. import build_client
from ..plugins.hub import PluginHub
from .output import fields, node_object, print_json, print_table
from .shared_options import config_option, load_configuration, open_client, printing_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..nodes.directory import KnownNode, NodesReport

_AT_A_TIME = 16  # services that wait for their registry together, each a second at most


@click.command()
@config_option
@printing_options("Print a list of objects.")
def services(config_path: str, as_json: bool) -> None:
    """List the services under bee.rpc.client: how many nodes are known, and how many fit."""
    config = load_configuration(config_path)
    with build_client(config) as client, ThreadPoolExecutor(_AT_A_TIME) as threads:
        reports = list(threads.map(client.nodes, config.clients))
    if as_json:
        print_json([_counted(report) for report in reports])
        return
    print_table(
        ("service", "asks for", "nodes", "fitting", "source"),
        (
            (
                report.service,
                report.asked,
                str(len(report.nodes)),
                str(len(report.fitting)),
                _source(report),
            )
            for report in reports
        ),
    )
    _print_trouble(reports)


@click.command()
@click.argument("service")
@config_option
@printing_options("Print an object.")
def nodes(service: str, config_path: str, as_json: bool) -> None:
    """List the nodes of SERVICE that are known: which fit, and why the others do not.

    SERVICE is a key under bee.rpc.client. The nodes are looked for like those of a first call: at
    the registry, then in the cache on disk, then in the configuration.
    """
    with open_client(config_path) as client:
        report = client.nodes(service)
    if as_json:
        listed = [
            node_object(known.node) | fields(known, "fitting", "reason") for known in report.nodes
        ]
        print_json(_counted(report) | {"nodes": listed})
        return
    fitting = f"{len(report.fitting)} of {len(report.nodes)} nodes fit"
    click.echo(f"{service}: asks for {report.asked}; {fitting}; source: {_source(report)}")
    if report.nodes:
        print_table(
            ("url", "version", "weight", "zone", "tags", "fits", "id"),
            (_row(known) for known in report.nodes),
            wrapped=("tags", "fits"),
        )
    _print_trouble([report])


@click.command()
@printing_options("Print a list of objects.")
def plugins(as_json: bool) -> None:
    """List the plugins that are installed, and whether each can be loaded."""
    rows = PluginHub().installed()
    if as_json:
        print_json([attrs.asdict(row) for row in rows])
        return
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
        **fields(report, "source", "revision", "trouble"),
    }


def _source(report: NodesReport) -> str:
    return report.source or "none has answered"


def _print_trouble(reports: Sequence[NodesReport]) -> None:
    for report in reports:
        if report.trouble:
            click.echo(
                f"{report.service}: the registry is out of reach: {report.trouble}", err=True
            )
