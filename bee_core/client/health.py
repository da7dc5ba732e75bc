"""How the nodes of a service say that they are, for a report. Each is pinged."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..terms.printable import brief

if TYPE_CHECKING:
    from ..contracts.channels import AsyncChannel, Channel
    from ..nodes.node_set import NodeSet
    from ..nodes.node_state import NodeState
    from ..terms.failures import Failure

PING_TIMEOUT = 1.0
"""Seconds that a node may take to say how it is."""
MOST_PINGED = 64
"""Nodes of a service that are asked how they are; more would be a load test."""


def ask_health(nodes: NodeSet[Channel]) -> dict[str, str]:
    """How nodes say that they are. Pings all of them at a time.

    Waits a little over :data:`PING_TIMEOUT` at most.

    Returns:
        By node id: ``serving``, ``draining``, or why the node did not answer.
    """
    answers = _ping(nodes, PING_TIMEOUT)
    return {
        id_: f"no answer: {brief(answer)}" if isinstance(answer, Exception) else _said(answer)
        for id_, answer in answers.items()
    }


def ping_all(
    nodes: NodeSet[Channel], timeout: float
) -> list[tuple[str, str | Failure | Exception]]:
    """What each node answers to a ping, by its url: its status, or why there is none."""
    asked = _ping(nodes, timeout)
    return [(nodes.states[id_].node.url, answer) for id_, answer in asked.items()]


def _ping(nodes: NodeSet[Channel], timeout: float) -> dict[str, str | Failure | Exception]:
    def ask(state: NodeState[Channel]) -> str | Failure | Exception:
        try:
            return _channel(nodes, state).ping(timeout)  # type: ignore[no-any-return]
        except Exception as error:  # a transport's
            return error

    asked = dict(islice(nodes.states.items(), MOST_PINGED))
    if not asked:
        return {}
    with ThreadPoolExecutor(len(asked), "bee-health") as threads:
        return dict(zip(asked, threads.map(ask, asked.values()), strict=True))


async def ask_health_async(nodes: NodeSet[AsyncChannel]) -> dict[str, str]:
    """The same on an event loop."""

    async def ask(state: NodeState[AsyncChannel]) -> str:
        try:
            return _said(await _channel(nodes, state).ping(PING_TIMEOUT))
        except Exception as error:  # a transport's
            return f"no answer: {brief(error)}"

    asked = dict(islice(nodes.states.items(), MOST_PINGED))
    return dict(zip(asked, await asyncio.gather(*map(ask, asked.values())), strict=True))


def _channel(nodes: NodeSet[Any], state: NodeState[Any]) -> Any:
    return (state.attempt or nodes.connect(state)).channel


def _said(answer: str | Failure) -> str:
    return answer if isinstance(answer, str) else answer.message
