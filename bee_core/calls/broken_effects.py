"""What a driver answers the flow where a plugin kept it from carrying out an effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..contracts.effects import Queue
from ..contracts.plugin_faults import kind_of
from ..errors import CALL_ERRORS
from ..terms.causes import read_timed_out
from ..terms.failures import Failure, Outcome, Success, raised

if TYPE_CHECKING:
    from ..contracts.effects import Effect
    from ..errors import Executed
    from ..terms.node import Node
    from .call import Call


def checked(call: Call, pending: Any, answer: Any, node: Node | None = None) -> Outcome:
    """What a channel answered, if it is an outcome; else the fault of the channel.

    Args:
        call: The call.
        pending: The request on the channel; it is given up where the answer is no outcome.
        answer: What the channel answered.
        node: Where the request went, if that is not the call's last node.
    """
    if isinstance(answer, Success) or (
        isinstance(answer, Failure)
        and answer.kind in CALL_ERRORS
        and answer.executed in {"no", "maybe", "yes"}
    ):
        return answer
    give_up(call, pending, node)
    service = call.plan.service
    if answer is None and service.clock() >= call.deadline:
        return late(call)  # the channel did not say it in time
    what = "a Failure with wrong fields" if isinstance(answer, Failure) else kind_of(answer)
    # The request may have gone out.
    return raised(
        service.faults.wrong(
            _transport(call, node), "wait", f"gave {what} where an outcome was due", "maybe"
        )
    )


def broken(
    call: Call,
    effect: Effect,
    pending: Any,
    error: Exception,
    *,
    sent: bool = True,
    node: Node | None = None,
) -> Failure:
    """The answer to an effect that a plugin kept from being carried out, by what it raised.

    Args:
        call: The call.
        effect: The effect.
        pending: The request on a channel; it is given up. None where there is none.
        error: What the plugin raised.
        sent: Whether the request may have gone out.
        node: Where it went, if that is not the call's last node.
    """
    service = call.plan.service
    if type(effect) is Queue:
        return raised(service.faults.fault(call.plan.limiter, "on_admitted", error))
    give_up(call, pending, node)
    doing = "start" if pending is None else "wait"
    executed: Executed = "maybe" if sent else "no"
    return raised(service.faults.fault(_transport(call, node), doing, error, executed))


def give_up(call: Call, pending: Any, node: Node | None = None) -> None:
    """Cancel a request, whatever its channel makes of that.

    Args:
        call: The call.
        pending: The request on a channel, or None.
        node: Where it went, if that is not the call's last node.
    """
    if pending is None:
        return
    try:
        pending.cancel()
    except Exception as error:  # the call ends all the same
        call.plan.service.faults.said(_transport(call, node), "cancel", error)


def let_go(call: Call, pending: Any, node: Node | None = None) -> None:
    """Give up a request that did nothing wrong: its channel may keep the connection.

    Args:
        call: The call.
        pending: The request on a channel, or None.
        node: Where it went.
    """
    if pending is None:
        return
    doing = "let_go" if hasattr(pending, "let_go") else "cancel"
    try:
        getattr(pending, doing)()
    except Exception as error:  # the call ends all the same
        call.plan.service.faults.said(_transport(call, node), doing, error)


def late(call: Call) -> Failure:
    """The outcome of a request that its channel has not ended at the deadline."""
    return read_timed_out(call.read_timeout, full=False)


def _transport(call: Call, node: Node | None = None) -> object:
    node = node or call.node
    return None if node is None else call.plan.service.transport_of(node)
