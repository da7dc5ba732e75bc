"""Rendezvous hashing: which nodes a client prefers.

Thaler and Ravishankar, *Using Name-Based Mappings to Increase Hit Rates* (1998): each client ranks
all nodes by a hash of its own id with the node's url. A node that goes changes no rank of the
others, so each client that had it takes its next one, and no client changes more than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .hash_ring import position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bee_core.interfaces import Node


class Ranking:
    """How one client ranks nodes. A node's rank is worked out once.

    Args:
        client: The client's id.
    """

    __slots__ = ("_ranks", "client")

    def __init__(self, client: str) -> None:
        self.client = client
        self._ranks: dict[str, int] = {}

    def ranked(self, nodes: Sequence[Node]) -> list[Node]:
        """The nodes, the most preferred one first."""
        known = self._ranks
        ranks = {
            node.url: known[node.url] if node.url in known else rank(self.client, node.url)
            for node in nodes
        }
        self._ranks = ranks  # of what has left nothing is kept
        return sorted(nodes, key=lambda node: (ranks[node.url], node.url), reverse=True)


def rank(client: str, url: str) -> int:
    """The rank of a node with a client: the first 64 bits of a SHA-256 digest."""
    return position(f"{client}\n{url}")
