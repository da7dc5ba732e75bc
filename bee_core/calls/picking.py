"""Which node an attempt goes to.

A node is picked before its breaker is asked, since a permit belongs to a node. A node whose breaker
gives no permit is passed over as if the call had tried it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..nodes.node_set import UNUSED, NodeState

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..contracts.policies import Permit
    from ..terms.node import Node
    from .call import Call

    Choice = tuple[NodeState[Any] | None, Permit | None, bool]
    """The node's state or None where there is none, its breaker's permit, and whether the balancer
    picked it. A balancer is told of its own picks only, so that its counts stay right."""


def pick(call: Call, tried: tuple[str, ...]) -> Choice:
    """A node that the call has not tried, by the balancer."""
    service = call.plan.service
    node = service.balancer.pick(call.plan.key, tried, service.rng)
    state = None if node is None else service.nodes.states.get(node.id)
    if state is not None and state.breaker is None:
        return state, None, True  # the usual way
    return (*_search(call, node, tried), True)


def same(call: Call, state: NodeState[Any]) -> Choice:
    """The node of the last attempt once more: no pick of the balancer."""
    # Its current state: a snapshot may have replaced it. One that left the list is not asked again.
    current = call.plan.service.nodes.states.get(state.node.id)
    admitted = None if current is None else _admitted(call, current)
    return (None, None, False) if admitted is None else (*admitted, False)


def elsewhere(call: Call, state: NodeState[Any], tried: tuple[str, ...]) -> Choice:
    """A node for a redial: another one if there is another, since this one just hung up."""
    choice = pick(call, tried)
    return choice if choice[0] is not None else same(call, state)


def _admitted(call: Call, state: NodeState[Any]) -> tuple[NodeState[Any], Permit | None] | None:
    """The node with its breaker's permit, if it has a breaker; None when that gives none."""
    service = call.plan.service
    if state.breaker is UNUSED:
        service.nodes.connect(state)
    if state.breaker is None:
        return state, None
    permit = state.breaker.admit(service.clock())
    return None if permit is None else (state, permit)


def _search(
    call: Call, node: Node | None, tried: Collection[str]
) -> tuple[NodeState[Any] | None, Permit | None]:
    """Go on picking until a node is still in the list and its breaker gives a permit."""
    service = call.plan.service
    passed = tuple(tried)
    while node is not None:
        state = service.nodes.states.get(node.id)
        admitted = None if state is None else _admitted(call, state)
        if admitted is not None:
            return admitted
        # What was picked and not used is settled too, without a verdict.
        if service.balancer.settle is not None:
            service.balancer.settle(node, None, service.clock())
        passed = (*passed, node.id)
        node = service.balancer.pick(call.plan.key, passed, service.rng)
    return None, None
