"""``bee call``: make one call."""

from __future__ import annotations

import json
import re
import shlex
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import click

from .. import detailed, with_options
from ..calls.application_errors import call_error_of
from ..methods.interface_methods import interface_methods
from .command_group import FAILED, UnusableCommandError
from .output import encode, fields
from .shared_options import config_option, interface_option, open_client, printing_options

if TYPE_CHECKING:
    from ..calls.options import CallOptionsDict
    from ..client.asyncio import AsyncClient
    from ..client.blocking import Client
    from ..client.proxies import Reply
    from ..errors import CallError

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
@interface_option
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
    interface: Any,
    as_json: bool,
) -> None:
    """Call METHOD of SERVICE and print the result as JSON.

    SERVICE is a key under bee.rpc.client. METHOD is a name such as add or Stats.mean. Each argument
    is JSON, or name=JSON for a named one:

    \b
        bee call calc add 1 2
        bee call calc add a=1 b=2
        bee call greeter greet '"Ada"'

    With --interface the call has the types and marks of that class. A method of protobuf messages
    takes and prints them as JSON.

    \b
        bee call greeter SayHello '{"name": "Ada"}' --interface greeter:Greeter
    """  # noqa: D301  # \b is click's mark for a paragraph that keeps its lines
    args, kwargs = read_arguments(arguments)
    texts = read_metadata(metadata)
    with open_client(config_path, told=False) as client:
        options: CallOptionsDict = {"timeout": timeout, "metadata": texts}
        target = partial(detailed, *target_of(client, service, method, interface, options))
        if interface is not None:
            args, kwargs = with_messages(interface, method, args, kwargs)
        try:
            reply: Reply[Any] = target(*args, **kwargs)
        except Exception as raised:
            error = call_error_of(raised)
            if not as_json:
                raise error from error.__cause__
            click.echo(encode({"error": _describe(error)}))
            ctx.exit(FAILED)
    if not as_json:
        click.echo(encode(without_messages(reply.value)))
        return
    described = {
        "value": without_messages(reply.value),
        "node": None if reply.node is None else reply.node.url,
        **fields(reply, "attempts", "degraded"),
        "seconds": round(reply.seconds, 6),
    }
    click.echo(encode(described))


def target_of(
    client: Client | AsyncClient,
    service: str,
    method: str,
    interface: Any,
    options: CallOptionsDict,
) -> tuple[Any, ...]:
    """What ``detailed`` is given before the arguments, for a method by its full name.

    Args:
        client: The client, of either kind.
        service: The key under ``bee.rpc.client``.
        method: The method's full name.
        interface: What ``--interface`` names, or None.
        options: For each call.

    Raises:
        ConfigError: No such service is configured.
        UnusableCommandError: The interface cannot be used, or declares no such method.
    """
    if interface is None:
        # By its full name, so that a method named "call" or "with_options" is reached as well.
        return client.service(service).with_options(**options).call, method
    typed = with_options(_typed(client, service, interface), **options)
    return (_declared(typed, method, interface),)


def _typed(client: Client | AsyncClient, service: str, interface: Any) -> Any:
    try:
        return client.service(service, interface)
    except TypeError as error:
        raise UnusableCommandError(f"--interface: {error}") from error


def _declared(proxy: Any, method: str, interface: Any) -> Any:
    try:
        return reduce(getattr, method.split("."), proxy)
    except AttributeError:
        declared = ", ".join(interface_methods(interface))
        raise UnusableCommandError(
            f"the interface {interface.__qualname__} declares no {method}; it declares {declared}"
        ) from None


def with_messages(
    interface: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with protobuf messages, read from JSON objects, where the interface declares them.

    Raises:
        UnusableCommandError: An object is not of the message.
    """
    params = interface_methods(interface)[method].signature.params or ()
    by_name = {parameter.name: parameter.hint for parameter in params}
    hints = [*by_name.values(), *(None for _ in args)]
    return (
        tuple(_message(hint, value) for hint, value in zip(hints, args, strict=False)),
        {name: _message(by_name.get(name), value) for name, value in kwargs.items()},
    )


def _message(hint: Any, value: Any) -> Any:
    if not hasattr(hint, "DESCRIPTOR") or not isinstance(value, dict):
        return value
    from google.protobuf import json_format  # only who has messages has protobuf

    try:
        return json_format.ParseDict(value, hint())
    except json_format.ParseError as error:
        raise UnusableCommandError(
            f"an argument is not a {hint.DESCRIPTOR.full_name}: {error}"
        ) from error


def without_messages(value: Any) -> Any:
    """A result with its protobuf message as an object for JSON."""
    if not hasattr(value, "DESCRIPTOR"):
        return value
    from google.protobuf import json_format

    return json_format.MessageToDict(value, preserving_proto_field_name=True)


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


def read_metadata(pairs: tuple[str, ...]) -> dict[str, str]:
    """Read what ``--metadata`` was given, each time.

    Raises:
        UnusableCommandError: One has no name.
    """
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
    # What only some errors have: the class of the handler's exception, its code, the path of a bad
    # argument, when to try again.
    names = ("type", "code", "details", "path", "traceback", "retry_after")
    extra = {name: getattr(error, name, None) for name in names}
    return described | {
        name: value for name, value in extra.items() if value is not None and value != ""
    }
