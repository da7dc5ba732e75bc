"""The nodes of a list that can be called, and what is said, once, of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..terms.loggers import logger
from ..terms.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..terms.node import Node, Snapshot

log = logger("bee.client")


class SoundNodes:
    """Leaves out bad entries: one must not cost a service its good ones.

    Args:
        service: The service's name.
        objection: Why a node cannot be called at all; empty if it can.
        choose: A node with several addresses at the one that the client takes.
    """

    def __init__(
        self,
        service: str,
        objection: Callable[[Node], str],
        choose: Callable[[Node], Node] = lambda node: node,
    ) -> None:
        self._service = service
        self._objection = objection
        self._choose = choose
        # By id: nodes with several addresses as they were listed, and as they were chosen.
        self._chosen: dict[str, tuple[Node, Node]] = {}
        self._said_left_out = self._said_shared = False

    def at_addresses(self, snapshot: Snapshot) -> Snapshot:
        """A registry's list with each node at the address that the client takes.

        Where no node has several it is the same object. A node that has not changed stays the same.
        """
        changes = snapshot.changes
        looked_at = snapshot.nodes if changes is None or self._chosen else changes.put
        if not any(node.addresses for node in looked_at):
            self._chosen.clear()
            return snapshot
        before, self._chosen = self._chosen, {}
        nodes = tuple([self._at(node, before) for node in snapshot.nodes])
        if changes is not None:
            changes = attrs.evolve(
                changes, put=tuple([self._at(node, self._chosen) for node in changes.put])
            )
        return attrs.evolve(snapshot, nodes=nodes, changes=changes)

    def _at(self, node: Node, known: dict[str, tuple[Node, Node]]) -> Node:
        if not node.addresses:
            return node
        listed, chosen = known.get(node.id, (None, node))
        if listed is not node:
            chosen = self._choose(node)
        self._chosen[node.id] = node, chosen
        return chosen

    def those_of(self, nodes: Iterable[Node]) -> tuple[Node, ...]:
        """The nodes that can be called."""
        sound = []
        for node in nodes:
            reason = self._objection(node)
            if not reason:
                sound.append(node)
            elif not self._said_left_out:
                self._said_left_out = True
                log.warning(
                    "a node of %s is left out: %s (said once; bee nodes lists the others)",
                    self._service,
                    reason,
                )
        return tuple(sound)

    def say_shared(self, url: str) -> None:
        """Two servers that live announce a url; empty if none do."""
        if url and not self._said_shared:
            self._said_shared = True
            log.warning(
                "two servers of %s are registered with the url %s; calls go to the later one "
                "only: give each an advertise address that clients reach it by (said once)",
                self._service,
                printable(url),
            )
