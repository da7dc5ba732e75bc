"""Asks nodes how they are, for reports to people. See :mod:`bee_core.client.health`."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

from .explanation import MOST_PINGED, PING_TIMEOUT

if TYPE_CHECKING:
    from ..contracts.transport import AsyncChannel
    from ..nodes.node_set import NodeSet, NodeState


async def ask_health(nodes: NodeSet[AsyncChannel]) -> dict[str, str]:
    """Ping nodes, all at a time: ``serving``, ``draining``, or why a node did not answer, by its id."""

    async def ask(state: NodeState[AsyncChannel]) -> str:
        try:
            answer = await (state.attempt or nodes.connect(state)).channel.ping(PING_TIMEOUT)
        except Exception as error:  # a transport's
            return f"no answer: {error}"
        return answer if isinstance(answer, str) else answer.message

    asked = dict(islice(nodes.states.items(), MOST_PINGED))
    return dict(zip(asked, await asyncio.gather(*map(ask, asked.values())), strict=True))
