"""What all breakers share: the states of a node, how long it is cut off, and how many nodes may be.

A breaker of its own kind says *when* a node is cut off. The rest stands here:

========= ====================================================================================
state     meaning
========= ====================================================================================
closed    every call gets a permit
open      no call gets one; the core pings the node. A ping that is answered before the ejection
          time is over changes nothing
half-open a ping was answered; one call at a time may try the node. ``trials`` successes in a row
          close the breaker, a failure opens it again
========= ====================================================================================

The ejection time grows as in gRPC's proposal A50: ``base_ejection_time`` times the number of
ejections, ``max_ejection_time`` at most. A node that stays closed is forgiven one ejection after
the other. A node counts as cut off until its breaker is closed again, because a half-open one takes
one call at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import ceil, floor
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from bee_core.interfaces import BreakerState, Change, Node, Outcome, Permit
from bee_core.options import validator

from .verdicts import said, verdict_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .verdicts import Verdict

    Key = tuple[str, str]

B = TypeVar("B", bound="NodeBreaker")

share = validator(lambda value: "" if 0 < value <= 1 else "a share above 0 and up to 1, as 0.1")
"""A validator: a share of something that is not nothing."""

share_or_none = validator(lambda value: "" if 0 <= value <= 1 else "a share from 0 to 1, as 0.5")
"""A validator: a share of something."""

_ROUNDING = 1e-9  # 0.1 * 30 is a little more than 3


@attrs.frozen
class Rules:
    """How nodes are cut off and come back; what the options of a breaker say of it.

    Attributes:
        max_ejected: The share of the nodes that may be cut off at a time; always at least one.
        panic_threshold: The share of the nodes that is never cut off; this one goes first.
        base_ejection_time: Seconds of the first ejection.
        max_ejection_time: Seconds of any ejection at most, or the base if that is longer.
        forgiven_after: Seconds closed after which a node is forgiven one ejection; 0: all at once.
        trials: Successes in a row that close a half-open breaker.
    """

    max_ejected: float
    panic_threshold: float
    base_ejection_time: float
    max_ejection_time: float
    forgiven_after: float
    trials: int

    def may_be_cut_off(self, nodes: int) -> int:
        """How many of so many nodes may be cut off at a time."""
        most = max(1, floor(self.max_ejected * nodes + _ROUNDING))
        left = ceil(self.panic_threshold * nodes - _ROUNDING)
        return max(0, min(most, nodes - left))


class EjectingBreakers(ABC, Generic[B]):
    """The breakers of a service's nodes, and which of them are not closed. Thread-safe.

    One lock guards all of them: it is taken for failures and changes, and not for successes.

    Attributes:
        lock: Guards everything here and the fields of the breakers.
        rules: How nodes are cut off.
        breakers: Those whose nodes are in the list, by id and url.
    """

    def __init__(self, rules: Rules) -> None:
        self.lock = Lock()
        self.rules = rules
        self.breakers: dict[Key, B] = {}
        self._ejected: dict[Key, NodeBreaker] = {}  # in the order of their ejections
        self._nodes: int | None = None

    @abstractmethod
    def make(self, node: Node) -> B:
        """A new breaker for a node."""

    @abstractmethod
    def sweep(self, now: float) -> tuple[Sequence[Change], float | None]:
        """See :meth:`bee_core.interfaces.Breakers.sweep`."""

    def node(self, node: Node) -> B:
        """See :meth:`bee_core.interfaces.Breakers.node`."""
        breaker = self.make(node)
        with self.lock:
            self._ejected.pop(breaker.key, None)  # of one that was never said to have left
            self.breakers[breaker.key] = breaker
        return breaker

    def forget(self, node: Node) -> None:
        """See :class:`bee_core.interfaces.Breakers`. The breaker cuts nothing off any more."""
        with self.lock:
            breaker = self.breakers.pop((node.id, node.url), None)
            self._ejected.pop((node.id, node.url), None)
            if breaker is not None:
                breaker.left = True

    def resize(self, nodes: int) -> Sequence[Change]:
        """See :class:`bee_core.interfaces.Breakers`.

        Those cut off first come back, if too many are cut off now.
        """
        with self.lock:
            self._nodes = nodes
            excess = len(self._ejected) - self.rules.may_be_cut_off(nodes)
            return [one.close(None) for one in list(self._ejected.values())[: max(0, excess)]]

    def after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self.lock = Lock()

    def has_room(self) -> bool:
        """Whether one more node may be cut off. The caller holds the lock."""
        nodes = len(self.breakers) if self._nodes is None else self._nodes
        return len(self._ejected) < self.rules.may_be_cut_off(nodes)

    def note(self, breaker: NodeBreaker) -> None:
        """A breaker has changed its state. The caller holds the lock."""
        if breaker.state == "closed":
            self._ejected.pop(breaker.key, None)
        elif not breaker.left:
            self._ejected.setdefault(breaker.key, breaker)


class NodeBreaker(ABC):
    """The breaker of one node: its states, its trials, its ejection times. Thread-safe.

    A permit is the token of the period in which it was given. When a call ends after its period
    (it began before the node was cut off, for example), its outcome is ignored.

    Args:
        node: The node.
        breakers: Those of the service.

    Attributes:
        state: See :data:`bee_core.interfaces.BreakerState`.
        standing: See :class:`bee_core.interfaces.Breaker`.
        key: The node's id and url.
        left: Whether the node has left the list.
    """

    __slots__ = (
        "_breakers",
        "_closed_since",
        "_open_to_all",
        "_passed",
        "_reason",
        "_times",
        "_trial",
        "_until",
        "key",
        "left",
        "node",
        "standing",
        "state",
    )

    def __init__(self, node: Node, breakers: EjectingBreakers[Any]) -> None:
        self.state: BreakerState = "closed"
        self.node = node
        self.key = (node.id, node.url)
        self.left = False
        self._breakers = breakers
        # The token of a closed period, the same for all its calls.
        self._open_to_all: Permit | None = object()
        self.standing = self._open_to_all
        # The token of the one call in flight while half-open.
        self._trial: Permit | None = None
        self._passed = 0  # successes in a row while half-open
        self._times = 0  # ejections that are not forgiven
        self._until = 0.0  # when the ejection time is over
        self._closed_since = 0.0
        self._reason = ""

    # What a kind of breaker says.

    @abstractmethod
    def took(self, verdict: Verdict, permit: Permit) -> bool:
        """Take a verdict without the lock, if it changes nothing; whether it was taken."""

    @abstractmethod
    def judge(self, verdict: Verdict, outcome: Outcome | None, now: float) -> str:
        """Count a verdict on a closed node; why the node is to be cut off, or the empty text.

        The caller holds the lock.
        """

    @abstractmethod
    def begin(self, now: float | None) -> None:
        """The node is closed again: count anew. The caller holds the lock."""

    # What the core calls.

    def admit(self, now: float) -> Permit | None:
        """See :meth:`bee_core.interfaces.Breaker.admit`.

        It takes no lock while the breaker is closed, which is nearly always.
        """
        permit = self._open_to_all
        if permit is not None or self.state == "open":
            return permit
        trial: Permit | None = None
        try:
            with self._breakers.lock:
                if self.state != "half-open":
                    return self._open_to_all
                if self._trial is not None:
                    return None
                trial = self._trial = object()
                return trial
        except BaseException:
            # A handler of signals raised before anybody heard of the trial.
            if trial is not None and self._trial is trial:
                self._trial = None
            raise

    def settle(
        self, permit: Permit, outcome: Outcome | None, seconds: float, now: float
    ) -> Change | None:
        """See :meth:`bee_core.interfaces.Breaker.settle`."""
        verdict = verdict_of(outcome)
        if permit is self._open_to_all and self.took(verdict, permit):
            return None
        with self._breakers.lock:
            if permit is self._trial:
                self._trial = None
                return self._end_trial(verdict, outcome, now)
            if permit is not self._open_to_all:
                return None
            reason = self.judge(verdict, outcome, now)
            return self.cut_off(reason, now) if reason else None

    def probed(self, ok: bool, now: float) -> Change | None:
        """See :meth:`bee_core.interfaces.Breaker.probed`.

        A ping shows that the node is there. Only a call shows that it works, so the breaker becomes
        half-open and not closed.
        """
        with self._breakers.lock:
            if self.state != "open" or not ok or now < self._until:
                return None
            self._passed = 0
            return self._change("half-open")

    def why(self, now: float) -> str:
        """See :class:`bee_core.interfaces.Breaker`."""
        if self.state == "closed":
            return ""
        left = self._until - now
        times = "" if self._times < 2 else f" (ejection {self._times} in a row)"
        until = f"; tried again in {left:.0f} s at the earliest" if left > 0 else ""
        return f"{self._reason}{times}{until}"

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`.

        The state stays. The trial belongs to a thread that the child does not have.
        """
        self._trial = None

    # What the breakers of the service do. The caller holds the lock.

    def cut_off(self, reason: str, now: float) -> Change | None:
        """Cut the closed node off; None where no more nodes may be cut off."""
        if self.left or not self._breakers.has_room():
            return None
        after = self._breakers.rules.forgiven_after
        forgiven = max(0.0, now - self._closed_since) / after if after else self._times
        self._times = max(0, self._times - int(forgiven))
        return self._eject(reason, now)

    def close(self, now: float | None) -> Change:
        """Take the node back. ``now`` is None where the time is not known."""
        self._trial = None
        self._closed_since = self._until if now is None else now
        self.begin(now)
        self.standing = self._open_to_all = object()
        change = self._change("closed")
        self._reason = ""
        return change

    def _end_trial(self, verdict: Verdict, outcome: Outcome | None, now: float) -> Change | None:
        if verdict == "well":
            self._passed += 1
            return self.close(now) if self._passed >= self._breakers.rules.trials else None
        if verdict != "ill":
            return None
        return self._eject(f"it failed when it was tried: {said(outcome)}", now)

    def _eject(self, reason: str, now: float) -> Change:
        rules = self._breakers.rules
        self._times += 1
        longest = max(rules.base_ejection_time, rules.max_ejection_time)
        self._until = now + min(rules.base_ejection_time * self._times, longest)
        self._reason = reason
        self.standing = self._open_to_all = None
        return self._change("open")

    def _change(self, after: BreakerState) -> Change:
        change = Change(self.node, self.state, after)
        self.state = after
        self._breakers.note(self)
        return change
