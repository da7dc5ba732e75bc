"""The attempts of a call that run at the same time: how each begins, and how each ends.

A race has two of them, a broadcast many. Each holds a permit of its node's breaker, perhaps a pick
of the balancer, and a request on a channel. Whatever happens to the call, all of it goes back:

- An attempt that has ended is settled with its outcome, by :func:`settle_ended`.
- Any other one is given up on the wire by :func:`leave`, and settled without a verdict.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from ..contracts.effects import Entrant
from .broken_effects import give_up
from .connecting import bounded
from .recording import note
from .settling import give_up as give_back_picked
from .settling import settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..contracts.policies import Permit
    from ..nodes.node_state import NodeState
    from .call import Call


class Runner(Entrant):
    """An attempt beside others, with what it has to give back.

    Attributes:
        state: The node's state.
        permit: The permit of the node's breaker, or None.
        picked: Whether the balancer picked the node.
        began: When it began.
        settled: Whether all of this went back.
    """

    __slots__ = ("_call", "began", "permit", "picked", "settled", "state")

    def __init__(
        self,
        call: Call,
        state: NodeState[Any],
        permit: Permit | None,
        picked: bool,
        moment: int,
        connect_within: float = inf,
    ) -> None:
        service = call.plan.service
        attempt = state.attempt or service.connect(state)
        super().__init__(call, state.node, attempt.channel, moment, connect_within)
        self._call = call
        self.state = state
        self.permit = permit
        self.picked = picked
        self.began = service.clock()
        self.settled = False

    def may_connect(self, now: float) -> float:
        """See :meth:`bee_core.terms.request.Request.may_connect`.

        A node of a broadcast was not picked, and no other one can take its place.
        """
        call = self._call
        if not self.picked:
            return self.connect_timeout
        return bounded(call.plan, self.node, call.attempts, self.deadline - now)


def enter(call: Call, runners: list[Runner], runner: Runner) -> None:
    """Add an attempt: what the call held for it is the attempt's from now on."""
    runners.append(runner)
    _disown(call, runners)
    call.attempts += 1


def settle_ended(call: Call, runners: Sequence[Runner]) -> None:
    """Settle those that have an outcome. Belongs in a ``finally``: an outcome is not lost."""
    for runner in runners:
        if runner.outcome is not None and not runner.settled:
            _settle(call, runner)


def leave(call: Call, runners: Sequence[Runner]) -> None:
    """Give up what still runs, and give everything back. Belongs in a ``finally``."""
    _disown(call, runners)
    try:
        if call.permit is not None or call.picked is not None:
            give_back_picked(call)
    finally:
        _leave_each(call, runners, 0)


def _leave_each(call: Call, runners: Sequence[Runner], at: int) -> None:
    """Each one leaves, also where the one before raised (a handler of signals)."""
    while at < len(runners) and runners[at].settled:
        at += 1
    if at == len(runners):
        return
    runner = runners[at]
    try:
        if runner.outcome is None:
            give_up(call, runner.pending, runner.node)
            note(call, "loser", runner.node)
    finally:
        try:
            _settle(call, runner)
        finally:
            _leave_each(call, runners, at + 1)


def _disown(call: Call, runners: Sequence[Runner]) -> None:
    """What an attempt has, the call has no more: it must go back once."""
    for runner in runners:
        if call.permit is not None and call.permit is runner.permit and call.asked is runner.state:
            call.permit = None
        if call.picked is not None and runner.picked and call.picked is runner.node:
            call.picked = None


def _settle(call: Call, runner: Runner) -> None:
    runner.settled = True
    settle(call, runner.state, runner.permit, runner.picked, runner.outcome, runner.began)
