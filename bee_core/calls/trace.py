"""One call, recorded attempt by attempt: its node, its end, and the decision that followed.

An ordinary call runs none of this. Only a traced call has the recorder between driver and flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from ..contracts.effects import Attempt, Effect, Queue, Race
from ..terms.failures import Failure, Outcome
from .flow import flow
from .steps import Step, decided

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..contracts.effects import Entrant
    from ..terms.node import Node
    from .call import Call


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
        self._racing: dict[Entrant, float] = {}

    def flow(self, call: Call) -> Generator[Effect, Any, Failure | None]:
        """:func:`bee_core.calls.flow.flow`, with each effect and its answer recorded."""
        clock = call.plan.service.clock
        steps = flow(call)
        answer: Any = None
        try:
            while True:
                effect = steps.send(answer)
                began = clock()
                if type(effect) is Race:
                    self._enter(call, effect, began)
                    answer = yield effect
                    if answer is not None:
                        seconds = clock() - self._racing.pop(answer)
                        self._steps.append(_step(effect, answer.outcome, answer.node, seconds))
                    continue
                answer = yield effect
                self._steps.append(_step(effect, answer, call.node, clock() - began))
        except StopIteration as stop:
            self._end = stop.value
            return self._end
        finally:
            # A caller that gives up closes this generator. The inner one then settles its permits.
            steps.close()
            ended = clock()
            for entrant, began in self._racing.items():
                self._steps.append(Step("loser", ended - began, entrant.node))

    def _enter(self, call: Call, race: Race, now: float) -> None:
        """Note the attempts that begin now, and after which delay."""
        beside = tuple(self._racing.items()) if call.plan.targets is None else ()
        for entrant in race.entrants:
            if entrant.begun:
                continue
            if beside:
                first, began = beside[0]
                self._steps.append(Step("hedge", now - began, first.node))
            self._racing[entrant] = now

    def finish(self, call: Call, error: Exception | None) -> CallTrace:
        """The trace of a call that a driver has ended with this error."""
        service = call.plan.service
        return CallTrace(
            service.name,
            call.method,
            decided(self._steps, call, self._end),
            service.clock() - call.started,
            call.attempts,
            call.degraded,
            call.value,
            error,
        )


def _step(
    effect: Effect, answer: Outcome | bool | Failure | None, node: Node | None, seconds: float
) -> Step:
    failure = answer if isinstance(answer, Failure) else None
    if isinstance(effect, (Attempt, Race)):
        return Step("attempt", seconds, node, failure)
    if answer is False:
        over = "the wait for the limiter was over"
        failure = Failure("overloaded", over, "no", "never", "caller")
    return Step("queue" if isinstance(effect, Queue) else "pause", seconds, None, failure)
