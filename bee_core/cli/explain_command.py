"""``bee explain``: what would happen to a call and why; with ``--call`` what did happen to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import click

from .arguments import read_arguments
from .call_steps import print_steps, trace_object
from .command_group import FAILED, UnusableCommandError
from .output import echo, encode, fields, node_object, print_table
from .registry_lines import outlook_code, outlook_fields, print_outlook, source_text
from .shared_options import (
    config_option,
    interface_option,
    open_client,
    printing_options,
    refuse_options,
)

if TYPE_CHECKING:
    from ..calls.trace import CallTrace
    from ..client.explained_settings import Setting
    from ..client.explanation import Explanation, NextPick, NodeStanding

_SHARES_SHOWN = 5


# Unknown options are let through, because a negative number looks like one.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("service")
@click.argument("method", required=False)
@click.argument("arguments", metavar="[JSON]...", nargs=-1, type=click.UNPROCESSED)
@config_option
@click.option(
    "--call",
    "make_call",
    is_flag=True,
    help="Call METHOD with the arguments, for real, and tell each attempt.",
)
@click.option("--key", metavar="TEXT", help="The routing key that the call has.")
@click.option(
    "--ping/--no-ping", default=True, show_default=True, help="Ask the fitting nodes how they are."
)
@interface_option
@click.option("--verbose", is_flag=True, help="Say also why a default is what it is.")
@printing_options("Print an object.")
@click.pass_context
def explain(
    ctx: click.Context,
    service: str,
    method: str | None,
    arguments: tuple[str, ...],
    config_path: str,
    make_call: bool,
    key: str | None,
    ping: bool,
    interface: Any,
    verbose: bool,
    as_json: bool,
) -> None:
    """Say what would happen to a call of SERVICE now, and why.

    Printed are its nodes, what is picked next, and each setting with the line that states it. With
    METHOD, the settings are those of the method. The exit code is 0 when a node can be picked (and,
    with --call, the call had a result). It is 3 when that holds and the nodes may be out of date:
    the registry is silent, the list comes from the disk, or nodes are in doubt. It is 1 otherwise.

    \b
        bee explain calc
        bee explain calc add --call 1 2
    """  # noqa: D301  # \b is click's mark for a paragraph that keeps its lines
    refuse_options("explain", service, method or "")
    if make_call and method is None:
        raise UnusableCommandError("--call wants a METHOD to call")
    if arguments and not make_call:
        raise UnusableCommandError(f"arguments ({' '.join(arguments)}) are for a call; add --call")
    if make_call and interface is not None:
        raise UnusableCommandError(
            "--call makes its call without an interface; use bee call --interface"
        )
    args, kwargs = read_arguments(arguments)
    trace = None
    with open_client(config_path) as client:
        try:
            explanation = client.explain(service, method, key=key, ask=ping, interface=interface)
        except TypeError as error:
            raise UnusableCommandError(f"--interface: {error}") from error
        if make_call and method is not None:
            trace = client.trace(service, method, *args, **kwargs)
    if as_json:
        click.echo(encode(_object(explanation, trace)))
    else:
        _print(explanation, verbose)
        if trace is not None:
            _print_trace(trace)
        print_outlook([attrs.evolve(explanation.known, unknown=explanation.obstacle)])
    if explanation.obstacle and as_json:
        echo(f"error: {explanation.obstacle}", err=True)
    if explanation.obstacle or (trace is not None and trace.error is not None):
        ctx.exit(FAILED)
    ctx.exit(outlook_code([explanation.known]))


def _print(explanation: Explanation, verbose: bool) -> None:
    known = explanation.known
    name, method = explanation.service, explanation.method
    name = name if method is None else f"{name}.{method}"
    # Not counted from next: a node may be left for calls that fail on others, or have so little
    # weight that no pick met it.
    able = sum(one.standing in {"ready", "half-open"} for one in explanation.nodes)
    able = 0 if explanation.obstacle else able
    verb = "fit and serve" if any(one.health for one in explanation.nodes) else "can be picked"
    echo(f"{name}: asks for {known.asked}; {able} of {len(known.nodes)} nodes {verb}")
    echo(f"source: {source_text(known)}")
    if faults := explanation.setting("faults").value:
        echo(f"FAULTS ARE INJECTED into these calls: {'; '.join(faults)}")
    if explanation.nodes:
        click.echo()
        print_table(
            ("node", "version", "weight", "breaker", "health", "standing"),
            (_node_row(one) for one in explanation.nodes),
            wrapped=("health", "standing"),
        )
    click.echo()
    echo(f"next: {_next(explanation.next, explanation.setting('balancer').value)}")
    click.echo()
    print_table(
        ("setting", "value", "from"),
        (
            (setting.name, value_text(setting), origin_text(setting, verbose))
            for setting in explanation.settings
        ),
        wrapped=("value", "from"),
    )
    echo(f"retry budget: {explanation.retries_left} retries can be made now")


def _node_row(one: NodeStanding) -> tuple[str, ...]:
    said = one.reason or one.remark
    standing = f"{one.standing}: {said}" if said else one.standing
    standing += f" (in doubt: {one.doubt})" if one.doubt else ""
    return (
        one.node.url,
        one.node.version or "-",
        f"{one.node.weight:g}",
        one.breaker or "-",
        one.health or "-",
        standing,
    )


def _next(ahead: NextPick, balancer: str) -> str:
    if not ahead.shares:
        return "nothing can be picked"
    if ahead.order:
        return f"{balancer} picks {', then '.join(node.url for node in ahead.order)}"
    shown = [f"{node.url} ({share:.0%})" for node, share in ahead.shares[:_SHARES_SHOWN]]
    if len(ahead.shares) > len(shown):
        shown.append(f"{len(ahead.shares) - len(shown)} more")
    return f"{balancer} picks one of {', '.join(shown)}"


def value_text(setting: Setting) -> str:
    """A setting's value for people."""
    value = setting.value
    if value is None:
        return "any" if setting.name == "version" else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    if setting.unit == "seconds":
        return f"{value:g} s"
    if setting.unit == "bytes":
        for size, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
            if value and value % size == 0:
                return f"{value // size} {name}"
        return f"{value} bytes"
    return f"{value} (options: {', '.join(setting.options)})" if setting.options else str(value)


def origin_text(setting: Setting, verbose: bool) -> str:
    """Where a setting comes from: ``bee.yml:12 bee.rpc.client.default.retries``."""
    if setting.path is None:
        return f"default: {setting.why}" if verbose and setting.why else "default"
    return setting.path if setting.line is None else f"{setting.file}:{setting.line} {setting.path}"


def _print_trace(trace: CallTrace) -> None:
    click.echo()
    if trace.error is not None:
        ending = f" and failed: {type(trace.error).__name__}: {trace.error}"
    else:
        answered = "the fallback answered" if trace.degraded else "result"
        ending = f"; {answered}: {encode(trace.value)}"
    print_steps(trace_object(trace), ending)


def _object(explanation: Explanation, trace: CallTrace | None) -> dict[str, Any]:
    known, ahead = explanation.known, explanation.next
    described: dict[str, Any] = {
        **fields(explanation, "service", "method"),
        **fields(known, "asked"),
        **outlook_fields(known),
        "can_be_picked": not explanation.obstacle,
        "obstacle": explanation.obstacle,
        "nodes": [
            node_object(one.node)
            | fields(one, "standing", "reason", "breaker", "health", "doubt", "remark")
            for one in explanation.nodes
        ],
        "next": {
            "order": [node.url for node in ahead.order],
            "shares": [
                {"node": node.url, "share": round(share, 4)} for node, share in ahead.shares
            ],
        },
        "settings": {
            one.name: fields(one, "value", "path", "file", "line", "options", "unit")
            for one in explanation.settings
        },
        "file": explanation.file,
        "retries_left": explanation.retries_left,
    }
    return described if trace is None else described | {"call": trace_object(trace)}
