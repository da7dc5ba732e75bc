"""What a call means: a generator without I/O.

The flow yields effects and is sent their outcomes. The drivers in ``client/`` carry the effects
out. The stages, outermost first::

    fallback(deadline(limiter(loop: budget, pick(ready - tried), breaker's permit, attempt)))

- The fallback is outermost: it answers for an expired deadline and a full queue as well.
- The deadline bounds all that follows. The request carries it, and each wait obeys it.
- The limiter counts calls and not attempts, so it is outside of the loop.
- Inside the loop a node is picked (``picking.py``), the request goes to it, and a failure is judged
  (``retries.py``): stop, redial, or try again.

``tests/calls/test_call_flow.py`` holds the order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..contracts.effects import Effect, Pause, Queue
from ..contracts.observers import CallRecord
from ..contracts.policies import Fallback, Limiter, Permit, Ticket, Tried
from ..errors import CallError, Executed, InvalidArgument
from ..terms.causes import cancelled, local, undecodable
from ..terms.failures import Failure, Outcome, Success, to_error
from .picking import elsewhere, pick, same
from .retries import Redial, Stop, after, with_note

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..nodes.node_set import NodeState
    from .call import Call

    Steps = Generator[Effect, Any, Failure | None]

_SEVERITY: dict[Executed, int] = {"no": 0, "maybe": 1, "yes": 2}
_SUCCESS = Success(b"")


def flow(call: Call, *, admitted: bool = False) -> Steps:
    """Make one call. Yields effects; returns None when ``call.value`` is set, else the failure.

    The caller hands the failure to :func:`conclude`, and a call that it gives up in the middle to
    :func:`abandon`.

    Args:
        call: The call.
        admitted: The call has its permit of the limiter.
    """
    plan = call.plan
    service = plan.service
    if call.deadline <= call.started:
        # A handler that calls on with no time left gets no attempt at all.
        return local("deadline_exceeded", "the deadline had passed before the call began")
    if service.limiter is not None and not admitted:
        return (yield from _limited(call, service.limiter))
    service.budget.deposit(call.started)
    tried: tuple[str, ...] = ()
    history: tuple[Tried, ...] = ()
    redials = 0
    outcome: Any = None  # an Outcome; no type checker tells the two cases apart by `ok`
    state, permit, picked = pick(call, tried)
    while state is not None:
        call.node = node = state.node
        call.attempts += 1
        outcome = None
        try:
            outcome = yield state.attempt or service.nodes.connect(state)
        finally:
            # A call that is given up in the middle gives its permit back, without a verdict.
            if permit is not None or service.balancer.settle is not None:
                _settle(call, state, permit, picked, outcome)
        if outcome.ok:
            return _take(call, outcome)
        failed = (*history, Tried(node, outcome))
        tried = (*tried, node.id)
        step = after(plan, failed, redials, service.clock(), call.deadline)
        if type(step) is Redial:
            redials += 1
            call.attempts -= 1
            state, permit, picked = elsewhere(call, state, tried)
            continue
        history = failed
        call.executed = max(call.executed, outcome.executed, key=_SEVERITY.__getitem__)
        if type(step) is Stop:
            return step.failure
        if step.delay > 0:
            interrupted = yield Pause(step.delay)
            if interrupted is not None:
                return interrupted  # type: ignore[no-any-return]
        again = same(call, state) if step.where == "same" else pick(call, tried)
        state, permit, picked = again
    return _none_left(call, picked, outcome)


def _limited(call: Call, limiter: Limiter) -> Steps:
    """The call under a permit of the limiter, which goes back whatever happens."""
    refusal = yield from _turn(call, limiter)
    if refusal is not None:
        return refusal
    clock = call.plan.service.clock
    since = clock()
    verdict: Any = None
    try:
        if since < call.deadline:
            failure = yield from flow(call, admitted=True)
        else:
            late = "the deadline came just as the call had its turn at the client's limiter"
            failure = local("deadline_exceeded", late)
        # How long a oneway call takes to be sent says nothing of the service.
        verdict = failure or (None if call.plan.oneway else _SUCCESS)
    finally:
        limiter.release(verdict, clock() - since)
    return failure


def _turn(call: Call, limiter: Limiter) -> Steps:
    """Get one permit of the limiter, waiting for it if need be."""
    clock = call.plan.service.clock
    admitted: Any = limiter.admit(clock())
    if admitted is True:
        return None
    if isinstance(admitted, Failure):
        return admitted
    ticket: Ticket = admitted
    patience = ticket.timeout
    until = call.deadline if patience is None else min(call.deadline, clock() + patience)
    answer: Any = False
    try:
        answer = yield Queue(ticket, until)
    finally:
        # A permit may be granted just as the call gives up. It is ours then, so it goes back.
        if answer is not True and not ticket.leave():
            limiter.release(None, 0.0)
    if answer is True:
        return None
    if isinstance(answer, Failure):
        return answer
    late = until >= call.deadline
    over = "the deadline came" if late else f"the limiter's queue_timeout ({patience:g} s) was over"
    return local("overloaded", f"{over} while the call waited for its turn at the client's limiter")


def _settle(
    call: Call,
    state: NodeState[Any],
    permit: Permit | None,
    picked: bool,
    outcome: Outcome | None,
) -> None:
    """Give the breaker its permit back, and tell the balancer how its pick ended."""
    service = call.plan.service
    if permit is not None:
        seen = _seen(state, outcome) if call.plan.oneway else outcome
        service.nodes.settle(state, permit, seen, service.clock())
    # A retry on the same node was not the balancer's choice, so it hears nothing of it.
    told = service.balancer.settle
    if picked and told is not None:
        sent = call.plan.oneway and outcome is not None and outcome.ok
        told(state.node, None if sent else outcome, service.clock())


def _seen(state: NodeState[Any], outcome: Outcome | None) -> Outcome | None:
    """What a oneway call shows of its node.

    That it was sent is no verdict. Otherwise oneway calls would break up the row of failures when
    other calls hang. Only a node that is half-open, and so answers pings, is taken back for it.
    There is no better trial: without it a service of oneway calls would stay half-open.
    """
    half_open = state.breaker is not None and state.breaker.state == "half-open"
    return outcome if outcome is None or not outcome.ok or half_open else None


def _take(call: Call, reply: Success) -> Failure | None:
    """Take the result out of a reply."""
    try:
        call.value = call.plan.codec.decode_result(reply.body)
    except InvalidArgument as error:
        call.executed = "yes"
        return undecodable(error)
    return None


def _none_left(call: Call, picked: bool, failure: Failure | None) -> Failure:
    """Why there is no node for an attempt, the first or a later one."""
    if failure is None:
        return local(*call.plan.service.nodes.explain_none())
    gone = "the node is asked no more: its breaker cut it off, or it has left"
    return with_note(failure, "no other node is left to try" if picked else gone)


def conclude(call: Call, failure: Failure | None) -> Exception | None:
    """End a call: fallback, observers, and the error to raise if there is one.

    A driver skips it for a success that nobody observes.

    Returns:
        None when the call has a value (``call.value``), else the error: a ``CallError``, or
        whatever a fallback raised instead of it.
    """
    plan = call.plan
    error: Exception | None = None
    if failure is not None:
        said = to_error(
            failure,
            service=plan.service.name,
            method=plan.method,
            node=call.node,
            attempts=call.attempts,
            executed=call.executed,
        )
        error = said if plan.fallback is None else _degrade(call, plan.fallback, said)
    if plan.service.observers:
        _observe(call, failure)
    return error


def abandon(call: Call) -> None:
    """End a call whose caller is gone (a cancelled task, Ctrl-C): there is nobody to answer."""
    if call.plan.service.observers:
        _observe(call, cancelled("the caller gave up", sent=call.attempts > 0))


def _observe(call: Call, failure: Failure | None) -> None:
    service = call.plan.service
    seconds = service.clock() - call.started
    service.observe(
        CallRecord(
            service.name, call.method, call.node, call.attempts, seconds, failure, call.degraded
        )
    )


def _degrade(call: Call, fallback: Fallback, error: CallError) -> Exception | None:
    plan = call.plan
    try:
        call.value = fallback.answer(plan.service.name, plan.method, call.args, call.kwargs, error)
    except Exception as declined:  # the contract lets it raise what it likes
        return declined
    call.degraded = True
    return None
