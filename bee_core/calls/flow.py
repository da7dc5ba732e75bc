"""What a call means: a generator without I/O.

The flow yields effects and is sent their outcomes. The drivers in ``client/`` carry the effects
out. The stages, outermost first::

    fallback(deadline(limiter(loop: budget, pick(ready - tried), breaker's permit, attempt)))

- The fallback is outermost: it answers for an expired deadline and a full queue as well.
- Observers and interceptors are next: each call of the application is one call to them.
- The deadline bounds all that follows. The request carries it, and each wait obeys it.
- The limiter counts calls and not attempts, so it is outside of the loop.
- Inside the loop a node is picked (``picking.py``), the request goes to it, and a failure is judged
  (``retries.py``): stop, redial, or try again.

``tests/calls/test_call_flow.py`` holds the order.

**Plugins are contained.** Whatever one raises or returns, permits and places go back, a result that
is there is returned, and the call ends with one ``CallError`` that says what may have run.
``tests/faults/test_contained_plugins.py`` breaks each of them in turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..contracts.effects import Effect, Pause, Queue
from ..contracts.plugin_faults import kind_of
from ..contracts.policies import Limiter, Permit, Tried
from ..errors import CALL_ERRORS, CallError, Executed, InvalidArgument
from ..terms.causes import local, undecodable
from ..terms.failures import Failure, Outcome, Success, raised, refused_by
from .broken_effects import checked
from .fault_injection import attempts
from .picking import again, elsewhere, give_back, pick, seen
from .recording import note, slow, went_well_in_the_end
from .retries import Redial, Stop, after, with_note

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..nodes.node_state import NodeState
    from ..terms.node import Node
    from .call import Call

    Steps = Generator[Effect, Any, Failure | None]

_SEVERITY: dict[Executed, int] = {"no": 0, "maybe": 1, "yes": 2}


def flow(call: Call, *, inside: bool = False) -> Steps:
    """Make one call. Yields effects; returns None when ``call.value`` is set, else the failure.

    What follows is in ``conclusion.py``.

    Args:
        call: The call.
        inside: The call has passed what stands before its attempts: see :func:`_staged`.
    """
    plan = call.plan
    service = plan.service
    if service.staged and not inside:
        return (yield from _staged(call))
    if call.deadline <= call.started:
        # A handler that calls on with no time left gets no attempt at all.
        return local("deadline_exceeded", "the deadline had passed before the call began")
    service.budget.deposit(call.started)
    tried: tuple[str, ...] = ()
    history: tuple[Tried, ...] = ()
    redials = 0
    outcome: Any = None  # an Outcome; no type checker tells the two cases apart by `ok`
    try:
        # In the limiter's queue time has passed.
        state, permit, picked = pick(call, tried, service.clock() if inside else call.started)
        while state is not None:
            call.node = node = state.node
            call.attempts += 1
            began = service.clock() if permit is not None or service.told else None
            outcome = None
            try:
                outcome = yield state.attempt or service.connect(state)
            finally:
                # A call that is given up in the middle gives its permit back, without a verdict. A
                # success under a permit that stands is no news.
                if began is not None and (
                    service.told
                    or type(outcome) is not Success
                    or not service.stands(call, state, permit)
                ):
                    _settle(call, state, permit, picked, outcome, began)
            if type(outcome) is Success:
                return _take(call, outcome)
            outcome = _failed(call, node, outcome)
            note(call, "attempt", node, outcome)
            failed = (*history, Tried(node, outcome))
            tried = (*tried, node.id)
            now = service.clock()
            step = after(plan, failed, redials, now, call.deadline)
            if type(step) is Redial:
                redials += 1
                call.attempts -= 1
                state, permit, picked = elsewhere(call, state, tried, now)
                continue
            history = failed
            call.executed = max(call.executed, outcome.executed, key=_SEVERITY.__getitem__)
            if type(step) is Stop:
                return step.failure
            delay = max(0.0, step.delay)
            if delay and (interrupted := (yield from _paused(call, delay))) is not None:
                return interrupted
            now += delay
            state, permit, picked = again(call, state, step.where, tried, now)
    except CallError as error:  # a plugin broke its contract; what it cost is given back already
        return raised(error)
    finally:
        if call.permit is not None or service.told:
            _give_up(call)
    return _none_left(call, picked, outcome)


def _paused(call: Call, delay: float) -> Steps:
    """Wait before a retry; a failure where the call is interrupted meanwhile."""
    interrupted: Failure | None = yield Pause(delay)
    note(call, "pause", None, interrupted)
    return interrupted


def _failed(call: Call, node: Node, outcome: Any) -> Failure:
    """The failure of an attempt. The discovery hears of a node where nobody listens."""
    failure: Any = checked(call, call.pending, outcome)
    told = call.plan.service.refused
    if failure.refused and told is not None:
        told(node, failure)
    return failure  # type: ignore[no-any-return]


def _staged(call: Call) -> Steps:
    """The call with its observers, its interceptors and its limiter, in this order.

    Observers come first, so that they hear of a call that is refused. Interceptors come before the
    limiter: a call that they refuse needs no permit.
    """
    service = call.plan.service
    interception = service.interception
    if service.observation.of_calls:
        call.states = service.observation.call_started(call)
    limiter = service.limiter
    if not interception.count:
        return (yield from _limited(call, limiter))
    entered, refusal = interception.enter(call)
    outcome: Outcome | None = None
    try:
        if refusal is not None:
            outcome = refused_by(refusal)
            return outcome
        failure = yield from _limited(call, limiter)
        outcome = failure or call.reply
        return failure
    finally:
        interception.exit(call, outcome, entered)


def _limited(call: Call, limiter: Limiter | None) -> Steps:
    """The call under a permit of the limiter, which goes back whatever happens."""
    if limiter is None or call.deadline <= call.started:
        return (yield from attempts(call, flow))
    clock = call.plan.service.clock
    since: float | None = None
    verdict: Any = None
    # Its permit (True) or its ticket, from the moment that there is one: an exception may come
    # between any two lines.
    held: list[Any] = [None]
    try:
        refusal = yield from _turn(call, limiter, held)
        if refusal is not None:
            return refusal
        since = clock()
        if since < call.deadline:
            failure = yield from attempts(call, flow)
        else:
            late = "the deadline came just as the call had its turn at the client's limiter"
            failure = local("deadline_exceeded", late)
        # How long a oneway call takes to be sent says nothing of the service.
        verdict = failure or (None if call.plan.oneway else call.reply)
    finally:
        # A permit may be granted just as the call gives up. It is ours then, so it goes back.
        permit = held[0]
        if permit is not None and (permit is True or not _has_left(call, limiter, permit.leave)):
            _release(call, limiter, verdict, 0.0 if since is None else clock() - since)
    return failure


def _release(call: Call, limiter: Limiter, outcome: Outcome | None, seconds: float) -> None:
    try:
        limiter.release(outcome, seconds)
    except Exception as error:  # the call keeps what it has
        call.plan.service.faults.said(limiter, "release", error)


def _turn(call: Call, limiter: Limiter, held: list[Any]) -> Steps:
    """Get one permit of the limiter, waiting for it if need be.

    Args:
        call: The call.
        limiter: The limiter.
        held: Gets the ticket, and then True for the permit.
    """
    clock, faults = call.plan.service.clock, call.plan.service.faults
    ticket: Any = None
    try:
        held[0] = ticket = limiter.admit(call, clock())
        if ticket is True:
            return None
        if isinstance(ticket, Failure):
            held[0] = None
            _tell(call, "refused", ticket.message)
            return ticket if ticket.kind in CALL_ERRORS else local("overloaded", ticket.message)
        patience: float | None = ticket.timeout
        until = call.deadline if patience is None else min(call.deadline, clock() + patience)
        _ = ticket.leave
    except Exception as error:
        faults.let_pass(error)  # a permit that is held goes back
        held[0] = None
        if ticket is None:
            return raised(faults.fault(limiter, "admit", error))
        leave = getattr(ticket, "leave", None)
        if leave is not None and not _has_left(call, limiter, leave):
            _release(call, limiter, None, 0.0)
        what = f"returned {kind_of(ticket)}, which is neither True nor a ticket nor a failure"
        return raised(faults.wrong(limiter, "admit", what))
    _tell(call, "queued", "")
    answer: Any = yield Queue(ticket, until)
    if answer is True:
        held[0] = True
        note(call, "queue")
        return None
    if isinstance(answer, Failure):
        note(call, "queue", None, answer)
        return answer
    late = until >= call.deadline
    over = "the deadline came" if late else f"the limiter's queue_timeout ({patience:g} s) was over"
    message = f"{over} while the call waited for its turn at the client's limiter"
    _tell(call, "refused", message)
    refusal = local("overloaded", message)
    note(call, "queue", None, refusal)
    return refusal


def _tell(call: Call, state: str, reason: str) -> None:
    """Tell the observers what the limiter made of a call."""
    observation = call.plan.service.observation
    observation.limited("client", call.service, call.method, state, reason)


def _has_left(call: Call, limiter: Limiter, leave: Callable[[], bool]) -> bool:
    try:
        return leave()
    except Exception as error:  # the call ends; what it held nobody can tell
        call.plan.service.faults.said(limiter, "leave", error)
        return True


def _settle(
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
        told = service.balancer.settle
        if picked and told is not None:
            sent = call.plan.oneway and outcome is not None and outcome.ok
            try:
                told(state.node, None if sent else outcome, now - began, now)
            except Exception as error:  # the attempt has its outcome
                service.faults.said(service.balancer, "settle", error)
    if service.observation.of_attempts:
        service.observation.attempt_ended(call.states, call, state.node, outcome, now - began)


def _give_up(call: Call) -> None:
    """Give back what was picked and not settled: an exception came in between (Ctrl-C)."""
    service = call.plan.service
    permit, call.permit = call.permit, None
    try:
        if permit is not None:
            service.nodes.settle(call.asked, permit, None, 0.0, service.clock())
    finally:
        if call.picked is not None:
            give_back(call, call.picked)


def _take(call: Call, reply: Success) -> Failure | None:
    """Take the result out of a reply."""
    try:
        call.value = call.plan.codec.decode_result(reply.body)
    except InvalidArgument as error:
        call.executed = "yes"
        call.plan.service.faults.let_pass(error)
        return undecodable(error)
    except Exception as error:
        call.executed = "yes"
        service = call.plan.service
        return raised(service.faults.fault(service.codec, "decode_result", error, "yes"))
    call.reply = reply
    plan = call.plan
    service = plan.service
    recorder = service.recorder
    if recorder is not None:
        if call.steps is None:
            began, ended = call.started, recorder.clock()
            recorder.append((service.name, plan.method, call.node, began, ended))
            if ended - began > recorder.slow_above:
                slow(recorder, call, ended)
        else:
            went_well_in_the_end(recorder, call)
    return None


def _none_left(call: Call, picked: bool, failure: Failure | None) -> Failure:
    """Why there is no node for an attempt, the first or a later one."""
    service = call.plan.service
    if failure is None and not service.nodes.states:
        # Also when it is late: the call may have waited for nodes as long as it could.
        return local(*service.nodes.explain_none())
    if service.clock() >= call.deadline:
        late = "the deadline came while a node was looked for"
        return local("deadline_exceeded", late) if failure is None else with_note(failure, late)
    if failure is None:
        return local(*service.nodes.explain_none())
    gone = "the node is asked no more: its breaker cut it off, or it has left"
    return with_note(failure, "no other node is left to try" if picked else gone)
