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
from ...calls.picking import Repeating
from ...contracts.effects import Attempt, Pause, Race
from .exchange import Ledger
from .world import CALL_ENDED, OUTCOME

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    __slots__ = ("_awaited", "_kind", "_send", "_stage", "call", "ledger")

    def __init__(self, stage: Stage, plan: CallPlan, kind: KindCounts) -> None:
        """Begin a call now.

        Args:
            stage: The run.
            plan: Of the method.
            kind: Its counts.
        """
        self._stage = stage
        self._kind = kind
        self._awaited: object = None
        self.ledger = Ledger(
            idempotent=plan.idempotent,
            everywhere=plan.targets is not None,
            everyone=kind.everyone,
            key=plan.key,
        )
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
            way = effect.channel
            if type(way) is Repeating:
                way.channel.repeat(self.call, self)
            else:
                way.send(self.call, self)
        elif what is Pause:
            world = self._stage.world
            world.at(world.now + effect.seconds, self.go_on, None)
        elif what is Race:
            self._race(*effect)
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
        if not call.attempts:
            counts.unsent[counts.window(call.started)] += 1
        if self.ledger.heard is not None:
            kind.heard += len(self.ledger.heard)
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

    # Attempts beside each other.

    def _race(self, entrants: Sequence[Any], seconds: float | None) -> None:
        """Begin those that have not begun, and wait for the first that ends, or for so long."""
        for entrant in entrants:
            if not entrant.begun:
                Entry(self, entrant)
        world = self._stage.world
        self._awaited = turn = object()
        ended = next((one for one in entrants if one.outcome is not None), None)
        if ended is not None:
            world.at(world.now, partial(self._wake, turn, ended), None)
        elif seconds is not None:
            world.at(world.now + seconds, partial(self._wake, turn, None), None)

    def race_ended(self, entrant: Any) -> None:
        """One of them has ended. Where nobody waits just now, the next race finds it ended."""
        if self._awaited is not None:
            self._awaited = None
            self._stage.world.note(OUTCOME, 0.0 if entrant.outcome.ok else 1.0)
            self.go_on(entrant)

    # The client's limiter.

    def _queue(self, effect: Queue) -> None:
        """Wait for a permit until a moment."""
        world = self._stage.world
        self._awaited = turn = object()
        # As events: the callback may come in the middle of another call's release.
        admitted = partial(self._wake, turn, True)
        world.at(effect.until, partial(self._wake, turn, False), None)
        try:
            effect.ticket.on_admitted(lambda: world.at(world.now, admitted, None))
        except Exception as error:  # a plugin with a bug, as in the other drivers
            self._awaited = None
            world.at(world.now, self.go_on, broken(self.call, effect, None, error))

    def _wake(self, turn: object, answer: Any, _: None) -> None:
        """Go on, if this is what the call waits for."""
        if self._awaited is turn:
            self._awaited = None
            self.go_on(answer)


class Entry:
    """One attempt beside others of its call: see ``Race`` in ``contracts/effects.py``.

    It is the owner of the exchange, and what the flow gives up where another attempt has won.

    Attributes:
        ledger: That of the call.
    """

    __slots__ = ("_call", "_entrant", "_exchange", "ledger")

    def __init__(self, call: SimulatedCall, entrant: Any) -> None:
        self._call = call
        self._entrant = entrant
        self.ledger = call.ledger
        entrant.begun = True
        entrant.pending = self
        self._exchange: Exchange = entrant.channel.send(entrant, self)

    def answered(self, exchange: Exchange, outcome: Outcome) -> None:
        """It has its outcome."""
        self._entrant.pending = None
        self._entrant.outcome = outcome
        self._call.race_ended(self._entrant)

    def cancel(self) -> None:
        """Give it up on the wire."""
        self._exchange.channel.cancel(self._exchange)
