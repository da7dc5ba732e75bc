"""What a call means, as a generator without I/O.

The flow yields effects and is sent outcomes; ``sync/driver.py`` and ``aio/driver.py`` carry them out. The stages, outermost first::

    fallback( deadline( limiter( loop: budget → pick(ready - tried) → breaker permit → attempt ) ) )

The comments at each stage say why it stands where it stands; ``tests/calls/test_call_flow.py`` holds the order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..contracts.effects import Pause, Queue
from ..contracts.observers import CallRecord
from ..contracts.policies import Tried
from ..errors import InvalidArgument
from ..nodes.node_set import UNUSED
from ..terms.failures import Failure, cancelled, local, to_error, undecodable
from ..terms.request import Request

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Sequence

    from ..contracts.effects import Effect
    from ..contracts.policies import Again, Fallback, Permit, Ticket
    from ..errors import CallError, Executed
    from ..nodes.node_set import NodeState
    from ..terms.failures import Outcome
    from ..terms.node import Node
    from ..terms.request import Form
    from .plan import CallPlan
    from .service import Service

FREE_REDIALS = 3
"""How often one call may be sent anew without an attempt being counted, when it is proven that the server did not see it. Each needs a connection that went away in that very moment; more than a few are a fault."""

_SEVERITY: dict[Executed, int] = {"no": 0, "maybe": 1, "yes": 2}


class Call(Request):
    """One call: the request that goes to every attempt, and its state on this side. Owned by the thread or task that makes it.

    Attributes:
        plan: What does not change between calls of the method.
        args, kwargs: As the caller gave them; only a fallback needs them.
        started: When the call began.
        node: The node of the last attempt.
        attempts: Attempts made so far.
        executed: The most that any attempt may have done.
        degraded: Whether the value is a fallback's.
        value: The result, once there is one.
    """

    __slots__ = (
        "args",
        "attempts",
        "degraded",
        "executed",
        "kwargs",
        "node",
        "plan",
        "started",
        "value",
    )

    def __init__(
        self,
        plan: CallPlan,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        form: Form,
        body: bytes,
        compressed: bool,
        fields: bytes,
        started: float,
        deadline: float,
        dedupe_key: bytes | None,
    ) -> None:
        # The request's part is set here as well: one constructor less on the hot path.
        self.method = plan.method
        self.form = form
        self.body = body
        self.compressed = compressed
        self.fields = fields
        self.deadline = deadline
        self.connect_timeout = plan.connect_timeout
        self.write_timeout = plan.write_timeout
        self.read_timeout = plan.read_timeout
        self.dedupe_key = dedupe_key
        self.oneway = plan.oneway
        self.plan = plan
        self.args = args
        self.kwargs = kwargs
        self.started = started
        self.node: Node | None = None
        self.attempts = 0
        self.executed: Executed = "no"
        self.degraded = False
        self.value: Any = None


def flow(call: Call) -> Generator[Effect, Any, Failure | None]:
    """Make one call: a generator that yields effects and returns None when the call has a value (``call.value``), else why it has none.

    The caller hands the failure to :func:`conclude`, and a call that it gives up in the middle to :func:`abandon`.
    """
    # The deadline bounds all that follows: the request carries it, each wait below obeys it. A handler that calls on with no time left gets no attempt at all.
    if call.deadline <= call.started:
        return _late()
    # The limiter counts calls and not attempts, so it is outside of the loop.
    return _attempts(call) if call.plan.service.limiter is None else _limited(call)


def _late() -> Generator[Effect, Any, Failure | None]:
    yield from ()  # makes it a generator
    return local("deadline_exceeded", "the deadline had passed before the call began")


def conclude(call: Call, failure: Failure | None) -> Exception | None:
    """End a call: fallback, observers, and the error to raise if there is one. Skipped for a success that nobody observes.

    Returns:
        None when the call has a value (``call.value``), else the error: a ``CallError``, or whatever a fallback raised instead of it.
    """
    plan = call.plan
    service = plan.service
    error: Exception | None = None
    if failure is not None:
        said = to_error(
            failure,
            service=service.name,
            method=plan.method,
            node=call.node,
            attempts=call.attempts,
            executed=call.executed,
        )
        # The fallback is outermost: it answers for an expired deadline and a full queue as well.
        error = said if plan.fallback is None else _degrade(call, plan.fallback, said)
    if service.observers:
        service.observe(
            CallRecord(
                service.name,
                plan.method,
                call.node,
                call.attempts,
                service.clock() - call.started,
                failure,
                call.degraded,
            )
        )
    return error


def abandon(call: Call) -> None:
    """The caller is gone (a cancelled task, Ctrl-C): nobody is left to answer, and still the call has ended."""
    service = call.plan.service
    if service.observers:
        failure = cancelled("the caller gave up", sent=call.attempts > 0)
        service.observe(
            CallRecord(
                service.name,
                call.method,
                call.node,
                call.attempts,
                service.clock() - call.started,
                failure,
                degraded=False,
            )
        )


def _degrade(call: Call, fallback: Fallback, error: CallError) -> Exception | None:
    try:
        call.value = fallback.answer(
            call.plan.service.name, call.plan.method, call.args, call.kwargs, error
        )
    except Exception as declined:  # the contract lets it raise what it likes
        return declined
    call.degraded = True
    return None


def _limited(call: Call) -> Generator[Effect, Any, Failure | None]:
    plan = call.plan
    service = plan.service
    limiter = service.limiter
    assert limiter is not None  # noqa: S101  # the caller checked; narrows the type
    admitted: Any = limiter.admit(service.clock())
    if isinstance(admitted, Failure):
        return admitted
    if admitted is not True:
        ticket: Ticket = admitted
        patience = ticket.timeout
        until = (
            call.deadline if patience is None else min(call.deadline, service.clock() + patience)
        )
        answer: Any = False
        try:
            answer = yield Queue(ticket, until)
        finally:
            # Granted in the very moment of giving up: the permit is ours, so it goes back.
            if answer is not True and not ticket.leave():
                limiter.release(None, 0.0)
        if isinstance(answer, Failure):
            return answer
        if answer is not True:
            what = (
                "the deadline came"
                if until >= call.deadline
                else f"the limiter's queue_timeout ({patience:g} s) was over"
            )
            return local(
                "overloaded", f"{what} while the call waited for its turn at the client's limiter"
            )
    since = service.clock()
    failure: Failure | None = None
    verdict: Any = None
    try:
        if since < call.deadline:
            failure = yield from _attempts(call)
        else:
            failure = local(
                "deadline_exceeded",
                "the deadline came just as the call had its turn at the client's limiter",
            )
        verdict = failure or (
            None if plan.oneway else _SUCCESS
        )  # how long a oneway takes to be sent says nothing of the service
    finally:
        limiter.release(verdict, service.clock() - since)
    return failure


class _Succeeded:
    ok = True
    body = b""


_SUCCESS = _Succeeded()


def _attempts(call: Call) -> Generator[Effect, Any, Failure | None]:
    plan = call.plan
    service = plan.service
    clock, balancer, nodes = service.clock, service.balancer, service.nodes
    service.budget.deposit(call.started)
    tried: tuple[str, ...] = ()
    history: list[Tried] | None = None
    redials = 0
    redial = False
    state: NodeState[Any] | None = None
    permit: Permit | None = None
    again: Again | None = None
    failure: Any = None
    while True:
        # Pick before permit: a permit belongs to a node. One that gives none is passed over as if it had been tried.
        picked = True
        if redial and state is not None:
            # Elsewhere if there is an elsewhere, since this node just hung up; else here.
            redial, away = False, (*tried, state.node.id)
            found, permit = _search(call, balancer.pick(plan.key, away, service.rng), away)
            if found is not None:
                state, tried = found, away
            else:
                picked = False
                state, permit = _same(call, state)
        elif again is not None and again.where == "same" and state is not None:
            picked = False
            state, permit = _same(call, state)
        else:
            node = balancer.pick(plan.key, tried, service.rng)
            state = None if node is None else nodes.states.get(node.id)
            if state is None or state.breaker is not None:
                state, permit = _search(call, node, tried)
        if state is None:
            if failure is not None:
                return _with_note(
                    failure,
                    "no other node is left to try"
                    if picked
                    else "the node is asked no more: its breaker cut it off, or it has left",
                )
            kind, message = nodes.explain_none()
            return local(kind, message)
        call.node = node = state.node
        call.attempts += 1
        outcome: Outcome | None = None
        try:
            outcome = yield state.attempt or nodes.connect(state)
        finally:
            # In a finally: a call that is given up in the middle gives its permit back without a verdict.
            if permit is not None:
                nodes.settle(
                    state, permit, _seen(state, outcome) if plan.oneway else outcome, clock()
                )
                permit = None
            # A balancer hears of what it picked, so that its counts come out even; a retry on the same node was not its choice.
            if picked and balancer.settle is not None:
                balancer.settle(
                    node,
                    None if plan.oneway and outcome is not None and outcome.ok else outcome,
                    clock(),
                )
        if outcome.ok:
            try:
                call.value = plan.codec.decode_result(outcome.body)  # type: ignore[union-attr]  # ok is True: a Success
            except InvalidArgument as error:
                call.executed = "yes"
                return undecodable(error)
            return None
        failure = outcome
        if (
            failure.unsent
            and failure.executed == "no"
            and redials < FREE_REDIALS
            and clock() < call.deadline
        ):
            # Proven that the server never saw the whole request: not an attempt.
            redials += 1
            redial = True
            call.attempts -= 1
            continue
        if _SEVERITY[failure.executed] > _SEVERITY[call.executed]:
            call.executed = failure.executed
        if history is None:
            history = []
        history.append(Tried(node, failure))
        if not may_retry(failure, idempotent=plan.idempotent) or len(history) > plan.retries:
            return failure  # type: ignore[no-any-return]
        again = plan.fault_tolerance.next(history, service.rng)
        if again is None or (again.where == "same" and failure.retry == "other"):
            return failure  # type: ignore[no-any-return]
        now = clock()
        if now + again.delay >= call.deadline:
            return _with_note(failure, "no time was left for a retry")
        # The budget is asked last, when the retry would really be made, and before it costs anybody anything. It protects servers from the load of retries; where no server
        # was reached there is none, and to charge for it would make calls fail beside nodes that are well.
        if failure.reached and not service.budget.withdraw(now):
            return _with_note(failure, "not retried: the retry budget of the service is spent")
        tried = (*tried, node.id)
        if again.delay > 0:
            interrupted = yield Pause(again.delay)
            if interrupted is not None:
                return interrupted  # type: ignore[no-any-return]


def _seen(state: NodeState[Any], outcome: Outcome | None) -> Outcome | None:
    """What a oneway call shows of its node.

    That it was sent is no verdict: beside oneway calls, calls that hang would never make a row of failures. Only a node that is half-open, and so answers pings, is taken
    back for it: that is all the trial there can be, and without it a service of oneway calls would stay half-open.
    """
    if (
        outcome is None
        or not outcome.ok
        or (state.breaker is not None and state.breaker.state == "half-open")
    ):
        return outcome
    return None


def may_retry(failure: Failure, *, idempotent: bool) -> bool:
    """The rule that keeps a write from running twice: only what did not run, or may run twice, is ever sent again."""
    return failure.retry != "never" and (
        failure.executed == "no" or (idempotent and failure.executed == "maybe")
    )


def _same(call: Call, state: NodeState[Any]) -> tuple[NodeState[Any] | None, Permit | None]:
    service = call.plan.service
    # The node's current state: a snapshot may have replaced it meanwhile. Gone from the list means that it is not asked again.
    current = service.nodes.states.get(state.node.id)
    return (None, None) if current is None else _admitted(service, current) or (None, None)


def _admitted(
    service: Service[Any], state: NodeState[Any]
) -> tuple[NodeState[Any], Permit | None] | None:
    """The node with its breaker's permit, where it has a breaker; None when that gives none."""
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
    passed: Sequence[str] = tuple(tried)
    while node is not None:
        state = service.nodes.states.get(node.id)
        admitted = None if state is None else _admitted(service, state)
        if admitted is not None:
            return admitted
        # What was picked and not used is settled too, without a verdict.
        if service.balancer.settle is not None:
            service.balancer.settle(node, None, service.clock())
        passed = (*passed, node.id)
        node = service.balancer.pick(call.plan.key, passed, service.rng)
    return None, None


def _with_note(failure: Failure, note: str) -> Failure:
    # A copy: a breaker or a balancer may keep what it was handed.
    noted = failure.copy()
    noted.message = f"{failure.message}; {note}"
    return noted
