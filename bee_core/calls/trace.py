"""One call, recorded attempt by attempt: its node, its end, and the decision that followed.

An ordinary call runs none of this. Only a traced call has the recorder between driver and flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

from ..contracts.effects import Attempt, Effect, Queue
from ..terms.failures import Failure, Outcome
from .flow import flow
from .retries import may_retry

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..terms.node import Node
    from .call import Call

StepKind = Literal["attempt", "pause", "queue"]


@attrs.frozen
class Step:
    """One thing that a call waited for.

    Attributes:
        kind: ``attempt``: a request to a node. ``pause``: before a retry. ``queue``: the limiter's.
        seconds: How long it took.
        node: The node of an attempt, else None.
        failure: Why it failed; None when it did not.
        decision: What was done then, and why.
    """

    kind: StepKind
    seconds: float
    node: Node | None = None
    failure: Failure | None = None
    decision: str = ""


@attrs.frozen
class CallTrace:
    """How one call went.

    Attributes:
        service: The service's name.
        method: The method's name.
        steps: In order. Empty when it ended before it waited for anything, such as without a node.
        seconds: From the arguments encoded to the end.
        attempts: Attempts that count. A redial of a request that no server saw does not.
        degraded: Whether a fallback answered.
        value: The result, where there is one.
        error: The error that the call would have raised, or None.
    """

    service: str
    method: str
    steps: tuple[Step, ...]
    seconds: float
    attempts: int
    degraded: bool
    value: Any
    error: Exception | None


class CallRecorder:
    """Runs the flow of one call and records it: hand :meth:`flow` to the driver.

    Belongs to the thread or task that makes the call.
    """

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._end: Failure | None = None

    def flow(self, call: Call) -> Generator[Effect, Any, Failure | None]:
        """:func:`bee_core.calls.flow.flow`, with each effect and its answer recorded."""
        clock = call.plan.service.clock
        steps = flow(call)
        answer: Any = None
        try:
            while True:
                effect = steps.send(answer)
                began = clock()
                answer = yield effect
                self._steps.append(_step(effect, answer, call.node, clock() - began))
        except StopIteration as stop:
            self._end = stop.value
            return self._end
        finally:
            # A caller that gives up closes this generator. The inner one then settles its permits.
            steps.close()

    def finish(self, call: Call, error: Exception | None) -> CallTrace:
        """The trace of a call that a driver has ended with this error."""
        decided = tuple(
            attrs.evolve(step, decision=self._decision(call, index))
            for index, step in enumerate(self._steps)
        )
        service = call.plan.service
        return CallTrace(
            service.name,
            call.method,
            decided,
            service.clock() - call.started,
            call.attempts,
            call.degraded,
            call.value,
            error,
        )

    def _decision(self, call: Call, index: int) -> str:
        step = self._steps[index]
        following = self._steps[index + 1] if index + 1 < len(self._steps) else None
        if step.kind != "attempt":
            if following is not None:
                return "go on"
            if step.failure is not None:
                return f"give up: {step.failure.message}"
            failed = [one.failure for one in self._steps if one.kind == "attempt" and one.failure]
            note = self._note(failed[-1] if failed else None)
            return f"give up: {note or 'no node is left to try'}"
        if step.failure is None:
            if self._end is not None:
                return "give up: the result cannot be decoded"
            return "sent, and that is all of a oneway call" if call.oneway else "return the result"
        if following is None:
            return f"give up: {self._why_given_up(call, step.failure)}"
        where = self._where_next(index)
        if step.failure.token_refused:
            return f"send anew{where}: nothing ran, and the token's function is asked again"
        if following.kind == "pause":
            return f"retry{where} after a pause"
        if step.failure.unsent and step.failure.executed == "no":
            return f"send anew{where}: the server provably did not see it, so it is no attempt"
        return f"retry{where}"

    def _where_next(self, index: int) -> str:
        """Which node the next attempt went to; empty if there was none."""
        later = [one.node for one in self._steps[index + 1 :] if one.kind == "attempt"]
        if not later:
            return ""
        return " on the same node" if later[0] == self._steps[index].node else " on another node"

    def _note(self, failure: Failure | None) -> str:
        """Why the flow gave up: what it has added to the message of the last failure."""
        end = "" if self._end is None else self._end.message
        return end.removeprefix("" if failure is None else failure.message).removeprefix("; ")

    def _why_given_up(self, call: Call, failure: Failure) -> str:
        plan = call.plan
        note = self._note(failure)
        if note:
            return note
        if failure.retry == "never":
            return "such a failure is the same wherever it is tried"
        if not may_retry(failure, idempotent=plan.idempotent):
            return (
                "it ran"
                if failure.executed == "yes"
                else "it may have run, and the method is not marked idempotent"
            )
        if sum(step.kind == "attempt" for step in self._steps) > plan.retries:
            return f"retries ({plan.retries}) are used up"
        return f"{plan.service.config.method(call.method).fail.name} does not retry this"


def _step(
    effect: Effect, answer: Outcome | bool | Failure | None, node: Node | None, seconds: float
) -> Step:
    failure = answer if isinstance(answer, Failure) else None
    if isinstance(effect, Attempt):
        return Step("attempt", seconds, node, failure)
    if answer is False:
        over = "the wait for the limiter was over"
        failure = Failure("overloaded", over, "no", "never", "caller")
    return Step("queue" if isinstance(effect, Queue) else "pause", seconds, None, failure)
