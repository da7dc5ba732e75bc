"""What follows a failed attempt.

The rule that keeps a write from running twice is :func:`may_retry`. Everything here is pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Union, final

from ..contracts.plugin_faults import kind_of
from ..contracts.policies import Again, Tried

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..terms.failures import Failure
    from .plan import CallPlan

FREE_REDIALS = 3
"""How often one call may be sent anew without an attempt being counted, when it is proven that the
server did not see it. Each needs a connection that went away in that very moment. More than a few
are a fault. A call that is tried once only (failfast, no retries left) has one."""


PUSH_BACK_JITTER = 0.1
"""The share by which a retry may come later than the server asked for (``retry_after``)."""


@final
class Stop(NamedTuple):
    """The call ends with this failure."""

    failure: Failure


@final
class Redial(NamedTuple):
    """Send the request anew, to another node if there is one. What was sent was no attempt."""


Next = Union[Stop, Redial, Again]
_REDIAL = Redial()


def may_retry(failure: Failure, *, idempotent: bool) -> bool:
    """Whether the request may be sent again: only what did not run, or may run twice."""
    return failure.retry != "never" and (
        failure.executed == "no" or (idempotent and failure.executed == "maybe")
    )


def after(
    plan: CallPlan, history: Sequence[Tried], redials: int, now: float, deadline: float
) -> Next:
    """Decide what follows a failed attempt.

    Args:
        plan: The call's plan, with the policies and the retry budget that are asked.
        history: The attempts that failed, the one at hand last. Redials are not among them.
        redials: How often the request was sent anew already.
        now: Seconds of the call's clock.
        deadline: When the call ends, on the same clock.
    """
    failure = history[-1].failure
    # It is proven that the server never saw the whole request.
    unseen = failure.executed == "no" and (
        failure.unsent
        # A function gives the token, so a new connection asks it for a newer one: once.
        or (failure.token_refused and plan.service.renews_token)
    )
    if unseen and redials == 0 and now < deadline:
        return _REDIAL
    if failure.reached and failure.retry != "never":
        plan.service.budget.failed(now)
    if not may_retry(failure, idempotent=plan.idempotent) or len(history) > plan.retries:
        return Stop(failure)
    again = _asked(plan, history)
    if isinstance(again, Stop):
        return again
    if again is not None and unseen and redials < FREE_REDIALS and now < deadline:
        return _REDIAL  # the first is free for all, the others for calls that would try again
    if again is None or (again.where == "same" and failure.retry == "other"):
        return Stop(failure)
    if again.where == "same" and failure.retry_after:
        again = _pushed_back(plan, again.delay, failure.retry_after)
    if now + again.delay >= deadline:
        return Stop(with_note(failure, "no time was left for a retry"))
    # The budget is asked last, when the retry would really be made. It protects servers from the
    # load of retries. A server that was not reached has no load from them, and charging for those
    # would make calls fail beside nodes that are well.
    if failure.reached and not plan.service.budget.withdraw(now):
        return Stop(with_note(failure, "not retried: the retry budget of the service is spent"))
    return again


def _pushed_back(plan: CallPlan, delay: float, retry_after: float) -> Again:
    """A retry on the node that said when to come back: no policy may come sooner.

    Many calls were told the same, so each comes a little later than it was told.
    """
    asked = retry_after * (1.0 + PUSH_BACK_JITTER * plan.service.rng.random())
    return Again("same", max(delay, asked))


def _asked(plan: CallPlan, history: Sequence[Tried]) -> Again | Stop | None:
    """The decision of the fault tolerance. One that breaks its contract costs the call its retry.

    The call keeps the failure that it has: it says what happened to the request.
    """
    policy, faults = plan.fault_tolerance, plan.service.faults
    try:
        again: Any = policy.next(history, plan.service.rng)
        # A copy of its class may come from another import, so the fields decide.
        if again is None or (again.where in _PLACES and again.delay >= 0):
            return again  # type: ignore[no-any-return]
        faults.said_wrong(policy, "next", f"returned {kind_of(again)} that is no decision")
    except Exception as error:  # whatever a plugin does, the call has its failure
        faults.said(policy, "next", error)
    note = f"not retried: {faults.name(policy)} broke its contract"
    return Stop(with_note(history[-1].failure, note))


_PLACES = frozenset({"same", "other"})


def with_note(failure: Failure, note: str) -> Failure:
    """A copy of the failure that says more. A policy may keep the one that it was handed."""
    noted = failure.copy()
    noted.message = f"{failure.message}; {note}"
    return noted
