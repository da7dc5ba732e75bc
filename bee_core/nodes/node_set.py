"""The nodes of one service as calls see them: which are ready, and the state of each."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from ..contracts.balancer_parts import listed_of
from ..contracts.effects import Attempt
from ..terms.node import Changes, Node, Snapshot
from .contained_breakers import ContainedBreakers
from .directory import Directory, Selection, explain_none
from .node_state import UNUSED, NodeState, why_none
from .outlook import remark

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..contracts.plugin_faults import PluginFaults
    from ..contracts.policies import Balancer, Breaker, Breakers, BreakerState, Permit
    from ..terms.failures import Outcome
    from ..terms.request import Request
    from .outlook import Outlook

C = TypeVar("C")


def _no_breaker(*_: object) -> bool:
    """See :attr:`NodeSet.stands`, where no breakers are configured."""
    return True


class NodeSet(Generic[C]):
    """Applies snapshots and keeps the balancer's ready set.

    Changes take a lock; calls read without one.

    Args:
        service: The service's name, for messages.
        directory: Which nodes fit.
        balancer: Is told the ready set.
        make_channel: Makes a node's channel; no I/O.
        breakers: Makes each node's breaker; None where none is configured.
        drop_channel: Takes a channel whose node has gone, and closes it after its last call.
        faults: Says what these plugins did wrong.

    Attributes:
        explain_unknown: Says why no node is known where a registry must be watched for them; or
            None.
        outlook: Says how much the list is worth, for messages; None where no registry is watched.
        on_breaker_change: ``(node, before, after)``, told of each change of a node's breaker, on
            the thread that changed it and outside of the lock; or None.
        on_connect: Told that a node's channel was made, outside of the lock; or None.
        retired: Whether another set has taken its place.
        stands: ``(request, state, permit)``: whether a success under this permit is no news to the
            node's breaker. Each success is asked once; breakers that count do it here.
        plain: Whether calls may look at ``standing`` of each breaker: that runs no plugin's code.
        shows_news: Whether such a look says what ``stands`` says.
    """

    def __init__(
        self,
        service: str,
        directory: Directory,
        balancer: Balancer,
        make_channel: Callable[[Node], C],
        breakers: Breakers | None,
        drop_channel: Callable[[C], None],
        faults: PluginFaults,
    ) -> None:
        self._service = service
        self.directory = directory
        self._balancer = balancer
        self._tell_listed = listed_of(balancer)
        self._make_channel = make_channel
        self.breakers = None if breakers is None else ContainedBreakers(breakers, faults)
        self.stands: Callable[[Request, NodeState[C], Permit | None], bool] = _no_breaker
        self.plain = True
        self.shows_news = self.breakers is not None and not self.breakers.counting
        if self.breakers is not None:
            counting = self.breakers.counting
            self.stands = self.breakers.counted if counting else self.breakers.stands
        self._drop_channel = drop_channel
        self._faults = faults
        self.lock = Lock()
        self.on_breaker_change: Callable[[Node, BreakerState, BreakerState], None] | None = None
        self.on_connect: Callable[[], object] | None = None
        self.retired = False
        self.explain_unknown: Callable[[], str] | None = None
        self.outlook: Callable[[], Outlook] | None = None
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
                self._selection = self.directory.select(self.snapshot)
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
            self._update_balancer()
            after = self.states
            gone = [
                state
                for state in before
                if state.attempt is not None
                and (
                    state.node.id not in after or after[state.node.id].attempt is not state.attempt
                )
            ]
        for state in gone:
            self._let_go(state)
        if self.breakers is not None:
            self._swept(self.breakers.resize(len(self.states)))

    def _take_all(self, snapshot: Snapshot) -> Collection[NodeState[C]]:
        """Go through the whole list. Returns the states that there were."""
        self._selection = selection = self.directory.select(snapshot)
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
        put = self.directory.select(Snapshot(snapshot.revision, snapshot.source, changes.put))
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
            if self._is_ready(state):
                self._ready[node.id] = node
            else:
                self._ready.pop(node.id, None)
        self.states = states
        return before

    def _state(self, node: Node, old: NodeState[C] | None) -> NodeState[C]:
        if old is None or old.node.url != node.url:
            return NodeState(node, None, None if self.breakers is None else UNUSED)
        return old if old.node == node else NodeState(node, old.attempt, old.breaker, old.reported)

    def connect(self, state: NodeState[C]) -> Attempt:
        """Make the channel and the breaker of a node that a call goes to for the first time.

        No I/O. Thread-safe: of two threads one makes them.

        Raises:
            PluginFault: The breakers could not make one.
            Exception: Whatever the transport raised.
        """
        with self.lock:
            current = self.states.get(state.node.id)
            if current is None or current.node.url != state.node.url:
                current = state  # it has just left: the call goes on, the channel ends with it
            if current.attempt is None:
                if current.breaker is UNUSED and self.breakers is not None:
                    breaker = self.breakers.node(current.node)
                    if not self.breakers.plain:
                        self.plain = self.shows_news = False
                    current.breaker = breaker
                current.attempt = Attempt(self._make_channel(current.node))
            if state is not current:
                state.attempt, state.breaker = current.attempt, current.breaker
            attempt = current.attempt
            left = self.retired or self.states.get(state.node.id) is not current
        if left:
            self._let_go(state)
        if self.on_connect is not None:
            self.on_connect()
        return attempt

    def retire(self) -> None:
        """Another set takes the place of this one.

        Calls that are under way may go on picking nodes here. Each channel ends with its last call.
        """
        with self.lock:
            self.retired = True
            connected = [state for state in self.states.values() if state.attempt is not None]
        self.on_breaker_change = self.on_connect = None
        for state in connected:
            self._let_go(state)

    def _let_go(self, state: NodeState[C]) -> None:
        """A node has left with its channel and its breaker."""
        assert state.attempt is not None  # noqa: S101  # narrows the type: callers have looked
        channel = state.attempt.channel
        try:
            self._drop_channel(channel)
        except Exception as error:  # the other nodes' channels are let go all the same
            self._faults.said(channel, "retire", error)
        if self.breakers is not None:
            self.breakers.forget(state.node)

    def settle(
        self,
        state: NodeState[C],
        permit: Permit,
        outcome: Outcome | None,
        seconds: float,
        now: float,
    ) -> None:
        """Hand an attempt's verdict to the node's breaker.

        The node is taken out or back where the verdict changed the breaker's state. What the
        breaker raises is said, and changes nothing.
        """
        breaker = state.breaker
        if (
            breaker is not None
            and self.breakers is not None
            and self.breakers.settle(breaker, permit, outcome, seconds, now)
        ):
            self._changed(state.node.id, breaker)

    def probed(self, node_id: str, breaker: Breaker, ok: bool, now: float) -> None:
        """Hand a ping's answer to the breaker of a node that is cut off. Thread-safe.

        The node is taken back where the answer changed the breaker's state.
        """
        if self.breakers is not None and self.breakers.probed(breaker, ok, now):
            self._changed(node_id, breaker)

    def sweep(self, now: float) -> float | None:
        """Let the breakers decide what time alone decides. Thread-safe; never by a call.

        Returns:
            When to sweep again; None: there is nothing to wait for.
        """
        if self.breakers is None:
            return None
        swept, due = self.breakers.sweep(now)
        self._swept(swept)
        return due

    def _swept(self, changed: Collection[str]) -> None:
        """The breakers of these nodes changed, and no call or ping told it."""
        for node_id in changed:
            state = self.states.get(node_id)
            if state is not None and state.breaker is not None:
                self._changed(node_id, state.breaker)

    def why_cut_off(self, node_id: str, now: float) -> str:
        """What cut a node off, as its breaker says it; empty where it is not or does not say."""
        state = self.states.get(node_id)
        if state is None or self.breakers is None or self.state_of(state.breaker) == "closed":
            return ""
        assert state.breaker is not None  # noqa: S101  # narrows the type: it is not closed
        return self.breakers.why(state.breaker, now)

    @property
    def connected(self) -> bool:
        """Whether a call has been to any node."""
        return any(state.attempt is not None for state in self.states.values())

    def cut_off(self) -> list[NodeState[C]]:
        """The nodes whose breakers are open: those to be probed."""
        return [state for state in self.states.values() if self.state_of(state.breaker) == "open"]

    def _changed(self, node_id: str, breaker: Breaker) -> None:
        with self.lock:
            self._refresh()
            state = self.states.get(node_id)
            if state is None or state.breaker is not breaker:
                return  # it has left meanwhile: nobody cares about it
            # Under the lock, so that each report begins where the last one ended.
            before, after = state.reported, self.state_of(breaker)
            state.reported = after
        if before != after and self.on_breaker_change is not None:
            self.on_breaker_change(state.node, before, after)

    def _refresh(self) -> None:
        self._ready = self._find_ready()
        self._update_balancer()

    def _update_balancer(self) -> None:
        try:
            if self._tell_listed is not None:
                self._tell_listed(tuple(state.node for state in self.states.values()))
            self._balancer.update(tuple(self._ready.values()))
        except Exception as error:  # the channels and breakers of the nodes are right all the same
            self._faults.said(self._balancer, "update", error)

    def _is_ready(self, state: NodeState[C]) -> bool:
        return state.breaker is None or self.state_of(state.breaker) != "open"

    def state_of(self, breaker: Breaker | None) -> BreakerState:
        """The state of a node's breaker; ``closed`` without one."""
        if breaker is None or self.breakers is None or breaker is UNUSED:
            return "closed"
        return self.breakers.state_of(breaker)

    def ready(self) -> tuple[Node, ...]:
        """The nodes that are not cut off, in the order of the list. Without a lock."""
        return tuple(state.node for state in self.states.values() if self._is_ready(state))

    def _find_ready(self) -> dict[str, Node]:
        return {id_: state.node for id_, state in self.states.items() if self._is_ready(state)}

    def explain_none(self) -> tuple[str, str]:
        """Why no node can be picked: the kind of the failure and its message."""
        states = self.states.values()
        outlook = None if self.outlook is None else self.outlook()
        if states:
            kind, why = why_none(states, self._service)
            return kind, why + remark(outlook, [state.node.id for state in states])
        if self.snapshot.nodes or self.snapshot.source == "registry" or not self.explain_unknown:
            return "unavailable", explain_none(self.selection, self._service, outlook)
        return "unavailable", f"no node of {self._service} is known: {self.explain_unknown()}"

    def after_fork(self) -> None:
        """Renew the locks in a forked child: a thread of the parent may have held one.

        Breakers keep their states. What was under way is the parent's.
        """
        self.lock = Lock()
        if self.breakers is not None:
            self._faults.renew_after_fork(self.breakers.plugin)
        for state in self.states.values():
            self._faults.renew_after_fork(state.breaker)
        self._refresh()  # the fork may have come between a change and its refresh
