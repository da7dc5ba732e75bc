"""``bee call``: make one call."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import click

from .. import detailed
from ..errors import CallError
from .command_group import FAILED, UnusableCommandError
from .output import encode, fields
from .shared_options import config_option, open_client, printing_options

if TYPE_CHECKING:
    from ..client.proxies import Reply

_NAMED = re.compile(r"([^\W\d]\w*)=(.*)", re.DOTALL)


# Unknown options are let through, because a negative number looks like one.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("service")
@click.argument("method")
@click.argument("arguments", metavar="[JSON]...", nargs=-1, type=click.UNPROCESSED)
@config_option
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=float,
    help="For the whole call, instead of the configuration's.",
)
@click.option(
    "--metadata",
    metavar="KEY=TEXT",
    multiple=True,
    help="A text that the handler sees. May be given several times.",
)
@printing_options("Print an object that also says how the call went.")
@click.pass_context
def call(
    ctx: click.Context,
    service: str,
    method: str,
    arguments: tuple[str, ...],
    config_path: str,
    timeout: float | None,
    metadata: tuple[str, ...],
    as_json: bool,
) -> None:
    """Call METHOD of SERVICE and print the result as JSON.

    SERVICE is a key under bee.rpc.client. METHOD is a name such as add or Stats.mean. Each argument
    is JSON, or name=JSON for a named one:

    \b
        bee call calc add 1 2
        bee call calc add a=1 b=2
        bee call greeter greet '"Ada"'
    """  # noqa: D301  # \b is click's mark for a paragraph that keeps its lines
    args, kwargs = read_arguments(arguments)
    texts = _texts(metadata)
    with open_client(config_path) as client:
        proxy = client.service(service)
        try:
            # By its full name, so that a method named "call" or "with_options" is reached as well.
            reply: Reply[Any] = detailed(
                proxy.with_options(timeout=timeout, metadata=texts).call, method, *args, **kwargs
            )
        except CallError as error:
            if not as_json:
                raise
            click.echo(encode({"error": _describe(error)}))
            ctx.exit(FAILED)
    if not as_json:
        click.echo(encode(reply.value))
        return
    described = {
        "value": reply.value,
        "node": None if reply.node is None else reply.node.url,
        **fields(reply, "attempts", "degraded"),
        "seconds": round(reply.seconds, 6),
    }
    click.echo(encode(described))


def read_arguments(texts: tuple[str, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Read the arguments of a call: JSON, or ``name=JSON``.

    Raises:
        UnusableCommandError: One is not JSON, a name is given twice, or a positional one follows a
            named one.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for number, text in enumerate(texts, 1):
        named = _NAMED.fullmatch(text)
        if named is None:
            if kwargs:
                raise UnusableCommandError(
                    f"argument {number} ({text}) follows a named one;"
                    " positional arguments come first"
                )
            args.append(_read(text, number, ""))
        elif named[1] in kwargs:
            raise UnusableCommandError(f"argument {number}: {named[1]!r} is given twice")
        else:
            kwargs[named[1]] = _read(named[2], number, f"{named[1]}=")
    return tuple(args), kwargs


def _read(text: str, number: int, prefix: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        if not prefix and text.startswith("--"):
            raise UnusableCommandError(f"there is no option {text.partition('=')[0]}") from error
        if text[:1] in {"{", "[", '"'}:
            raise UnusableCommandError(
                f"argument {number} is not JSON: {text} ({error})"
            ) from error
        quoted = shlex.quote(prefix + json.dumps(text, ensure_ascii=False))
        raise UnusableCommandError(
            f"argument {number} is not JSON: {prefix}{text}; a text wants double quotes,"
            f" and the shell takes one pair: {quoted}"
        ) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _texts(pairs: tuple[str, ...]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UnusableCommandError(f"--metadata {pair!r}: write KEY=TEXT")
        texts[key] = text
    return texts


def _describe(error: CallError) -> dict[str, Any]:
    described = {
        **fields(error, "kind", "message", "service", "method", "executed", "attempts"),
        "node": None if error.node is None else error.node.url,
    }
    # What only some errors have: the class of the handler's exception, the path of a bad argument,
    # when to try again.
    extra = {
        name: getattr(error, name, None) for name in ("type", "path", "traceback", "retry_after")
    }
    return described | {name: value for name, value in extra.items() if value not in {None, ""}}
