"""What follows a failed attempt.

The rules that keep a write from running twice are :func:`may_retry` and :func:`may_repeat`.
Everything here is pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Union, final

from ..contracts.plugin_faults import kind_of
from ..contracts.policies import Again, Tried
from ..terms.criticality import SHARES, USUAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..terms.criticality import Criticality
    from ..terms.failures import Failure
    from ..terms.request import Sent
    from .call import Call
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


@final
class Repeat(NamedTuple):
    """Send a write once more to the process that may have run it, and that remembers its answers.

    Attributes:
        delay: Seconds to wait first.
    """

    delay: float

    @property
    def where(self) -> str:
        """As :class:`Again` has it."""
        return REPEAT


REPEAT = "repeat"
"""Where a repetition goes."""
Next = Union[Stop, Redial, Again, Repeat]
_REDIAL = Redial()


def may_retry(failure: Failure, *, idempotent: bool) -> bool:
    """Whether the request may be sent again: only what did not run, or may run twice."""
    return failure.retry != "never" and (
        failure.executed == "no" or (idempotent and failure.executed == "maybe")
    )


def may_repeat(failure: Failure, sent: Sent, now: float) -> bool:
    """Whether a write that may have run may be sent once more to the process that got it.

    That process remembers its answers. It answers a repetition without running it, or proves that
    the first one never ran, or refuses. So the write does not run twice. A repetition that is lost
    itself is not repeated: it is the only one that may come late.

    Args:
        failure: Of the last attempt.
        sent: Where the request went.
        now: Seconds of the call's clock.
    """
    unknown = failure.executed == ("no" if sent.repeated else "maybe")
    return unknown and failure.retry == "same" and now - sent.at < sent.window


def where_sent(call: Call, failure: Failure) -> Sent | None:
    """Where the attempt that failed went, if that server remembers its answers.

    An attempt that did not run is forgotten: the next one may go anywhere.
    """
    sent = call.where_sent
    if sent is not None and failure.executed == "no" and not sent.repeated:
        call.sent = sent = None
    return sent


def after(
    plan: CallPlan,
    history: Sequence[Tried],
    redials: int,
    now: float,
    deadline: float,
    sent: Sent | None = None,
    level: Criticality = USUAL,
) -> Next:
    """Decide what follows a failed attempt.

    Args:
        plan: The call's plan, with the policies and the retry budget that are asked.
        history: The attempts that failed, the one at hand last. Redials are not among them.
        redials: How often the request was sent anew already.
        now: Seconds of the call's clock.
        deadline: When the call ends, on the same clock.
        sent: Where a write went, to a server that remembers its answers; else None.
        level: How important the call is. The retry budget keeps a part for the upper levels.
    """
    failure = history[-1].failure
    share = SHARES[level]
    if sent is not None and (sent.repeated or failure.executed == "maybe"):
        return _after_unknown(plan, history, sent, now, deadline, share)
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
    if now + again.delay >= deadline:
        return Stop(with_note(failure, "no time was left for a retry"))
    # The budget is asked last, when the retry would really be made. It protects servers from the
    # load of retries. A server that was not reached has no load from them, and charging for those
    # would make calls fail beside nodes that are well.
    if failure.reached and not plan.service.budget.withdraw(now, share):
        return Stop(with_note(failure, "not retried: the retry budget of the service is spent"))
    return again


def _after_unknown(
    plan: CallPlan,
    history: Sequence[Tried],
    sent: Sent,
    now: float,
    deadline: float,
    share: float,
) -> Stop | Repeat:
    """What follows once it is unknown whether a write ran: a repetition, or the end.

    Never a redial, and never a retry as if nothing had been sent.
    """
    failure = history[-1].failure
    if not sent.repeated:
        first = failure
    elif failure.executed == "yes" or failure.blame == "caller":
        return Stop(failure)  # it ran, or the call is wrong wherever it is tried
    else:
        # The repetition has brought nothing. What is known is what the first attempt left.
        unknown = next(one.failure for one in history if one.failure.executed == "maybe")
        first = with_note(unknown, f"repeated in vain: {failure.message}")
    if not may_repeat(failure, sent, now) or len(history) > plan.retries:
        return Stop(first)
    again = _asked(plan, history)
    if isinstance(again, Stop):
        return again
    if again is None or again.where != "same":
        return Stop(first)
    if now + again.delay >= min(deadline, sent.at + sent.window):
        return Stop(with_note(first, "no time was left to repeat it"))
    if failure.reached and not plan.service.budget.withdraw(now, share):
        return Stop(with_note(first, "not repeated: the retry budget of the service is spent"))
    return Repeat(again.delay)


def _asked(plan: CallPlan, history: Sequence[Tried]) -> Again | Stop | None:
    """The decision of the fault tolerance. One that breaks its contract costs the call its retry.

    The call keeps the failure that it has: it says what happened to the request. No policy comes
    back to a node sooner than the node asked for. Many calls were told the same, so each comes a
    little later than it was told.
    """
    policy, faults = plan.fault_tolerance, plan.service.faults
    wish = history[-1].failure.retry_after
    try:
        again: Any = policy.next(history, plan.service.rng)
        # A copy of its class may come from another import, so the fields decide.
        if again is None or (again.where in _PLACES and again.delay >= 0):
            if wish and again is not None and again.where == "same":
                later = wish * (1.0 + PUSH_BACK_JITTER * plan.service.rng.random())
                return Again("same", max(again.delay, later))
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
