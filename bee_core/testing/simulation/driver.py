"""Carries out the effects of the call flow in virtual time: the third driver beside ``client/``.

A call is a small object that is woken by events. There is no task and no thread for it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...calls.broken_effects import broken
from ...calls.call import begin
from ...calls.conclusion import conclude
from ...calls.flow import flow
from ...contracts.effects import Attempt, Pause, Race
from .exchange import Ledger
from .world import CALL_ENDED, OUTCOME

if TYPE_CHECKING:
    from ...calls.plan import CallPlan
    from ...contracts.effects import Queue
    from ...terms.failures import Failure, Outcome
    from .counts import Counts, KindCounts
    from .exchange import Exchange
    from .world import World


class Stage:
    """What all calls of a run share.

    Attributes:
        world: The clock.
        counts: What is counted.
        open: How many calls have begun and not ended.
    """

    __slots__ = ("counts", "open", "world")

    def __init__(self, world: World, counts: Counts) -> None:
        self.world = world
        self.counts = counts
        self.open = 0


class SimulatedCall:
    """One call of the application.

    Attributes:
        ledger: What handlers did for it.
    """

    __slots__ = ("_kind", "_queued", "_send", "_stage", "call", "ledger")

    def __init__(self, stage: Stage, plan: CallPlan, kind: KindCounts) -> None:
        """Begin a call now.

        Args:
            stage: The run.
            plan: Of the method.
            kind: Its counts.
        """
        self._stage = stage
        self._kind = kind
        self._queued: Any = None
        self.ledger = Ledger(idempotent=plan.idempotent)
        self.call = call = begin(plan, (), {}, 0, b"", False)
        self._send = flow(call).send
        self.go_on(None)

    def go_on(self, answer: Any) -> None:
        """Answer the flow's last effect, and carry out the next one."""
        try:
            effect: Any = self._send(answer)
        except StopIteration as stop:
            self._ended(stop.value)
            return
        what = type(effect)
        if what is Attempt:
            effect.channel.send(self.call, self)
        elif what is Pause:
            world = self._stage.world
            world.at(world.now + effect.seconds, self.go_on, None)
        elif what is Race:
            Contest(self._stage.world, self, effect)
        else:
            self._queue(effect)

    def answered(self, exchange: Exchange, outcome: Outcome) -> None:
        """An attempt has its outcome; see :class:`.exchange.Owner`."""
        self._stage.world.note(OUTCOME, 0.0 if outcome.ok else 1.0)
        self.go_on(outcome)

    def _ended(self, failure: Failure | None) -> None:
        stage = self._stage
        call, world, counts, kind = self.call, stage.world, stage.counts, self._kind
        stage.open -= 1
        error = None
        if failure is not None or call.plan.service.attentive:
            if failure is not None and call.executed == "no" and self.ledger.runs:
                counts.untrue += 1
            error = conclude(call, failure)
        world.note(CALL_ENDED, float(call.attempts))
        if error is None:
            kind.degraded += call.degraded
            counts.answered(kind, call.started, world.now)
        else:
            counts.failed_call(call.started, getattr(error, "kind", type(error).__name__))

    # The client's limiter.

    def _queue(self, effect: Queue) -> None:
        """Wait for a permit until a moment."""
        world = self._stage.world
        self._queued = turn = object()
        # As events: the callback may come in the middle of another call's release.
        admitted = partial(self._turn, turn)
        world.at(effect.until, partial(self._late, turn), None)
        try:
            effect.ticket.on_admitted(lambda: world.at(world.now, admitted, None))
        except Exception as error:  # a plugin with a bug, as in the other drivers
            self._queued = None
            world.at(world.now, self.go_on, broken(self.call, effect, None, error))

    def _turn(self, turn: object, _: None) -> None:
        if self._queued is turn:
            self._queued = None
            self.go_on(True)

    def _late(self, turn: object, _: None) -> None:
        if self._queued is turn:
            self._queued = None
            self.go_on(False)


class Contest:
    """Attempts that race: the first success wins, and the others are given up.

    A failure while another attempt is open decides nothing. The last failure is the answer when no
    attempt is open; an attempt whose time has not come is then not made, since a retry is the
    flow's decision.
    """

    __slots__ = ("_attempts", "_call", "_delay", "_open", "_world", "ledger")

    def __init__(self, world: World, call: SimulatedCall, race: Race) -> None:
        self._world = world
        self._call = call
        self._attempts = iter(race.attempts)
        self._delay = race.delay
        self._open: list[Exchange] = []
        self.ledger = call.ledger
        self._start(None)

    def _start(self, _: None) -> None:
        attempt = next(self._attempts, None)
        if attempt is None:
            return
        self._open.append(attempt.channel.send(self._call.call, self))
        self._world.at(self._world.now + self._delay, self._start, None)

    def answered(self, exchange: Exchange, outcome: Outcome) -> None:
        """One of the attempts has its outcome."""
        self._open.remove(exchange)
        if self._open and not outcome.ok:
            return
        for other in self._open:
            other.channel.cancel(other)
        self._open.clear()
        self._attempts = iter(())
        self._call.answered(exchange, outcome)
