"""A second attempt beside a slow first one: the first answer wins ("hedged requests").

The method is that of Jeffrey Dean and Luiz André Barroso, "The Tail at Scale", CACM 56 (2), 2013.
The fault tolerance says after how many seconds the second attempt begins (``hedge``), and whether
it may (``may_hedge``). It goes to another node; where none is left there is no race.

- A *success* wins. So does a failure that is the same wherever the call is tried, such as an
  exception of the handler.
- Any other failure waits for the other attempt. When both have failed, the later one is judged as a
  single failed attempt would be.
- The loser is given up on the wire. Its breaker and its balancer hear of it without a verdict.

Only idempotent calls come here, and only where ``retries`` allow another attempt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..contracts.effects import Effect, Race
from ..contracts.plugin_faults import kind_of
from ..contracts.policies import Permit, Tried
from ..errors import CallError
from ..terms.failures import Raised, Success
from ..terms.request import Request
from .broken_effects import let_go
from .entrants import Runner, enter, leave, settle_ended
from .picking import pick
from .recording import note
from .settling import failure_of, give_up, ran

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..nodes.node_state import NodeState
    from ..terms.failures import Outcome
    from .call import Call


CONNECT_WITHIN = 0.1
"""Seconds that a blocking client connects for a second attempt: it does not hear the first one
meanwhile. A connection takes less than 1 ms in a data centre, and 0.1 s from one continent to the
next."""


class Finish(NamedTuple):
    """How a race ended.

    Attributes:
        state: The node whose attempt decides.
        outcome: How that attempt ended.
        tried, history: As they were handed in, with the attempt that failed before it, if one did.
    """

    state: NodeState[Any]
    outcome: Outcome
    tried: tuple[str, ...]
    history: tuple[Tried, ...]


def race(
    call: Call,
    choice: tuple[NodeState[Any], Permit | None, bool],
    tried: tuple[str, ...],
    history: tuple[Tried, ...],
) -> Generator[Effect, Any, Finish]:
    """Make one attempt, and a second one beside it if it is slow.

    Args:
        call: The call. Its attempt is counted here.
        choice: The node of the first attempt, as :func:`.picking.pick` found it.
        tried: Ids of the nodes that failed before.
        history: The attempts that failed before.
    """
    runners: list[Runner] = []
    try:
        delay = _delay(call, history)
        # A native step must not wait for the reply beyond the delay.
        moment = Request.moment if delay is None else min(Request.moment, int(delay * 1000))
        enter(call, runners, Runner(call, *choice, moment))
        running = tuple(runners)
        while True:
            try:
                ended: Any = yield Race(running, delay)
            finally:
                settle_ended(call, running)
            if ended is None:
                delay = None
                _begin_second(call, runners, tried)
                running = tuple(runners)
                continue
            _teach(call, ended, ended.outcome)
            running = tuple(runner for runner in running if runner is not ended)
            if type(ended.outcome) is Success or not running or _is_final(ended.outcome):
                for other in running:
                    _teach(call, other, None)
                    let_go(call, other.pending, other.node)
                    other.pending = None
                    if type(ended.outcome) is not Success:
                        ran(call, "maybe")  # it is given up, and nobody hears what it did
                call.node = ended.node
                return Finish(ended.state, ended.outcome, tried, history)
            failure = failure_of(call, ended.node, ended.outcome)
            note(call, "attempt", ended.node, failure)
            ran(call, failure.executed)
            history = (*history, Tried(ended.node, failure))
            tried = (*tried, ended.node.id)
    finally:
        leave(call, runners)


def _is_final(outcome: Any) -> bool:
    """Whether a failure ends a race though another attempt is under way.

    A fault of a plugin says nothing of the other attempt.
    """
    return getattr(outcome, "retry", "") == "never" and type(outcome) is not Raised


def _begin_second(call: Call, runners: list[Runner], tried: tuple[str, ...]) -> None:
    """Add an attempt at another node, if there is one and the policy's budget pays for it.

    The first attempt goes on whatever a plugin does here.
    """
    service = call.plan.service
    now = service.clock()
    first = runners[0].node
    if now >= call.deadline or not _may(call, now):
        return
    try:
        state, permit, picked = pick(call, (*tried, first.id), now)
        if state is None:
            return
        enter(call, runners, Runner(call, state, permit, picked, 0, CONNECT_WITHIN))
    except CallError:  # it was said
        give_up(call)
        return
    note(call, "hedge", first)


def _delay(call: Call, history: tuple[Tried, ...]) -> float | None:
    """After how many seconds a second attempt begins; None where none does."""
    plan = call.plan
    policy, service = plan.fault_tolerance, plan.service
    now = service.clock()
    if len(history) >= plan.retries or plan.hedge is None:
        return None
    try:
        delay: Any = plan.hedge(history, now)
        if delay is None or now + delay >= call.deadline:
            return None
        if delay >= 0:
            return float(delay)
        service.faults.said_wrong(policy, "hedge", "returned a time below 0")
    except Exception as error:  # the call is made without a second attempt
        service.faults.said(policy, "hedge", error)
    return None


def _may(call: Call, now: float) -> bool:
    """Whether the policy lets the second attempt begin."""
    plan = call.plan
    asked = getattr(plan.fault_tolerance, "may_hedge", None)
    if asked is None:
        return True
    try:
        answer = asked(now)
        if isinstance(answer, bool):
            return answer
        what = f"returned {kind_of(answer)} where True or False was due"
        plan.service.faults.said_wrong(plan.fault_tolerance, "may_hedge", what)
    except Exception as error:  # the first attempt goes on alone
        plan.service.faults.said(plan.fault_tolerance, "may_hedge", error)
    return False


def _teach(call: Call, runner: Runner, outcome: Outcome | None) -> None:
    """Tell the policy how long an attempt took, where it wants to know."""
    plan = call.plan
    if plan.learns is None:
        return
    now = plan.service.clock()
    try:
        plan.learns(outcome, now - runner.began, now)
    except Exception as error:  # the attempt has its outcome
        plan.service.faults.said(plan.fault_tolerance, "settle", error)
