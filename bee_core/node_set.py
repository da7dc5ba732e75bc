"""The nodes of one service as calls see them: which are ready, and the state that belongs to each."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from .directory import Selection, explain_none
from .effects import Attempt
from .nodes import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from .directory import Directory
    from .interfaces import Balancer, Breaker, BreakerState, Outcome, Permit
    from .nodes import Node

C = TypeVar("C")


class NodeState(Generic[C]):
    """One node with what outlives a call: its channel and its breaker."""

    __slots__ = ("attempt", "breaker", "channel", "node", "reported")

    def __init__(self, node: Node, channel: C, breaker: Breaker | None, reported: BreakerState = "closed") -> None:
        self.node = node
        self.channel = channel
        self.attempt = Attempt(channel)
        self.breaker = breaker
        self.reported = reported  # the breaker's state as of the last report; changed under the set's lock


class NodeSet(Generic[C]):
    """Applies snapshots and keeps the balancer's ready set. Changes take a lock; calls read without one.

    Args:
        service: The service's name, for messages.
        directory: Which nodes fit.
        balancer: Is told the ready set.
        make_channel: Makes a node's channel; no I/O.
        make_breaker: Makes a node's breaker, or None where none is configured.
        drop_channel: Takes a channel whose node has gone; it closes it when it is not in use any more.

    Attributes:
        explain_unknown: Says why no node is known where a registry must be watched for them; or None.
        on_breaker_change: ``(node, before, after)``, told of each change of a node's breaker, on the thread that changed it and outside of the lock; or None.
    """

    def __init__(
        self,
        service: str,
        directory: Directory,
        balancer: Balancer,
        make_channel: Callable[[Node], C],
        make_breaker: Callable[[], Breaker] | None,
        drop_channel: Callable[[C], None],
    ) -> None:
        self._service = service
        self._directory = directory
        self._balancer = balancer
        self._make_channel = make_channel
        self._make_breaker = make_breaker
        self._drop_channel = drop_channel
        self._lock = Lock()
        self.on_breaker_change: Callable[[Node, BreakerState, BreakerState], None] | None = None
        self.explain_unknown: Callable[[], str] | None = None
        self.snapshot = Snapshot(-1, "address")
        self.selection: Selection = directory.select(self.snapshot)
        self.states: dict[str, NodeState[C]] = {}
        """By node id. Replaced whole on change, so that a call may read it without a lock."""

    def apply(self, snapshot: Snapshot) -> None:
        """Take a snapshot: nodes that stay keep their channel and breaker."""
        with self._lock:
            if snapshot.revision <= self.snapshot.revision:
                return
            selection = self._directory.select(snapshot)
            before = self.states
            after: dict[str, NodeState[C]] = {}
            for node in selection.fitting:
                state = before.get(node.id)
                if state is None or state.node.url != node.url:
                    state = NodeState(node, self._make_channel(node), self._make_breaker() if self._make_breaker else None)
                elif state.node != node:
                    state = NodeState(node, state.channel, state.breaker, state.reported)
                after[node.id] = state
            self.snapshot, self.selection, self.states = snapshot, selection, after
            self._refresh()
            kept = {id(state.channel) for state in after.values()}
            gone = [state.channel for state in before.values() if id(state.channel) not in kept]
        for channel in gone:
            self._drop_channel(channel)

    def settle(self, state: NodeState[C], permit: Permit, outcome: Outcome | None, now: float) -> None:
        """Hand an attempt's verdict to the node's breaker, and take the node out or back where that changed its state."""
        breaker = state.breaker
        if breaker is not None and breaker.settle(permit, outcome, now):
            self._changed(state.node.id, breaker)

    def probed(self, node_id: str, breaker: Breaker, ok: bool, now: float) -> None:
        """Hand the answer of a ping to the breaker of a node that is cut off, and take the node back where that changed its state. From any thread."""
        if breaker.probed(ok, now):
            self._changed(node_id, breaker)

    def cut_off(self) -> list[NodeState[C]]:
        """The nodes whose breakers are open: those to be probed."""
        return [state for state in self.states.values() if state.breaker is not None and state.breaker.state == "open"]

    def _changed(self, node_id: str, breaker: Breaker) -> None:
        with self._lock:
            self._refresh()
            state = self.states.get(node_id)
            if state is None or state.breaker is not breaker:
                return  # it has left meanwhile: nobody cares about it
            # Under the lock, so that each report begins where the last one ended, whichever threads the changes came from.
            before, after = state.reported, breaker.state
            state.reported = after
        if before != after and self.on_breaker_change is not None:
            self.on_breaker_change(state.node, before, after)

    def refresh(self) -> None:
        """Rebuild the ready set, for what changed beside the verdicts of calls and pings."""
        with self._lock:
            self._refresh()

    def _refresh(self) -> None:
        ready = [state.node for state in self.states.values() if state.breaker is None or state.breaker.state != "open"]
        self._balancer.update(ready)

    def explain_none(self) -> tuple[str, str]:
        """Why no node can be picked: the kind of the failure and its message."""
        states = self.states.values()
        weighty = [state for state in states if state.node.weight > 0]
        if any(state.breaker is not None for state in weighty):
            nodes = "the one fitting node" if len(weighty) == 1 else f"all {len(weighty)} fitting nodes"
            return (
                "circuit_open",
                f"{nodes} of {self._service} {'is' if len(weighty) == 1 else 'are'} cut off by breakers, are probed, and come back by themselves",
            )
        if weighty:
            return "unavailable", f"the balancer picked none of the fitting nodes of {self._service} ({len(weighty)})"
        if states:
            return "unavailable", f"the fitting nodes of {self._service} ({len(states)}) all have weight 0, which takes no calls; give one a weight above 0"
        if self.explain_unknown is not None and not self.snapshot.nodes and self.snapshot.source != "registry":
            return "unavailable", f"no node of {self._service} is known: {self.explain_unknown()}"
        return "unavailable", explain_none(self.selection, self._service)

    def after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held a lock. Breakers keep their states; what was under way is the parent's."""
        self._lock = Lock()
        for state in self.states.values():
            renew_after_fork(state.breaker)
        self._refresh()  # the fork may have come between a change and its refresh


def renew_after_fork(plugin: object) -> None:
    """Tell a plugin that wants to know that this is a forked child."""
    after_fork = getattr(plugin, "after_fork", None)
    if after_fork is not None:
        after_fork()
