"""All nodes of one service with their states, and what each event changes for calls. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..terms.failures import Failure
from .node_states import MOST_FAILURES, STATES, NodeEvent, NodeStatus, Suspect, event_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ..terms.node import Changes, Node


@attrs.frozen
class Delta:
    """What an event changed.

    Attributes:
        put: Nodes that calls may go to from now on, new or changed.
        gone: Ids of nodes that calls do not go to any more.
        suspects: Nodes that are in question from now on, and have to be asked.
        settled: Nodes that are in question no more: listed again, or gone.
    """

    put: tuple[Node, ...] = ()
    gone: frozenset[str] = frozenset()
    suspects: tuple[Suspect, ...] = ()
    settled: tuple[Suspect, ...] = ()

    @property
    def matters(self) -> bool:
        """Whether it makes a difference for calls."""
        return bool(self.put or self.gone)


class Roster:
    """All nodes of one service with their states. Not thread-safe.

    A change costs in proportion to what changed, and not to the number of nodes.

    Of several listed nodes with one url the newest is there: whoever answers at the url is that
    one. The others are let go, though they are listed. A registry lists the newest last.

    Args:
        bound: Seconds during which the registry answered, after which a node that it does not list
            is let go.
    """

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self._listed: dict[str, Node] = {}
        self._nodes: tuple[Node, ...] = ()  # the same, as the registry has put them
        self._there: dict[str, list[str]] = {}  # by url, the ids listed there, the newest last
        # Listed nodes whose url a newer one has, and the answered seconds when it came.
        self._covered: dict[str, float] = {}
        # In the order in which they vanished.
        self._suspects: dict[str, Suspect] = {}
        self._suspects_at: dict[str, set[str]] = {}  # by url, their ids

    # What is known.

    @property
    def picked(self) -> tuple[Node, ...]:
        """The nodes that calls may go to."""
        if not self._suspects:
            return self.present
        doubted = (one.node for one in self._suspects.values() if one.status == "doubted")
        return (*self.present, *doubted)

    @property
    def present(self) -> tuple[Node, ...]:
        """The listed nodes, without those whose url a newer one has."""
        if not self._covered:
            return self._nodes
        return tuple(node for node in self._nodes if node.id not in self._covered)

    @property
    def listed(self) -> int:
        """How many nodes the list names."""
        return len(self._nodes)

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """The nodes in question, the longest first."""
        return tuple(self._suspects.copy().values())  # from any thread: the copy is one step

    @property
    def unasked(self) -> bool:
        """Whether a node is in question that has not answered, or failed to, once. Any thread."""
        return any(not one.said for one in self.suspects)

    def suspect(self, node: Node) -> Suspect | None:
        """The question about a node; None where there is none, or one of another address.

        From any thread.
        """
        suspect = self._suspects.get(node.id)
        return suspect if suspect is not None and suspect.node.url == node.url else None

    def status(self, node_id: str) -> NodeStatus:
        """The state of a node."""
        if node_id in self._listed:
            return STATES["listed"]["address_taken"] if node_id in self._covered else "listed"
        suspect = self._suspects.get(node_id)
        return "gone" if suspect is None else suspect.status

    def shared_for(self, seconds: float, answered: float) -> str:
        """A url that two listed nodes have had for so long, by the answered time; empty if none.

        A server that has gone is not listed for so long, so both are there.
        """
        for node_id, since in self._covered.items():
            if answered - since >= seconds:
                return self._listed[node_id].url
        return ""

    # The events.

    def begin(self, nodes: tuple[Node, ...]) -> None:
        """Forget all, and take a list that stands in for the registry's until it speaks."""
        for suspect in self._suspects.values():
            suspect.status = "gone"
        self._suspects.clear()
        self._suspects_at.clear()
        self._take_over(nodes, {node.id: node for node in nodes}, 0.0)

    def remember(self, nodes: Iterable[Node], began: float) -> None:
        """Take note of nodes that the disk knows. The registry's first list decides on them."""
        for node in nodes:
            if self.status(node.id) == "gone":
                self._suspect(Suspect(node, "cached", 0.0, began))

    def whole(self, nodes: tuple[Node, ...], answered: float, began: float) -> Delta:
        """The registry's list, whole.

        Args:
            nodes: The nodes, ids unique.
            answered: For how many seconds the registry has answered in all.
            began: The time, by the client's clock.
        """
        before, covered = self._listed, self._covered
        listed = {node.id: node for node in nodes}
        vanished = [node for node_id, node in before.items() if node_id not in listed]
        arrived = [
            node
            for node in nodes
            if (old := before.get(node.id)) is None or (old is not node and old != node)
        ]
        self._take_over(nodes, listed, answered)
        return self._sort_out(before, covered, arrived, vanished, answered, began)

    def change(
        self, changes: Changes, nodes: tuple[Node, ...], answered: float, began: float
    ) -> Delta:
        """What has changed in the registry's list since it was taken over last.

        Args:
            changes: What changed.
            nodes: The whole list as it is now.
            answered: See :meth:`whole`.
            began: See :meth:`whole`.
        """
        listed, covered = self._listed, self._covered
        self._covered = dict(covered)
        before: dict[str, Node] = {}
        arrived, vanished = [], []
        touched: set[str] = set()
        put = {node.id for node in changes.put}
        for node_id in changes.gone - put:
            node = listed.pop(node_id, None)
            if node is not None:
                vanished.append(node)
                self._leave(node)
                touched.add(node.url)
        for node in changes.put:
            old = listed.get(node.id)
            listed[node.id] = node
            if old is not None:
                before[node.id] = old
            touched.add(node.url)
            if old is None or old.url != node.url:
                if old is not None:
                    self._leave(old)
                    touched.add(old.url)
                self._there.setdefault(node.url, []).append(node.id)
            if old != node:
                arrived.append(node)
        self._nodes = nodes
        shared = {url for url in touched if len(self._there.get(url, ())) > 1}
        order = [node.id for node in nodes if node.url in shared] if shared else []
        for url in touched:
            ids = self._there.get(url, [])
            if url in shared:
                ids.sort(key=order.index)
            self._cover(ids, answered)
        return self._sort_out(before, covered, arrived, vanished, answered, began)

    def answer(self, suspect: Suspect, answer: str | Failure) -> Delta:
        """A node in question has answered a ping, or has not."""
        if self._suspects.get(suspect.node.id) is not suspect:
            return Delta()
        event = event_of(answer)
        suspect.said = answer.message if isinstance(answer, Failure) else answer
        suspect.serves = event == "serving"
        if event == "failed":
            suspect.failures += 1
            if suspect.failures < MOST_FAILURES:
                return Delta()
        else:
            suspect.failures = 0
        return self._on(suspect, event)

    def pass_time(self, answered: float) -> Delta:
        """The registry has answered for so many seconds in all."""
        gone: set[str] = set()
        settled: list[Suspect] = []
        for suspect in self._overdue(answered):
            gone |= self._on(suspect, "time_over").gone
            settled.append(suspect)
        return Delta(gone=frozenset(gone), settled=tuple(settled))

    # How they are carried out.

    def _take_over(self, nodes: tuple[Node, ...], listed: dict[str, Node], answered: float) -> None:
        there: dict[str, list[str]] = {}
        for node in nodes:
            there.setdefault(node.url, []).append(node.id)
        covered = self._covered
        self._nodes, self._listed, self._there, self._covered = nodes, listed, there, {}
        if len(there) == len(nodes):
            return
        for ids in there.values():
            self._cover(ids, answered)
        for node_id in self._covered.keys() & covered.keys():
            self._covered[node_id] = covered[node_id]

    def _leave(self, node: Node) -> None:
        """A listed node is not at its url any more."""
        self._covered.pop(node.id, None)
        there = self._there[node.url]
        there.remove(node.id)
        if not there:
            del self._there[node.url]

    def _cover(self, ids: Sequence[str], answered: float) -> None:
        """Of these, which are at one url, the last is there."""
        for node_id in ids[:-1]:
            self._covered.setdefault(node_id, answered)
        if ids:
            self._covered.pop(ids[-1], None)

    def _sort_out(
        self,
        before: Mapping[str, Node],
        covered: Mapping[str, float],
        arrived: Iterable[Node],
        vanished: Iterable[Node],
        answered: float,
        began: float,
    ) -> Delta:
        """Follow the table for what came into the list and what left it. The list is taken over.

        Args:
            before: What was listed before, at least of what has arrived.
            covered: Which listed nodes had been let go before.
            arrived: What is new in the list, or has changed.
            vanished: What is not listed any more.
            answered: See :meth:`whole`.
            began: See :meth:`whole`.
        """
        put: dict[str, Node] = {}
        # What was unchanged or has changed; what has just come is not known, and need not go.
        gone = set(self._covered.keys() - covered.keys())
        settled: list[Suspect] = []
        taken: list[Suspect] = []
        for node in arrived:
            suspect = self._suspects.get(node.id)
            known = None if node.id in covered else before.get(node.id)
            if suspect is not None:
                if suspect.status == "doubted":
                    known = suspect.node
                self._end(suspect, STATES[suspect.status]["listed"])
                settled.append(suspect)
            if node.id in self._covered:
                if known is None:
                    gone.discard(node.id)
            elif known != node:
                put[node.id] = node
            there = self._suspects_at.get(node.url, ())
            taken += [self._suspects[node_id] for node_id in there if node_id in self._suspects]
        free = (covered.keys() - self._covered.keys()) & self._listed.keys()
        put.update({node_id: self._listed[node_id] for node_id in free})
        suspects = []
        for node in vanished:
            if node.id in covered:
                continue
            if node.url in self._there:
                gone.add(node.id)  # address_taken: never doubted
                continue
            suspect = Suspect(node, STATES["listed"]["vanished"], answered, began)
            self._suspect(suspect)
            suspects.append(suspect)
        for suspect in taken:
            delta = self._on(suspect, "address_taken")
            gone |= delta.gone
            settled += delta.settled
        return Delta(tuple(put.values()), frozenset(gone), tuple(suspects), tuple(settled))

    def _on(self, suspect: Suspect, event: NodeEvent) -> Delta:
        """Follow the table for a node in question."""
        was = suspect.status
        then = STATES[was][event]
        if then == was:
            return Delta()
        if then == "doubted":
            suspect.status = then
            return Delta(put=(suspect.node,))
        self._end(suspect, then)
        gone = {suspect.node.id} if was == "doubted" else set()
        return Delta(gone=frozenset(gone), settled=(suspect,))

    def _suspect(self, suspect: Suspect) -> None:
        self._suspects[suspect.node.id] = suspect
        self._suspects_at.setdefault(suspect.node.url, set()).add(suspect.node.id)

    def _end(self, suspect: Suspect, status: NodeStatus) -> None:
        suspect.status = status
        if self._suspects.pop(suspect.node.id, None) is None:
            return
        there = self._suspects_at[suspect.node.url]
        there.discard(suspect.node.id)
        if not there:
            del self._suspects_at[suspect.node.url]

    def _overdue(self, answered: float) -> Iterator[Suspect]:
        while self._suspects:
            suspect = next(iter(self._suspects.values()))
            if answered - suspect.since < self._bound:
                return
            yield suspect
