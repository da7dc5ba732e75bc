"""The nodes of one service as calls see them: which are ready, and the state of each."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ..contracts.effects import Attempt
from ..terms.node import Changes, Node, Snapshot
from .directory import Directory, Selection, explain_none

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..contracts.policies import Balancer, Breaker, BreakerState, Permit
    from ..terms.failures import Outcome

C = TypeVar("C")


class _Unused:
    """Stands for the breaker of a node that no call has been to.

    Such nodes may be thousands, so their breakers are not made before they are needed.
    """

    __slots__ = ()
    state: ClassVar[BreakerState] = "closed"


UNUSED: Any = _Unused()
"""See :class:`NodeState`."""


class NodeState(Generic[C]):
    """One node with what outlives a call: its channel and its breaker.

    :meth:`NodeSet.connect` makes both when a call goes there for the first time.

    Attributes:
        node: The node.
        attempt: What the flow yields to send a call there; None until then.
        breaker: The breaker, ``UNUSED`` until then; None where none is configured.
        reported: The breaker's state as of the last report; changed under the set's lock.
    """

    __slots__ = ("attempt", "breaker", "node", "reported")

    def __init__(
        self,
        node: Node,
        attempt: Attempt | None,
        breaker: Breaker | None,
        reported: BreakerState = "closed",
    ) -> None:
        self.node = node
        self.attempt = attempt
        self.breaker = breaker
        self.reported = reported


class NodeSet(Generic[C]):
    """Applies snapshots and keeps the balancer's ready set.

    Changes take a lock; calls read without one.

    Args:
        service: The service's name, for messages.
        directory: Which nodes fit.
        balancer: Is told the ready set.
        make_channel: Makes a node's channel; no I/O.
        make_breaker: Makes a node's breaker, or None where none is configured.
        drop_channel: Takes a channel whose node has gone, and closes it after its last call.

    Attributes:
        explain_unknown: Says why no node is known where a registry must be watched for them; or
            None.
        on_breaker_change: ``(node, before, after)``, told of each change of a node's breaker, on
            the thread that changed it and outside of the lock; or None.
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
        self.lock = Lock()
        self.on_breaker_change: Callable[[Node, BreakerState, BreakerState], None] | None = None
        self.explain_unknown: Callable[[], str] | None = None
        self.snapshot = Snapshot(-1, "address")
        self._selection: Selection | None = None
        self._ready: dict[str, Node] = {}  # in the order of the snapshot
        self.states: dict[str, NodeState[C]] = {}
        """By node id. Replaced whole on change, so that a call may read it without a lock."""

    @property
    def selection(self) -> Selection:
        """Which nodes of the snapshot fit, and why the others do not; for reports and messages."""
        with self.lock:
            if self._selection is None:
                self._selection = self._directory.select(self.snapshot)
            return self._selection

    def apply(self, snapshot: Snapshot) -> None:
        """Take a snapshot: nodes that stay keep their channel and breaker.

        Where it says what changed since the one before, only that is looked at.
        """
        changes = snapshot.changes
        with self.lock:
            if snapshot.revision <= self.snapshot.revision:
                return
            if changes is not None and changes.since == self.snapshot.revision:
                before = self._take_changes(snapshot, changes)
            else:
                before = self._take_all(snapshot)
            self.snapshot = snapshot
            self._balancer.update(tuple(self._ready.values()))
            after = self.states
            gone = [
                state.attempt.channel
                for state in before
                if state.attempt is not None
                and (
                    state.node.id not in after or after[state.node.id].attempt is not state.attempt
                )
            ]
        for channel in gone:
            self._drop_channel(channel)

    def _take_all(self, snapshot: Snapshot) -> Collection[NodeState[C]]:
        """Go through the whole list. Returns the states that there were."""
        self._selection = selection = self._directory.select(snapshot)
        before = self.states
        self.states = {
            node.id: self._state(node, before.get(node.id)) for node in selection.fitting
        }
        self._ready = self._find_ready()
        return before.values()

    def _take_changes(self, snapshot: Snapshot, changes: Changes) -> Collection[NodeState[C]]:
        """Go through what changed. Returns the states of before that may have been replaced."""
        self._selection = None
        states = dict(self.states)
        put = self._directory.select(Snapshot(snapshot.revision, snapshot.source, changes.put))
        # A node that fitted may state now what does not fit.
        leaving = (*changes.gone, *(rejected.node.id for rejected in put.rejected))
        before = [states.pop(id_) for id_ in leaving if id_ in states]
        for id_ in leaving:
            self._ready.pop(id_, None)
        for node in put.fitting:
            old = states.get(node.id)
            state = states[node.id] = self._state(node, old)
            if old is not None:
                before.append(old)
            if _is_ready(state):
                self._ready[node.id] = node
            else:
                self._ready.pop(node.id, None)
        self.states = states
        return before

    def _state(self, node: Node, old: NodeState[C] | None) -> NodeState[C]:
        if old is None or old.node.url != node.url:
            return NodeState(node, None, None if self._make_breaker is None else UNUSED)
        return old if old.node == node else NodeState(node, old.attempt, old.breaker, old.reported)

    def connect(self, state: NodeState[C]) -> Attempt:
        """Make the channel and the breaker of a node that a call goes to for the first time.

        No I/O. Thread-safe: of two threads one makes them.
        """
        with self.lock:
            current = self.states.get(state.node.id)
            if current is None or current.node.url != state.node.url:
                current = state  # it has just left: the call goes on, the channel ends with it
            if current.attempt is None:
                if current.breaker is UNUSED and self._make_breaker is not None:
                    current.breaker = self._make_breaker()
                current.attempt = Attempt(self._make_channel(current.node))
            if state is not current:
                state.attempt, state.breaker = current.attempt, current.breaker
            attempt = current.attempt
            left = self.states.get(state.node.id) is not current
        if left:
            self._drop_channel(attempt.channel)
        return attempt

    def settle(
        self, state: NodeState[C], permit: Permit, outcome: Outcome | None, now: float
    ) -> None:
        """Hand an attempt's verdict to the node's breaker.

        The node is taken out or back where the verdict changed the breaker's state.
        """
        breaker = state.breaker
        if breaker is not None and breaker.settle(permit, outcome, now):
            self._changed(state.node.id, breaker)

    def probed(self, node_id: str, breaker: Breaker, ok: bool, now: float) -> None:
        """Hand a ping's answer to the breaker of a node that is cut off. Thread-safe.

        The node is taken back where the answer changed the breaker's state.
        """
        if breaker.probed(ok, now):
            self._changed(node_id, breaker)

    def cut_off(self) -> list[NodeState[C]]:
        """The nodes whose breakers are open: those to be probed."""
        return [
            state
            for state in self.states.values()
            if state.breaker is not None and state.breaker.state == "open"
        ]

    def _changed(self, node_id: str, breaker: Breaker) -> None:
        with self.lock:
            self._refresh()
            state = self.states.get(node_id)
            if state is None or state.breaker is not breaker:
                return  # it has left meanwhile: nobody cares about it
            # Under the lock, so that each report begins where the last one ended.
            before, after = state.reported, breaker.state
            state.reported = after
        if before != after and self.on_breaker_change is not None:
            self.on_breaker_change(state.node, before, after)

    def _refresh(self) -> None:
        self._ready = self._find_ready()
        self._balancer.update(tuple(self._ready.values()))

    def _find_ready(self) -> dict[str, Node]:
        return {id_: state.node for id_, state in self.states.items() if _is_ready(state)}

    def explain_none(self) -> tuple[str, str]:
        """Why no node can be picked: the kind of the failure and its message."""
        states = self.states.values()
        weighty = [state for state in states if state.node.weight > 0]
        if any(state.breaker is not None for state in weighty):
            one = len(weighty) == 1
            return "circuit_open", (
                f"{'the one fitting node' if one else f'all {len(weighty)} fitting nodes'} of "
                f"{self._service} {'is' if one else 'are'} cut off by breakers, "
                "are probed, and come back by themselves"
            )
        if weighty:
            return "unavailable", (
                f"the balancer picked none of the fitting nodes of {self._service} ({len(weighty)})"
            )
        if states:
            return "unavailable", (
                f"the fitting nodes of {self._service} ({len(states)}) all have weight 0, "
                "which takes no calls; give one a weight above 0"
            )
        if (
            self.explain_unknown is not None
            and not self.snapshot.nodes
            and self.snapshot.source != "registry"
        ):
            return "unavailable", f"no node of {self._service} is known: {self.explain_unknown()}"
        return "unavailable", explain_none(self.selection, self._service)

    def after_fork(self) -> None:
        """Renew the locks in a forked child: a thread of the parent may have held one.

        Breakers keep their states. What was under way is the parent's.
        """
        self.lock = Lock()
        for state in self.states.values():
            renew_after_fork(state.breaker)
        self._refresh()  # the fork may have come between a change and its refresh


def _is_ready(state: NodeState[Any]) -> bool:
    return state.breaker is None or state.breaker.state != "open"


def renew_after_fork(plugin: object) -> None:
    """Tell a plugin that wants to know that this is a forked child."""
    after_fork = getattr(plugin, "after_fork", None)
    if after_fork is not None:
        after_fork()
