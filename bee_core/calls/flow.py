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

from ..contracts.effects import Effect, Pause
from ..contracts.policies import Again, Limiter, Tried
from ..errors import CallError
from ..terms.causes import local
from ..terms.failures import Failure, Outcome, Success, raised, refused_by
from .broadcast import broadcast, chosen
from .fault_injection import with_faults
from .picking import again, elsewhere, pick, take_key
from .race import race
from .recording import note, slow, went_well_in_the_end
from .retries import Redial, Repeat, Stop, after, where_sent, with_note
from .settling import failure_of, give_up, not_decoded, ran, settle
from .turns import has_left, release, turn

if TYPE_CHECKING:
    from collections.abc import Generator

    from .call import Call

    Steps = Generator[Effect, Any, Failure | None]


def flow(call: Call, *, inside: bool = False) -> Steps:  # noqa: PLR0912, PLR0915  # all stages
    """Make one call. Yields effects; returns None when ``call.value`` is set, else the failure.

    What follows is in ``conclusion.py``.

    Args:
        call: The call.
        inside: The call has passed what stands before its attempts: see :func:`_staged`.
    """
    plan = call.plan
    service = plan.service
    if service.staged is not inside:  # there are stages, and the call has not passed them
        return (yield from _staged(call))
    if call.deadline <= call.started:
        # A handler that calls on with no time left gets no attempt at all.
        return local("deadline_exceeded", "the deadline had passed before the call began")
    service.budget.deposit(call.started)
    tried: tuple[str, ...] = ()
    history: tuple[Tried, ...] = ()
    redials = 0
    now = service.clock() if inside else call.started  # in the limiter's queue time has passed
    outcome: Any = None  # an Outcome; no type checker tells the two cases apart by `ok`
    try:
        state, permit, picked = pick(call, tried, now)
        while state is not None:
            if plan.hedge is not None:  # a second attempt may begin beside this one
                choice = state, permit, picked
                state, outcome, tried, history = yield from race(call, choice, tried, history)
                node = state.node
            else:
                call.node = node = state.node
                call.attempts += 1
                began = service.clock() if permit is not None or service.told else None
                outcome = None
                try:
                    outcome = yield state.attempt or service.connect(state)
                finally:
                    # A call that is given up in the middle gives its permit back, without a
                    # verdict. A success under a permit that stands is no news.
                    if began is not None and (
                        service.told
                        or type(outcome) is not Success
                        or not (
                            state.breaker.standing is permit  # type: ignore[union-attr]
                            if service.nodes.shows_news
                            else service.stands(call, state, permit)
                        )
                    ):
                        settle(call, state, permit, picked, outcome, began)
            if type(outcome) is Success:
                return _take(call, outcome)
            outcome = failure_of(call, node, outcome)
            note(call, "attempt", node, outcome)
            failed = (*history, Tried(node, outcome))
            tried = (*tried, node.id)
            now = service.clock()
            sent = where_sent(call, outcome)
            step = after(plan, failed, redials, now, call.deadline, sent, call.criticality)
            if type(step) is Redial:
                redials += 1
                call.attempts -= 1
                state, permit, picked = elsewhere(call, state, tried, now)
                continue
            history = failed
            ran(call, outcome.executed)
            ended = yield from _paused(call, step)
            if ended is not None:
                return ended
            retry: Any = step  # an Again, or a copy of that class
            state, permit, picked = again(call, state, retry.where, tried, now + retry.delay)
    except CallError as error:  # a plugin broke its contract; what it cost is given back already
        return raised(error)
    finally:
        if call.permit is not None or service.told:
            give_up(call)
    return _none_left(call, picked, outcome)


def _take(call: Call, reply: Success) -> Failure | None:
    """Take the result out of a reply."""
    try:
        call.value = call.plan.codec.decode_result(reply.body)
    except Exception as error:
        return not_decoded(call, error)
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


def _paused(call: Call, step: Stop | Again | Repeat) -> Steps:
    """Wait before a retry; a failure where there is none, or where the call is interrupted."""
    if isinstance(step, Stop):
        return step.failure
    if step.delay <= 0:
        return None
    interrupted: Failure | None = yield Pause(step.delay)
    note(call, "pause", None, interrupted)
    return interrupted


def _staged(call: Call) -> Steps:
    """The call with its observers, its interceptors and its limiter, in this order.

    Observers come first, so that they hear of a call that is refused. Interceptors come before the
    limiter: a call that they refuse needs no permit.
    """
    service = call.plan.service
    interception = service.interception
    if service.observation.of_calls:
        call.states = service.observation.call_started(call)
    limiter = call.plan.limiter
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
    if call.plan.key_from is not None:
        unusable = take_key(call, call.plan.key_from)
        if unusable is not None:
            return unusable
    if limiter is None or call.deadline <= call.started:
        return (yield from _attempts(call))
    clock = call.plan.service.clock
    since: float | None = None
    verdict: Any = None
    # Its permit (True) or its ticket, from the moment that there is one: an exception may come
    # between any two lines.
    held: list[Any] = [None]
    try:
        refusal = yield from turn(call, limiter, held)
        if refusal is not None:
            return refusal
        since = clock()
        if since < call.deadline:
            failure = yield from _attempts(call)
        else:
            late = "the deadline came just as the call had its turn at the client's limiter"
            failure = local("deadline_exceeded", late)
        # How long a oneway call takes to be sent says nothing of the service.
        verdict = failure or (None if call.plan.oneway else call.reply)
    finally:
        # A permit may be granted just as the call gives up. It is ours then, so it goes back.
        permit = held[0]
        if permit is not None and (permit is True or not has_left(call, limiter, permit.leave)):
            release(call, limiter, verdict, 0.0 if since is None else clock() - since)
    return failure


def _attempts(call: Call) -> Steps:
    """What comes behind the limiter, with the faults that the configuration asks for."""
    faults = call.plan.service.config.faults
    steps = _ways(call)
    return (yield from with_faults(call, steps, faults) if faults else steps)


def _ways(call: Call) -> Steps:
    """Attempts at one node after the other, or at many at once."""
    if call.plan.targets is not None and call.deadline > call.started:
        try:
            nodes = chosen(call)
        except CallError as error:  # the policy broke its contract
            return raised(error)
        if nodes is not None:
            return (yield from broadcast(call, nodes))
    return (yield from flow(call, inside=True))


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
