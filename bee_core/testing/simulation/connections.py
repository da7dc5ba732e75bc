"""Which connections are open: one from a client to a node, once a call has gone there."""

from __future__ import annotations


class Connections:
    """Counts connections as an asyncio client has them: one to each node that it calls.

    A blocking client has one for each call that runs at a time, so it has more where calls overlap.

    Attributes:
        most: How many were open at a time.
        most_of_a_client, most_of_a_node: Likewise, of the one that had the most.
    """

    __slots__ = ("_clients", "_nodes", "_open", "most", "most_of_a_client", "most_of_a_node")

    def __init__(self) -> None:
        self._open = 0
        self._clients: dict[int, int] = {}
        self._nodes: dict[int, dict[int, None]] = {}
        self.most = 0
        self.most_of_a_client = 0
        self.most_of_a_node = 0

    def opened(self, client: int, node: int) -> None:
        """A client has connected to a node."""
        there = self._nodes.setdefault(node, {})
        if client in there:
            return
        there[client] = None
        self._open += 1
        self._clients[client] = of_client = self._clients.get(client, 0) + 1
        self.most = max(self.most, self._open)
        self.most_of_a_client = max(self.most_of_a_client, of_client)
        self.most_of_a_node = max(self.most_of_a_node, len(there))

    def closed(self, client: int, node: int) -> None:
        """A client has no connection to a node any more, if it had one."""
        there = self._nodes.get(node, {})
        if client in there:
            del there[client]
            self._open -= 1
            self._clients[client] -= 1

    def died(self, node: int) -> None:
        """A process has ended, and so have its connections."""
        for client in tuple(self._nodes.get(node, ())):
            self.closed(client, node)
