"""What a client knows of a service's nodes: the answer of ``client.nodes`` and ``bee nodes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from ..terms.node import Node, Snapshot, Source
    from .directory import Selection


@attrs.frozen
class KnownNode:
    """One node, and whether it may be called.

    Attributes:
        node: The node.
        fitting: Whether it is what the client asks for.
        reason: Why it is not; empty when it is.
    """

    node: Node
    fitting: bool
    reason: str = ""


@attrs.frozen
class NodesReport:
    """The nodes of a service as a client knows them.

    Attributes:
        service: The service's name.
        source: Who named the nodes, or None where nobody has yet.
        revision: Of the client's list; grows with each change. -1 before the first.
        nodes: Every node known, those that fit first, each part by url.
        asked: What the client asks for: ``version >=1.0, <2``.
        trouble: Why the registry is not heard at present; empty while it is heard, and where none
            is watched.
    """

    service: str
    source: Source | None
    revision: int
    nodes: tuple[KnownNode, ...]
    asked: str
    trouble: str = ""

    @property
    def fitting(self) -> tuple[Node, ...]:
        """The nodes that may be called."""
        return tuple(known.node for known in self.nodes if known.fitting)


def report_nodes(
    service: str, snapshot: Snapshot, selection: Selection, trouble: str = ""
) -> NodesReport:
    """Put together what a client knows."""
    nodes = [KnownNode(node, fitting=True) for node in selection.fitting]
    nodes += [
        KnownNode(rejected.node, fitting=False, reason=rejected.reason)
        for rejected in selection.rejected
    ]
    nodes.sort(key=lambda known: (not known.fitting, known.node.url, known.node.id))
    return NodesReport(
        service,
        snapshot.source if snapshot.revision >= 0 else None,
        snapshot.revision,
        tuple(nodes),
        str(selection.asked),
        trouble,
    )
