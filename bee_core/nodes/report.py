"""What a client knows of a service's nodes, and how much that is worth, for people and programs."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..terms.node import Node, Snapshot, Source
    from .directory import Selection
    from .outlook import Outlook, RegistryState

NOTHING_CUT_OFF: Mapping[str, str] = MappingProxyType({})


@attrs.frozen
class KnownNode:
    """One node, and whether it may be called.

    Attributes:
        node: The node.
        fitting: Whether it is what the client asks for.
        reason: Why it is not; empty when it is.
        doubt: Why it is in doubt, though it may be called; empty when it is listed.
        doubted_for: Seconds since the doubt began; None when it is listed.
        cut_off: What its breaker cut it off for; empty when it did not, or does not say.
    """

    node: Node
    fitting: bool
    reason: str = ""
    doubt: str = ""
    doubted_for: float | None = None
    cut_off: str = ""


@attrs.frozen
class NodesReport:
    """The nodes of a service as a client knows them. Times are in seconds, as of the report.

    Attributes:
        service: The service's name.
        source: Who named the nodes, or None where nobody has yet.
        revision: Of the client's list; grows with each change. -1 before the first.
        nodes: Every node known, those that fit first, each part by url.
        asked: What the client asks for: ``version >=1.0, <2``.
        trouble: Why the registry is not heard at present; empty while it is heard, and where none
            is watched.
        registry: The registry's name: ``etcd3 at 10.0.0.1:2379``; empty where none is watched.
        state: What the registry is to the client; None where none is watched.
        age: How old the list is: since the registry answered last, or since the list was written to
            disk. None where it is the configuration's, and where there is none.
        silent_for: For how long the registry has not been heard; None while it is heard.
        unknown: Why no node is known, and what to do; empty where one is known.
    """

    service: str
    source: Source | None
    revision: int
    nodes: tuple[KnownNode, ...]
    asked: str
    trouble: str = ""
    registry: str = ""
    state: RegistryState | None = None
    age: float | None = None
    silent_for: float | None = None
    unknown: str = ""

    @property
    def fitting(self) -> tuple[Node, ...]:
        """The nodes that may be called."""
        return tuple(known.node for known in self.nodes if known.fitting)

    @property
    def in_doubt(self) -> tuple[KnownNode, ...]:
        """The nodes that the registry does not list, and that are not let go yet."""
        return tuple(known for known in self.nodes if known.doubt)

    @property
    def doubtful(self) -> bool:
        """Whether it may be out of date.

        The registry is not heard at present, the list is the one on disk, or a node is in doubt.
        """
        heard = self.state in {None, "answering"}
        return not heard or self.source == "cache" or bool(self.in_doubt)


def report_nodes(
    service: str,
    snapshot: Snapshot,
    selection: Selection,
    outlook: Outlook | None = None,
    unknown: str = "",
    cut_off: Mapping[str, str] = NOTHING_CUT_OFF,
) -> NodesReport:
    """Put together what a client knows.

    Args:
        service: The service's name.
        snapshot: The nodes.
        selection: Those that fit, and the others.
        outlook: What is known of the registry; None where none is watched.
        unknown: Why no node is known. Left out where one is.
        cut_off: By node id, what breakers cut nodes off for.
    """
    doubts = {} if outlook is None else {doubt.node_id: doubt for doubt in outlook.doubts}

    def known(node: Node, reason: str, *, fitting: bool) -> KnownNode:
        doubt, why = doubts.get(node.id), cut_off.get(node.id, "")
        if doubt is None:
            return KnownNode(node, fitting, reason, cut_off=why)
        return KnownNode(node, fitting, reason, doubt.reason, doubt.seconds, why)

    nodes = [known(node, "", fitting=True) for node in selection.fitting]
    nodes += [known(one.node, one.reason, fitting=False) for one in selection.rejected]
    nodes.sort(key=lambda known: (not known.fitting, known.node.url, known.node.id))
    source = snapshot.source if snapshot.revision >= 0 else None
    report = NodesReport(
        service,
        source,
        snapshot.revision,
        tuple(nodes),
        str(selection.asked),
        unknown="" if nodes else unknown,
    )
    if outlook is None:
        return report
    return attrs.evolve(
        report,
        trouble=outlook.trouble,
        registry=outlook.registry,
        state=outlook.state,
        age=_age(source, outlook),
        silent_for=outlook.silent,
    )


def _age(source: Source | None, outlook: Outlook) -> float | None:
    if source == "registry":
        return outlook.heard
    return outlook.written if source == "cache" else None
