"""Which node an attempt goes to.

A node is picked before its breaker is asked, since a permit belongs to a node. A node whose breaker
gives no permit is passed over as if the call had tried it.

A balancer that picks what it must not ends the call: asked again, it would do the same again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from ..contracts.effects import Attempt
from ..contracts.plugin_faults import kind_of
from ..errors import CallError, PluginFault
from ..nodes.node_state import UNUSED, NodeState
from ..terms.causes import local
from ..terms.printable import printable
from .recording import note
from .retries import REPEAT

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contracts.policies import Permit
    from ..nodes.node_set import NodeSet
    from ..terms.failures import Failure, Outcome
    from ..terms.node import Node
    from .argument_key import ArgumentKey
    from .call import Call

    Choice = tuple[NodeState[Any] | None, Permit | None, bool]
    """The node's state or None where there is none, its breaker's permit, and whether the balancer
    picked it. A balancer is told of its own picks only, so that its counts stay right."""

UNKNOWN_PICKS = 3
"""How often one search passes over a node that is not in the list. It happens where a list comes in
between the balancer's pick and the look-up; more than a few are a fault."""


def pick(call: Call, tried: tuple[str, ...], now: float) -> Choice:
    """A node that the call has not tried, by the balancer.

    Raises:
        PluginFault: The balancer or the breaker raised, or the balancer picked what it must not.
    """
    service = call.plan.service
    node: Any = None
    try:
        call.picked = node = service.balancer.pick(call.plan.key, tried, now, service.rng)
        state = None if node is None else service.nodes.states.get(node.id)
    except Exception as error:
        raise _no_pick(call, node, error) from error
    if state is not None and (not tried or node.id not in tried):  # the usual way
        if state.breaker is None:
            return state, None, True
        plain = service.nodes.plain
        permit = state.breaker.standing if plain else standing(call, state)  # type: ignore[attr-defined]
        if permit is not None:
            return state, permit, True
    return (*_search(call, node, tried, now), True)


def standing(call: Call, state: NodeState[Any]) -> Permit | None:
    """The permit that all attempts at a node have without asking, if its breaker gives one now."""
    try:
        return getattr(state.breaker, "standing", None)
    except Exception as error:  # then the breaker is asked and told
        call.plan.service.faults.said(_breakers(call), "standing", error)
        return None


def same(call: Call, state: NodeState[Any]) -> Choice:
    """The node of the last attempt once more: no pick of the balancer.

    Raises:
        PluginFault: The breaker raised.
    """
    # Its current state: a snapshot may have replaced it. One that left the list is not asked again.
    current = call.plan.service.nodes.states.get(state.node.id)
    admitted = None if current is None else _admitted(call, current)
    return (None, None, False) if admitted is None else (*admitted, False)


def again(
    call: Call, state: NodeState[Any], where: str, tried: tuple[str, ...], now: float
) -> Choice:
    """A node for a retry: the same one, or one that the call has not tried.

    For a repetition it is the same one with another way to it.

    Raises:
        PluginFault: As :func:`pick` and :func:`same`.
    """
    if where == REPEAT:
        return _repeating(call, *same(call, state))
    return same(call, state) if where == "same" else pick(call, tried, now)


class Repeating:
    """The way of a repetition: its ``start`` is the ``repeat`` of a channel."""

    __slots__ = ("channel", "start")

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.start: Callable[[Any], Any] = channel.repeat


def _repeating(
    call: Call, state: NodeState[Any] | None, permit: Permit | None, picked: bool
) -> Choice:
    """The same choice, with the way of a repetition."""
    way = None if state is None or state.attempt is None else state.attempt.channel
    if state is None or not hasattr(way, "repeat") or call.sent is None:
        return None, None, picked
    call.sent.repeated = True
    attempt = Attempt(Repeating(way))
    return NodeState(state.node, attempt, state.breaker, state.reported), permit, picked


def elsewhere(call: Call, state: NodeState[Any], tried: tuple[str, ...], now: float) -> Choice:
    """A node for a redial: another one if there is another, since this one just hung up."""
    choice = pick(call, tried, now)
    return choice if choice[0] is not None else same(call, state)


def _admitted(call: Call, state: NodeState[Any]) -> tuple[NodeState[Any], Permit | None] | None:
    """The node with its breaker's permit, if it has a breaker; None when that gives none."""
    service = call.plan.service
    if state.breaker is UNUSED:
        service.connect(state)
    if state.breaker is None:
        return state, None
    call.asked = state
    try:
        call.permit = permit = state.breaker.admit(service.clock())
    except Exception as error:
        raise service.faults.fault(_breakers(call), "admit", error) from error
    return None if permit is None else (state, permit)


def _breakers(call: Call) -> object:
    """The plugin, for messages."""
    breakers = call.plan.service.nodes.breakers
    return None if breakers is None else breakers.plugin


def _search(
    call: Call, node: Node | None, tried: tuple[str, ...], now: float
) -> tuple[NodeState[Any] | None, Permit | None]:
    """Go on picking until a node is still in the list and its breaker gives a permit."""
    service = call.plan.service
    balancer = service.balancer
    passed, unknown = tried, 0
    while node is not None:
        state = service.nodes.states.get(node.id)
        unknown += state is None
        if node.id in passed or unknown > UNKNOWN_PICKS:
            give_back(call, node)
            why = "is not in the list" if state is None else "it was told to leave out"
            problem = f"returned the node {printable(node.id)}, which {why}"
            raise service.faults.wrong(balancer, "pick", problem)
        try:
            admitted = None if state is None else _admitted(call, state)
        except CallError:
            give_back(call, node)
            raise
        if admitted is not None:
            return admitted
        if state is not None:
            note(call, "breaker", node)
        give_back(call, node)
        passed = (*passed, node.id)
        if service.clock() >= call.deadline:
            break
        node = _picked(call, passed, now)
    return None, None


def _picked(call: Call, passed: tuple[str, ...], now: float) -> Node | None:
    """Another pick of the balancer, as :func:`pick` does the first one."""
    service = call.plan.service
    node: Any = None
    try:
        call.picked = node = service.balancer.pick(call.plan.key, passed, now, service.rng)
        hash(None if node is None else node.id)
    except Exception as error:
        raise _no_pick(call, node, error) from error
    return node  # type: ignore[no-any-return]


def _no_pick(call: Call, node: Any, error: Exception) -> PluginFault:
    """The fault of a balancer that raised, or that returned something else than a node."""
    service = call.plan.service
    service.faults.let_pass(error)  # a pick that is there is given back
    call.picked = None  # it is no node, so there is nothing to give back
    if node is None:
        return service.faults.fault(service.balancer, "pick", error)
    return service.faults.wrong(
        service.balancer, "pick", f"returned {kind_of(node)}, which is no node"
    )


def give_back(call: Call, node: Node) -> None:
    """What was picked and not used is settled too, without a verdict."""
    service = call.plan.service
    call.picked = None
    told = service.balancer.settle
    if told is not None:
        try:
            told(node, None, 0.0, service.clock())
        except Exception as error:  # the search goes on
            service.faults.said(service.balancer, "settle", error)


def seen(nodes: NodeSet[Any], state: NodeState[Any], outcome: Outcome | None) -> Outcome | None:
    """What a oneway call shows of its node.

    That it was sent is no verdict. Otherwise oneway calls would break up the row of failures when
    other calls hang. Only a node that is half-open, and so answers pings, is taken back for it.
    There is no better trial: without it a service of oneway calls would stay half-open.
    """
    half_open = nodes.state_of(state.breaker) == "half-open"
    return outcome if outcome is None or not outcome.ok or half_open else None


def take_key(call: Call, wanted: ArgumentKey) -> Failure | None:
    """Give a call the key that is in its arguments; a failure where the value is no key."""
    try:
        key = wanted.find(call.args, call.kwargs)
    except TypeError as error:
        return local(
            "invalid_argument",
            f"the balancer takes its key from the argument {wanted.name!r}, and {error}; give a "
            "text, a whole number, or bytes, or use with_options(key=...)",
            path=f"$.{wanted.name}",
        )
    if key is not None:
        call.plan = attrs.evolve(call.plan, key=key)
    return None
