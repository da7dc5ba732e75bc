"""Asks nodes how they are, each on a thread, for reports to people."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from .explanation import MOST_PINGED, PING_TIMEOUT

if TYPE_CHECKING:
    from ..contracts.transport import Channel
    from ..nodes.node_set import NodeSet, NodeState


def ask_health(nodes: NodeSet[Channel]) -> dict[str, str]:
    """Ping nodes, all at a time: ``serving``, ``draining``, or why a node did not answer, by its id. Waits a little over :data:`PING_TIMEOUT` at most."""

    def ask(state: NodeState[Channel]) -> str:
        try:
            answer = (state.attempt or nodes.connect(state)).channel.ping(PING_TIMEOUT)
        except Exception as error:  # a transport's
            return f"no answer: {error}"
        return answer if isinstance(answer, str) else answer.message

    asked = dict(islice(nodes.states.items(), MOST_PINGED))
    if not asked:
        return {}
    with ThreadPoolExecutor(len(asked), "bee-health") as threads:
        return dict(zip(asked, threads.map(ask, asked.values()), strict=True))
