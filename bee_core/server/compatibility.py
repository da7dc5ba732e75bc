"""Before a server registers: would it break those who call the nodes that are there?

It asks the nodes of its own major version what they are, those that are no newer than itself: a
version that is rolled back takes methods away, and is wanted. A node that cannot be asked does not
keep a server from starting.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ..contracts.breaking import BreakingChange, breaking_changes
from ..contracts.describing import About, describe
from ..contracts.description import ServiceDescription, read_description
from ..contracts.schema_references import Effort
from ..contracts.transport import ChannelSettings
from ..errors import BeeError
from ..terms.addresses import parse
from ..terms.failures import Failure
from ..terms.printable import text_of
from ..terms.request import DESCRIBE, Request, RequestHead
from ..terms.versions import parse_version, precedence
from .log_lines import say
from .self_description import SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..contracts.endpoint import ServedMethod
    from ..contracts.registry import Registry
    from ..contracts.transport import Transport
    from ..terms.node import Node
    from .assembly import Assembly

_PATIENCE = 3.0
"""Seconds for the registry's list, and for the answer of a node."""
_MOST_ASKED = 5
"""Nodes that are asked, each of another version if it can be."""
_MOST_SAID = 20


async def compare_with_others(assembly: Assembly, methods: Sequence[ServedMethod]) -> None:
    """Compare a server's methods with what the other nodes of its service describe.

    Args:
        assembly: The server's parts.
        methods: Its methods.

    Raises:
        BeeError: They would break callers, and ``on_breaking`` is ``refuse``.
    """
    settings = assembly.settings
    if not settings.register:
        return
    others = await _others(assembly)
    if not others:
        return
    teller = next((one for one in assembly.codecs.values() if hasattr(one, "json_schemas")), None)
    about = About(settings.name, settings.version, codecs=tuple(assembly.codecs))
    own = describe(about, methods, teller)
    found: dict[tuple[str, str, str], tuple[BreakingChange, Node]] = {}
    asked, effort = 0, Effort()
    for node in others:
        described = await _ask(assembly, node)
        if described is None:
            continue
        try:
            # On a thread, so that a signal can end the start meanwhile.
            changes = await asyncio.to_thread(breaking_changes, described, own, effort)
        except ValueError as error:  # what it says is its own affair, and starting is this server's
            _not_compared(node, error)
            continue
        asked += 1
        for change in changes:
            found.setdefault((change.rule, change.method, change.path), (change, node))
    if not asked:
        say(
            "not_compared",
            f"none of {len(others)} other nodes of {settings.name} says what it can do, so it is"
            " unknown whether this server breaks their callers",
            level=logging.WARNING,
        )
        return
    _judge(assembly, list(found.values()))


def _judge(assembly: Assembly, found: list[tuple[BreakingChange, Node]]) -> None:
    settings = assembly.settings
    lines = [
        f"{change} (compared with {node.version or '0.0.0'} at {node.url})"
        for change, node in found[:_MOST_SAID]
    ]
    refuses = settings.on_breaking == "refuse"
    for (change, node), line in zip(found, lines, strict=False):
        say(
            "breaking_change",
            f"{settings.name} {settings.version} breaks callers: {line}",
            level=logging.ERROR if refuses else logging.WARNING,
            rule=change.rule,
            method=change.method,
            path=change.path,
            node=node.url,
        )
    if found and refuses:
        raise BeeError(
            f"{settings.name} {settings.version} would break callers in {len(found)}"
            f" way{'s' if len(found) > 1 else ''}, so it does not register: {lines[0]};"
            " raise the major version, or set bee.rpc.server.on_breaking: warn"
        )


async def _others(assembly: Assembly) -> list[Node]:
    """The nodes to ask, one of each version first, the newest first."""
    settings = assembly.settings
    registry = assembly.make_registry()
    try:
        snapshot = await asyncio.wait_for(_first_list(registry, settings.name), _PATIENCE)
    except (OSError, BeeError, asyncio.TimeoutError) as error:
        say(
            "not_compared",
            "the registry does not say which other nodes there are, so it is unknown whether this"
            f" server breaks their callers: {error}",
            level=logging.WARNING,
        )
        return []
    finally:
        with suppress(Exception):
            await registry.close()
    own = parse_version(settings.version)
    fitting = []
    for node in snapshot:
        with suppress(ValueError):
            version = parse_version(node.version or "0.0.0")
            if version.major == own.major and precedence(version) <= precedence(own):
                fitting.append((precedence(version), node))
    fitting.sort(key=lambda pair: pair[0], reverse=True)
    nodes = [node for _, node in fitting]
    firsts = list({node.version: node for node in reversed(nodes)}.values())[::-1]
    return [*firsts, *(node for node in nodes if node not in firsts)][:_MOST_ASKED]


async def _first_list(registry: Registry, service: str) -> Sequence[Node]:
    if registry.known(service, ()) is not None:
        return ()  # it says what the file says: there are no others
    watching = registry.watch(service)
    try:
        async for snapshot in watching:
            return tuple(snapshot.nodes)
    finally:
        close = getattr(watching, "aclose", None)
        if close is not None:
            await close()
    return ()


async def _ask(assembly: Assembly, node: Node) -> ServiceDescription | None:
    """What a node describes; None where it cannot be asked, or does not describe itself."""
    try:
        transport = assembly.transport_of(parse(node.url).scheme)
        return await asyncio.wait_for(_describe(assembly, transport, node), _PATIENCE)
    except Exception as error:  # of a transport or a codec, or a description that is none
        _not_compared(node, error)
        return None


def _not_compared(node: Node, error: Exception) -> None:
    say(
        "not_compared",
        f"the node {node.url} does not say what it can do: {text_of(error)}",
        node=node.url,
    )


async def _describe(
    assembly: Assembly, transport: Transport, node: Node
) -> ServiceDescription | None:
    settings = assembly.settings
    name = next(iter(assembly.codecs))
    codec = assembly.bind(name, SIGNATURE)
    form, body = codec.encode_args((), {})
    # A token goes over nothing that others can read.
    has_token = settings.tokens and getattr(transport, "encrypted", False)
    channel = transport.async_channel(
        node,
        ChannelSettings(
            service=settings.name,
            codec=name,
            compressor=None,
            max_body=settings.max_size,
            clock=time.monotonic,
            token=settings.tokens[0].first if has_token else None,
        ),
    )
    head = RequestHead(settings.name, DESCRIBE, idempotent=True)
    until = time.monotonic() + _PATIENCE
    request = Request(head, form, body, False, until, _PATIENCE, _PATIENCE, _PATIENCE)
    try:
        outcome = await channel.start(request).reply
    finally:
        await channel.close()
    if isinstance(outcome, Failure):
        raise BeeError(outcome.message)
    return read_description(codec.decode_result(outcome.body))
