"""``bee call``: make one call."""

from __future__ import annotations

from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import click

from .. import detailed, with_options
from ..calls.application_errors import call_error_of
from ..errors import InvalidArgument
from ..methods.interface_methods import interface_methods
from .arguments import Given, fitting
from .command_group import FAILED, UnusableCommandError
from .completion import complete_method, complete_service
from .described import Teller, open_service
from .output import encode, fields
from .shared_options import config_option, interface_option, printing_options, refuse_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..calls.options import CallOptionsDict
    from ..client.asyncio import AsyncClient
    from ..client.blocking import Client
    from ..client.proxies import Reply
    from ..errors import CallError


# Unknown options are let through, because a negative number looks like one.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("service", shell_complete=complete_service)
@click.argument("method", shell_complete=complete_method)
@click.argument("arguments", metavar="[VALUE]...", nargs=-1, type=click.UNPROCESSED)
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

    SERVICE is a key under bee.rpc.client, or the url of a node. METHOD is a name such as add or
    Stats.mean. Each argument is JSON, or name=JSON for a named one. Where the method takes text, a
    bare text will do. @FILE stands for what the file has, and - for standard input; alone, an
    object in them is all arguments by name:

    \b
        bee call calc add 1 2
        bee call calc add a=1 b=2
        bee call greeter greet name=Ada
        bee call shop order lines=@lines.json
        bee call tcp://127.0.0.1:9000 add - < arguments.json

    With --interface the call has the types and marks of that class. A method of protobuf messages
    takes and prints them as JSON.

    \b
        bee call greeter SayHello '{"name": "Ada"}' --interface greeter:Greeter
    """  # noqa: D301  # \b is click's mark for a paragraph that keeps its lines
    refuse_options("call", service, method)
    given = Given.of(arguments)
    texts = read_metadata(metadata)
    with open_service(config_path, service, told=False) as client:
        options: CallOptionsDict = {"timeout": timeout, "metadata": texts}
        target = partial(detailed, *target_of(client, service, method, interface, options))
        teller = Teller(client, service, method, interface)
        try:
            reply = _call(target, given, teller, method, interface)
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


def _call(
    target: Callable[..., Reply[Any]], given: Given, teller: Teller, method: str, interface: Any
) -> Reply[Any]:
    """Make the call. What the method takes is asked for only where the words alone will not do."""

    def make(words: tuple[tuple[Any, ...], dict[str, Any]]) -> Reply[Any]:
        if interface is not None:
            words = with_messages(interface, method, *words)
        return target(*words[0], **words[1])

    try:
        words = given.plain()
    except UnusableCommandError:
        words = fitting(given, teller.known, method)
        if words is None:
            raise
        return make(words)
    if given.whole and interface is not None:
        return make(fitting(given, teller.known, method) or words)
    try:
        return make(words)
    except InvalidArgument as error:
        if error.executed != "no":
            raise
        suited = fitting(given, teller.known, method)
        if suited is None or suited == words:
            raise
        return make(suited)


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
