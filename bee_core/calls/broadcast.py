"""A call that goes to every node that the fault tolerance names, to some of them at a time.

Each node has its own attempts: what fails there is judged by the same rule as any other call
(``retries.py``), and is tried again on that node only. So a write runs once at most on each node,
unless the method is idempotent. Every node is called, also after another one has failed. The call
has a result if the policy tolerates as many failures as there were, and otherwise the first error.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ..contracts.effects import Effect, Pause, Race
from ..contracts.plugin_faults import kind_of
from ..contracts.policies import Again, Tried
from ..errors import CallError
from ..terms.causes import local
from ..terms.failures import Failure, Success, raised
from ..terms.request import Request
from .entrants import Runner, enter, leave, settle_ended
from .picking import same
from .recording import note
from .retries import Redial, after, with_note
from .settling import answered, failure_of, give_up, not_decoded, ran

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from ..nodes.node_state import NodeState
    from ..terms.node import Node
    from .call import Call

    Steps = Generator[Effect, Any, Failure | None]

AT_A_TIME = 100
"""Nodes that are called at the same time. Each has a connection, and a process may have 1,024
descriptors by default; Envoy bounds the connections to a cluster at 1,024 too."""

_NAMED = 3
"""Nodes that an error names, of those that failed."""


def chosen(call: Call) -> tuple[NodeState[Any], ...] | None:
    """The nodes that the policy wants the call to go to; None: to one that the balancer picks.

    Raises:
        PluginFault: The policy broke its contract.
    """
    plan = call.plan
    policy, service = plan.fault_tolerance, plan.service
    states = service.nodes.states
    ready = service.nodes.ready()
    if plan.targets is None:
        return None
    try:
        ids: Any = plan.targets(ready, service.rng)
        if ids is None:
            return None
        wanted = None if isinstance(ids, str) else dict.fromkeys(ids)
    except Exception as error:
        raise service.faults.fault(policy, "targets", error) from error
    known = {node.id for node in ready}
    if wanted is None or not known.issuperset(wanted):
        what = "a text" if wanted is None else "ids that are not among the ready nodes"
        raise service.faults.wrong(policy, "targets", f"returned {what}")
    return tuple(states[id_] for id_ in wanted if id_ in states)


class _Target:
    """One node of a broadcast: what was tried there."""

    __slots__ = ("due", "history", "node", "redials", "runner", "state")

    def __init__(self, state: NodeState[Any]) -> None:
        self.state = state
        self.node: Node = state.node
        self.history: tuple[Tried, ...] = ()
        self.redials = 0
        self.due = 0.0
        self.runner: Runner | None = None


class _Broadcast:
    """The state of one broadcast.

    Attributes:
        waiting: Nodes that were not called yet.
        paused: Nodes that are called again later.
        running: Nodes that are called now.
        answers: Replies by node id.
        failures: The last failure of each node that failed, in the order in which they came.
    """

    def __init__(self, call: Call, states: Sequence[NodeState[Any]]) -> None:
        self.call = call
        self.waiting = deque(map(_Target, states))
        self.paused: list[_Target] = []
        self.running: dict[Runner, _Target] = {}
        self.runners: list[Runner] = []
        self.answers: dict[str, tuple[Node, Success]] = {}
        self.failures: dict[str, tuple[Node, Failure]] = {}

    def begin(self) -> None:
        """Begin as many attempts as there is room for."""
        call = self.call
        now = call.plan.service.clock()
        due = [target for target in self.paused if target.due <= now]
        self.paused = [target for target in self.paused if target.due > now]
        self.waiting.extendleft(reversed(due))
        moment = Request.moment if len(self.waiting) + len(self.paused) == 1 else 0
        while self.waiting and len(self.running) < AT_A_TIME:
            target = self.waiting.popleft()
            if now >= call.deadline:
                late = "the deadline came before the call was made there"
                self.fail(target, local("deadline_exceeded", late))
                continue
            try:
                self._start(target, moment)
            except CallError as error:  # of a breaker or a transport: the others are called
                give_up(call)
                self.fail(target, raised(error))

    def _start(self, target: _Target, moment: int) -> None:
        call = self.call
        state, permit, _ = same(call, target.state)
        if state is None:
            gone = "its breaker gives no permit, or it has left the list"
            self.fail(target, Failure("circuit_open", gone, "no", "never", "none"))
            return
        runner = Runner(call, state, permit, False, moment)
        enter(call, self.runners, runner)
        self.running[runner] = target

    def end(self, runner: Runner) -> None:
        """An attempt has ended."""
        call = self.call
        target = self.running.pop(runner)
        self.runners.remove(runner)
        outcome: Any = runner.outcome
        if type(outcome) is Success:
            self.answers[target.node.id] = target.node, outcome
            note(call, "attempt", target.node)
            return
        failure = failure_of(call, target.node, outcome)
        note(call, "attempt", target.node, failure)
        now = call.plan.service.clock()
        history = (*target.history, Tried(target.node, failure))
        level = call.criticality
        step = after(call.plan, history, target.redials, now, call.deadline, level=level)
        if type(step) is Redial:
            target.redials += 1
            call.attempts -= 1
            self.waiting.appendleft(target)
            return
        ran(call, failure.executed)
        target.history = history
        if type(step) is Again and step.where == "same":
            target.due = now + step.delay
            self.paused.append(target)
        else:
            self.fail(target, getattr(step, "failure", failure))

    def fail(self, target: _Target, failure: Failure) -> None:
        """A node has no answer, and is not called again."""
        self.failures[target.node.id] = target.node, failure

    @property
    def wait(self) -> float | None:
        """Seconds until a node is to be called again; None where none is."""
        now = self.call.plan.service.clock()
        return min((max(0.0, target.due - now) for target in self.paused), default=None)


def broadcast(call: Call, states: tuple[NodeState[Any], ...]) -> Steps:
    """Make one call at each of these nodes.

    Sets ``call.answers`` besides what :func:`.flow.flow` sets: the values by node id, in the order
    of the nodes. ``call.value`` is the first of them.
    """
    service = call.plan.service
    if not states:
        return local(*service.nodes.explain_none())
    cast = _Broadcast(call, states)
    for _ in states:
        service.budget.deposit(call.started)
    try:
        while True:
            cast.begin()
            if not cast.running:
                if not cast.paused:
                    break
                interrupted: Failure | None = yield Pause(cast.wait or 0.0)
                note(call, "pause", None, interrupted)
                if interrupted is not None:
                    ran(call, "yes" if cast.answers else "no")
                    return interrupted
                continue
            try:
                ended = yield Race(tuple(cast.running), cast.wait)
            finally:
                settle_ended(call, cast.runners)
            if ended is not None:
                cast.end(ended)
    finally:
        leave(call, cast.runners)
    return _concluded(call, cast, [state.node for state in states])


def _concluded(call: Call, cast: _Broadcast, nodes: Sequence[Node]) -> Failure | None:
    """The result of a broadcast, or its failure."""
    values: dict[str, Any] = {}
    first: tuple[Node, Success] | None = None
    for node in nodes:
        if node.id not in cast.answers:
            continue
        reply = cast.answers[node.id][1]
        try:
            values[node.id] = call.plan.codec.decode_result(reply.body)
        except Exception as error:
            cast.failures[node.id] = node, not_decoded(call, error)
        else:
            first = first or (node, reply)
    call.answers = values
    if first is not None and _tolerated(call, len(cast.failures), len(nodes)):
        call.node, call.value = first[0], values[first[0].id]
        answered(call, first[1])
        return None
    if values:
        ran(call, "yes")
    call.node, failure = next(iter(cast.failures.values()))
    named = ", ".join(node.url for node, _ in list(cast.failures.values())[:_NAMED])
    more = len(cast.failures) - _NAMED
    named += f" and {more} more" if more > 0 else ""
    return with_note(failure, f"{len(cast.failures)} of {len(nodes)} nodes failed: {named}")


def _tolerated(call: Call, failed: int, of: int) -> bool:
    """Whether the call has a result though some of its nodes failed."""
    policy, faults = call.plan.fault_tolerance, call.plan.service.faults
    tolerates = getattr(policy, "tolerates", None)
    if not failed or tolerates is None:
        return not failed
    try:
        answer = tolerates(failed, of)
        if isinstance(answer, bool):
            return answer
        what = f"returned {kind_of(answer)} where True or False was due"
        faults.said_wrong(policy, "tolerates", what)
    except Exception as error:  # then no failure is tolerated
        faults.said(policy, "tolerates", error)
    return False
