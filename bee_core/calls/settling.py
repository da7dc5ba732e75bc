"""How an attempt ends: what it held goes back, and its reply becomes the call's result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import Executed, InvalidArgument
from ..terms.causes import undecodable
from ..terms.failures import Failure, Outcome, Success, raised
from .broken_effects import checked
from .picking import give_back, seen
from .recording import went_well

if TYPE_CHECKING:
    from ..contracts.policies import Permit
    from ..nodes.node_state import NodeState
    from ..terms.node import Node
    from .call import Call

_SEVERITY: dict[Executed, int] = {"no": 0, "maybe": 1, "yes": 2}


def settle(
    call: Call,
    state: NodeState[Any],
    permit: Permit | None,
    picked: bool,
    outcome: Outcome | None,
    began: float,
) -> None:
    """Give the breaker its permit back, and tell the balancer how its pick ended."""
    service = call.plan.service
    now = service.clock()
    call.permit = call.picked = None
    if type(outcome) is not Success and not isinstance(outcome, Failure):
        outcome = None  # what a broken channel gave says nothing of the node
    no_news = outcome is not None and outcome.ok and service.stands(call, state, permit)
    try:
        if permit is not None and not no_news:
            shown = seen(service.nodes, state, outcome) if call.plan.oneway else outcome
            service.nodes.settle(state, permit, shown, now - began, now)
    finally:  # an interruption of the breaker is no reason to lose the pick
        # A retry on the same node was not the balancer's choice, so it hears nothing of it.
        told: Any = service.balancer.settle
        if picked and told is not None:
            sent = call.plan.oneway and outcome is not None and outcome.ok
            try:
                if service.names_method:
                    method = call.plan.method
                    told(state.node, None if sent else outcome, now - began, now, method)
                else:
                    told(state.node, None if sent else outcome, now - began, now)
            except Exception as error:  # the attempt has its outcome
                service.faults.said(service.balancer, "settle", error)
    if service.observation.of_attempts:
        service.observation.attempt_ended(call.states, call, state.node, outcome, now - began)


def give_up(call: Call) -> None:
    """Give back what was picked and not settled: an exception came in between (Ctrl-C)."""
    service = call.plan.service
    permit, call.permit = call.permit, None
    try:
        if permit is not None:
            service.nodes.settle(call.asked, permit, None, 0.0, service.clock())
    finally:
        if call.picked is not None:
            give_back(call, call.picked)


def ran(call: Call, executed: Executed) -> None:
    """Note what an attempt may have done: the call has done the most that any has."""
    call.executed = max(call.executed, executed, key=_SEVERITY.__getitem__)


def failure_of(call: Call, node: Node, outcome: Any) -> Failure:
    """The failure of an attempt. The discovery hears of a node where nobody listens."""
    failure: Any = checked(call, call.pending, outcome, node)
    told = call.plan.service.refused
    if failure.refused and told is not None:
        told(node, failure)
    return failure  # type: ignore[no-any-return]


def answered(call: Call, reply: Success) -> None:
    """Note the reply of a call whose value was taken out of it elsewhere."""
    call.reply = reply
    recorder = call.plan.service.recorder
    if recorder is not None:
        went_well(recorder, call)


def not_decoded(call: Call, error: Exception) -> Failure:
    """The failure of a call whose result cannot be decoded: its handler ran."""
    call.executed = "yes"
    service = call.plan.service
    if isinstance(error, InvalidArgument):
        service.faults.let_pass(error)
        return undecodable(error)
    return raised(service.faults.fault(service.codec, "decode_result", error, "yes"))
