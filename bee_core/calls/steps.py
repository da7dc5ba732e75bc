"""The steps of one call, and the decision that followed each: for a trace, and for the recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

from .retries import may_retry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..terms.failures import Failure
    from ..terms.node import Node
    from .call import Call

StepKind = Literal["attempt", "pause", "queue", "breaker", "hedge", "loser"]

_SAID: dict[StepKind, str] = {
    "breaker": "pass over: its breaker gives no permit",
    "hedge": "no reply yet: send it to another node as well",
    "loser": "give this attempt up: the other one has decided the call",
}
"""What follows the steps that a call does not wait for."""
_OF_FAILURES = ("kind", "message", "executed", "blame", "retry", "reached")


@attrs.frozen
class Step:
    """One thing that a call waited for, or was turned away from.

    Attributes:
        kind: ``attempt``: a request to a node. ``pause``: before a retry. ``queue``: the limiter's.
            ``breaker``: a node that was picked, and whose breaker gave no permit. ``hedge``: the
            delay after which a second attempt began. ``loser``: an attempt that was given up for
            another one.
        seconds: How long it took.
        node: The node, but for ``pause`` and ``queue``.
        failure: Why it failed; None when it did not.
        decision: What was done then, and why.
    """

    kind: StepKind
    seconds: float
    node: Node | None = None
    failure: Failure | None = None
    decision: str = ""

    def as_object(self) -> dict[str, Any]:
        """The step for JSON."""
        failure = self.failure
        return {
            "kind": self.kind,
            "node": None if self.node is None else self.node.url,
            "seconds": round(self.seconds, 6),
            "failure": None
            if failure is None
            else {name: getattr(failure, name) for name in _OF_FAILURES},
            "decision": self.decision,
        }


def decided(steps: Sequence[Step], call: Call, end: Failure | None) -> tuple[Step, ...]:
    """The steps of a call that has ended, each with what was decided then.

    Args:
        steps: What it waited for, in order.
        call: The call.
        end: What the flow ended with; None for a result.
    """
    waits = [step for step in steps if step.kind not in _SAID]
    told = _Decisions(waits, call, end)
    numbers = iter(range(len(waits)))
    return tuple(
        attrs.evolve(
            step,
            decision=_SAID.get(step.kind) or told.after(next(numbers)),
        )
        for step in steps
    )


class _Decisions:
    def __init__(self, steps: Sequence[Step], call: Call, end: Failure | None) -> None:
        self._steps = steps
        self._call = call
        self._end = end

    def after(self, index: int) -> str:
        """What was decided after a step."""
        step, call = self._steps[index], self._call
        if call.plan.targets is not None and hasattr(call, "answers"):
            return self._of_many(index)
        if step.kind == "attempt":
            return self._after_attempt(index, step)
        if index + 1 < len(self._steps):
            return "go on"
        if step.failure is not None:
            return f"give up: {step.failure.message}"
        failed = [one.failure for one in self._steps if one.kind == "attempt" and one.failure]
        note = self._note(failed[-1] if failed else None)
        return f"give up: {note or 'no node is left to try'}"

    def _after_attempt(self, index: int, step: Step) -> str:
        call = self._call
        if step.failure is None:
            if self._end is not None:
                return "give up: the result cannot be decoded"
            return "sent, and that is all of a oneway call" if call.oneway else "return the result"
        if index + 1 == len(self._steps):
            return f"give up: {self._why_given_up(step.failure)}"
        where = self._where_next(index)
        if step.failure.token_refused:
            return f"send anew{where}: nothing ran, and the token's function is asked again"
        if step.failure.executed == "maybe" and not call.plan.idempotent:
            return f"repeat{where}: its process remembers the answers that it gave"
        if self._steps[index + 1].kind == "pause":
            return f"retry{where} after a pause"
        if step.failure.unsent and step.failure.executed == "no":
            return f"send anew{where}: the server provably did not see it, so it is no attempt"
        return f"retry{where}"

    def _of_many(self, index: int) -> str:
        """What was decided after a step of a call that went to several nodes."""
        step = self._steps[index]
        if step.kind != "attempt":
            return "go on"
        if step.failure is None:
            return "take its answer"
        later = [one for one in self._steps[index + 1 :] if one.kind == "attempt"]
        again = any(one.node == step.node for one in later)
        return "retry on the same node" if again else "no answer of this node"

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

    def _why_given_up(self, failure: Failure) -> str:
        call, plan = self._call, self._call.plan
        note = self._note(failure)
        if note:
            return note
        if failure.retry == "never":
            return "such a failure is the same wherever it is tried"
        if not may_retry(failure, idempotent=plan.idempotent):
            return "it ran" if failure.executed == "yes" else self._why_unknown()
        if call.where_sent is not None and call.executed == "maybe":
            return "the repetition did not run, so it stays unknown whether the call ran"
        if sum(step.kind == "attempt" for step in self._steps) > plan.retries:
            return f"retries ({plan.retries}) are used up"
        return f"{plan.service.config.method(call.method).fail.name} does not retry this"

    def _why_unknown(self) -> str:
        """Why a call that may have run is not sent again."""
        unknown = "it may have run, and the method is not marked idempotent"
        sent = self._call.where_sent
        if sent is None:
            return unknown
        if sent.repeated:
            return f"{unknown}; it was repeated once already"
        return f"{unknown}; it is not repeated by these retries, this plugin or in this time"
