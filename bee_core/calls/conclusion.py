"""How a call ends: the fallback, the observers, and the error to raise if there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..contracts.observers import CallRecord
from ..contracts.policies import PastResult
from ..terms.causes import cancelled
from ..terms.failures import to_error
from .application_errors import as_declared, read_details
from .recording import abandoned, failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contracts.policies import Fallback
    from ..errors import CallError
    from ..terms.failures import Failure, Success
    from ..terms.request import Request
    from .call import Call


def conclude(call: Call, failure: Failure | None) -> Exception | None:
    """End a call that the flow has made.

    A driver skips it for a success where the service is not ``attentive``.

    Returns:
        None when the call has a value (``call.value``), else the error: a ``CallError``, an
        exception that the method declares, or whatever a fallback raised instead of it.
    """
    plan = call.plan
    error: Exception | None = None
    recorder = plan.service.recorder
    if failure is not None:
        said = to_error(
            failure,
            service=plan.service.name,
            method=plan.method,
            node=call.node,
            attempts=call.attempts,
            executed=call.executed,
        )
        if failure.details:
            read_details(plan.service, failure, said)
        error = said if plan.fallback is None else _degrade(call, plan.fallback, said)
        if error is said and failure.code and plan.errors:
            error = as_declared(plan.service, plan.errors, failure, said)
        if recorder is not None:
            name = plan.service.faults.name(plan.fallback) if call.degraded else ""
            failed(recorder, call, failure, name)
    else:
        if plan.learn is not None and call.reply is not None and not plan.oneway:
            _teach(call, plan.learn, call.reply)
        if plan.service.degradation.methods:
            plan.service.recovered(call.method)
    if plan.service.observation.of_calls:
        _observe(call, failure)
    return error


def abandon(call: Call) -> None:
    """End a call whose caller is gone (a cancelled task, Ctrl-C): there is nobody to answer."""
    recorder = call.plan.service.recorder
    if recorder is not None:
        abandoned(recorder, call)
    if call.plan.service.observation.of_calls:
        _observe(call, cancelled("the caller gave up", sent=call.attempts > 0))


def _observe(call: Call, failure: Failure | None) -> None:
    states = getattr(call, "states", None)
    if states is None:
        return  # given up before it began
    service = call.plan.service
    seconds = service.clock() - call.started
    service.observation.call_ended(
        states,
        CallRecord(
            service.name,
            call.method,
            call.node,
            call.attempts,
            seconds,
            failure,
            call.degraded,
            call.reply_metadata if failure is None else failure.metadata,
        ),
    )


def _teach(call: Call, learn: Callable[[Request, PastResult], object], reply: Success) -> None:
    """Hand a result to a fallback that learns."""
    service = call.plan.service
    try:
        learn(call, PastResult(reply.body, service.clock(), service.clock))
    except Exception as error:  # the call has its result
        service.faults.said(call.plan.fallback, "learn", error)


def _degrade(call: Call, fallback: Fallback, error: CallError) -> Exception | None:
    plan = call.plan
    try:
        past = plan.recall and plan.recall(call, error)
        if past is None:
            call.value = fallback.answer(
                plan.service.name, plan.method, call.args, call.kwargs, error
            )
        else:
            call.value = plan.codec.decode_result(past.body)
            call.age = past.age()
    except Exception as declined:  # the contract lets it raise what it likes
        return declined
    call.degraded = True
    plan.service.degraded(plan.method, fallback, error)
    return None
