"""Which nodes of a snapshot a client may call, and why not the others.

A client asks for a range of versions, for tags and for a zone. A registry's word does not lead it
to an address that :mod:`.trust` objects to.

- Nodes from a registry, or from its cache on disk, must state what is asked for. One without a
  version is in no range.
- A configured address is the user's own choice, so only what it states is checked. One without a
  version is in any range, one without tags has every tag.

Pure, immutable, thread-safe. It runs when a snapshot changes and never for a call. 5,000 nodes take
a few milliseconds.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs

from ..terms.node import Snapshot
from ..terms.versions import Range, parse_version, precedence
from .outlook import remark

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..terms.node import Node, Source
    from .outlook import Outlook
    from .trust import Trust

LISTED = 12
"""Versions, or tags, that a message lists: enough to see what is rolled out, in one line."""
CLIPPED = 40
"""Characters of a version or a tag that a message shows. Servers may state anything."""


@attrs.frozen
class Directory:
    """What a client asks of nodes.

    Attributes:
        range: The versions that will do, or None for any and for none at all.
        tags: Labels that a node must have, every one of them.
        zone: The only zone that will do, or None for any and for none stated.
        trust: What a registry's word is good for, or None for everything.
    """

    range: Range | None = None
    tags: frozenset[str] = frozenset()
    zone: str | None = None
    trust: Trust | None = None

    def __str__(self) -> str:
        """What is asked for, ``version >=1.0, <2 and tag gpu``, or ``anything``."""
        schemes = None if self.trust is None else self.trust.schemes
        parts = (
            f"version {self.range}" if self.range is not None else "",
            _named_tags(self.tags) if self.tags else "",
            f"zone {_clipped(self.zone)}" if self.zone is not None else "",
            f"scheme {' or '.join(schemes)}" if schemes else "",
        )
        return " and ".join(filter(None, parts)) or "anything"

    def select(self, snapshot: Snapshot) -> Selection:
        """Tell the nodes that fit from those that do not.

        A version that cannot be read is in no range. It is a reason and never an error.
        """
        fitting: list[Node] = []
        rejected: list[Rejected] = []
        lenient = snapshot.source == "address"
        objections: dict[str | None, str] = {}  # many nodes, few versions
        trust = None if lenient else self.trust
        for node in snapshot.nodes:
            version = node.version
            reason = objections.get(version)
            if reason is None:
                reason = objections[version] = self._objection_to(version, lenient=lenient)
            others = (
                self._objection_to_tags(node.tags, lenient=lenient),
                self._objection_to_zone(node.zone, lenient=lenient),
                trust.objection(node.url) if trust is not None else "",
            )
            if reason or any(others):
                rejected.append(Rejected(node, "; ".join(filter(None, (reason, *others)))))
            else:
                fitting.append(node)
        return Selection(tuple(fitting), tuple(rejected), snapshot.source, self)

    def fits(self, node: Node) -> bool:
        """Whether calls could go to a node that a registry names."""
        found = self.select(Snapshot(0, "registry", (node,)))
        return bool(found.fitting) and node.weight > 0

    def _objection_to_tags(self, tags: frozenset[str], *, lenient: bool) -> str:
        if self.tags <= tags or (lenient and not tags):
            return ""
        return f"lacks {_named_tags(self.tags - tags)}"

    def _objection_to_zone(self, zone: str | None, *, lenient: bool) -> str:
        if self.zone is None or zone == self.zone or (lenient and zone is None):
            return ""
        if zone:
            return f"is in zone {_clipped(zone)}, not {_clipped(self.zone)}"
        return f"states no zone, and the client asks for {_clipped(self.zone)}"

    def _objection_to(self, version: str | None, *, lenient: bool) -> str:
        """Why a version does not fit; empty when it does."""
        if self.range is None:
            return ""
        if version is None:
            return "" if lenient else f"has no version, and the client asks for {self.range}"
        try:
            fits = self.range.matches(parse_version(version))
        except ValueError as error:
            return str(error)
        return "" if fits else f"version {version} is not in {self.range}"


@attrs.frozen
class Rejected:
    """A node that may not be called.

    Attributes:
        node: The node.
        reason: Why, to stand behind the node's name: ``version 2.0.0 is not in >=1.0, <2``.
            Several reasons are joined by a semicolon.
    """

    node: Node
    reason: str


@attrs.frozen
class Selection:
    """The nodes of a snapshot, told apart; both parts keep the snapshot's order.

    Attributes:
        fitting: The nodes that may be called.
        rejected: The others.
        source: Who named the nodes.
        asked: What they were held to.
    """

    fitting: tuple[Node, ...]
    rejected: tuple[Rejected, ...]
    source: Source = "registry"
    asked: Directory = attrs.field(factory=Directory)


_NONE_KNOWN: dict[Source, str] = {
    "registry": (
        "the registry lists none. Start a server, or check that it registers under this name at "
        "the same registry"
    ),
    "cache": "the registry is out of reach, and its last list, kept on disk, is empty",
    "address": (
        "no registry lists one and no address is configured. Start a server that registers, or set "
        "bee.rpc.client.{service}.address"
    ),
}


def explain_none(selection: Selection, service: str, outlook: Outlook | None = None) -> str:
    """The message of ``Unavailable`` when nothing fits: what there is instead, and what to do.

    Args:
        selection: One whose ``fitting`` is empty.
        service: The service's name.
        outlook: What is known of the registry; None where none is watched.

    Returns:
        One line of bounded length, however many nodes there are and whatever they state.
    """
    nodes = [rejected.node for rejected in selection.rejected]
    worth = remark(outlook, {node.id for node in nodes})
    if not nodes:
        why = _NONE_KNOWN[selection.source].format(service=service)
        return f"no node of {service} is known: {why}{worth}"
    asked = selection.asked
    urls = [node.url for node in nodes]
    there = f"versions there are: {_listed(_versions(nodes))}"
    if any(not asked.tags <= node.tags for node in nodes):
        there += f"; tags there are: {_counted(tag for node in nodes for tag in node.tags)}"
    if asked.zone is not None and any(node.zone != asked.zone for node in nodes):
        there += f"; zones there are: {_counted(node.zone for node in nodes if node.zone)}"
    if asked.trust is not None and selection.source != "address":
        untrusted = [reason for reason in map(asked.trust.objection, urls) if reason]
        if untrusted:
            there += f"; {len(untrusted)} passed over: {untrusted[0]}"
    known = "1 node is" if len(nodes) == 1 else f"{len(nodes)} nodes are"
    return (
        f"no node of {service} fits {asked}: {known} known; {there}. "
        f"Start a server that fits, or change what bee.rpc.client.{service} asks for{worth}"
    )


def _versions(nodes: Iterable[Node]) -> list[tuple[str, int]]:
    """Each version with its number of nodes: readable ones in order, unreadable ones, none."""
    counts: Counter[tuple[int, object, str]] = Counter()
    for text, count in Counter(node.version for node in nodes).items():
        if text is None:
            counts[2, None, "none stated"] += count
            continue
        try:
            version = parse_version(text)
        except ValueError:
            counts[1, None, repr(_clipped(text))] += count
        else:
            counts[0, precedence(version), _clipped(str(version))] += count
    # Sorting never compares None with a key: the first part tells them apart.
    return [(name, count) for (_, _, name), count in sorted(counts.items())]


def _counted(texts: Iterable[str]) -> str:
    return _listed(sorted(Counter(map(_clipped, texts)).items())) or "none"


def _listed(counted: Sequence[tuple[str, int]]) -> str:
    """``1.0.0 (1 node), 2.0.0 (3 nodes)``; of a long list the two ends."""
    texts = [f"{name} ({count} node{'s' if count != 1 else ''})" for name, count in counted]
    if len(texts) > LISTED:
        half = LISTED // 2
        texts[half:-half] = [f"{len(texts) - 2 * half} more"]
    return ", ".join(texts)


def _named_tags(tags: Iterable[str]) -> str:
    names = sorted(tags)
    return f"tag{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _clipped(text: str) -> str:
    return text if len(text) <= CLIPPED else text[: CLIPPED - 1] + "…"
