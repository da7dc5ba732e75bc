"""Limiter ``throttle``: a client stops sending what its servers refuse anyway.

A server that refuses a call has spent time on it. Where clients go on sending, refusals alone can
take all of its time. This is the client-side throttling of Google's *Site Reliability Engineering*,
chapter 21: a client counts the requests and those that the servers have accepted over a window of
time, and refuses by itself, before anything is sent, with the probability::

    max(0, (requests - k * accepts) / (requests + 1))

So about ``k`` times as many requests go out as are accepted: enough to hear soon that the servers
are well again.

What differs:

- The refusals are not drawn: the probabilities are added up, and each time that one is due, a call
  is refused. So nothing here is random.
- There are no counts for each level of criticality: the refusals that are due go to the lowest
  level that has calls.
- The window is ten seconds and not two minutes, and it ends as soon as the servers are well. While
  they are not, they refuse about half of what goes out (``k`` is 2). Where they have refused
  nothing for a twelfth of the window, and have accepted some calls since, the past is forgotten.
  Without that, the requests of an overload stay in the window, and the client refuses calls that
  the servers have room for until all of them have left it.
"""

from __future__ import annotations

from math import floor
from threading import Lock
from typing import Literal

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import (
    AnyRequest,
    Criticality,
    Failure,
    Limiter,
    Outcome,
    Ticket,
    local,
)
from bee_core.options import Seconds, at_least, between

from .queueing import level_of

_STEPS = 12
"""Steps in which the window moves: of 0.8 s each, so that the end of an overload is soon seen."""
_WELL = 5
"""Calls that must be accepted in a row, for a whole step at least, until the past is forgotten. If
it was chance, a dozen calls find out, and the client keeps calls back again."""
_PAYS_FROM: dict[Criticality, float] = {
    "sheddable": 1.0,
    "sheddable_plus": 2.0,
    "critical": 4.0,
    "critical_plus": 8.0,
}
"""How many refusals must be due before a call of a level is refused.

As long as the calls of a lower level can pay for all of them, a higher level pays for none. From 8
on every call pays, so no more than 9 are ever due.
"""


@attrs.frozen
class ThrottleOptions:
    """Options of ``throttle``.

    Attributes:
        k: Requests that may go out for each that is accepted: 2, as in the book. Lower saves the
            servers more work, and the client hears later that they are well again.
        window: Seconds that are looked at, a millisecond or more. 10, as the windows of
            ``success-rate`` and of the retry budget. With the book's two minutes a client goes on
            refusing long after an overload; ``docs/decisions/limits.md`` has the figures.
    """

    k: float = attrs.field(default=2.0, validator=between(1, 100, "from 1 to 100"))
    window: Seconds = attrs.field(default=10.0, validator=at_least(0.001))


class Throttle:
    """See the module. Thread-safe: one small lock. It bounds no calls in flight."""

    __slots__ = (
        "_accepts",
        "_due",
        "_k",
        "_lock",
        "_recent",
        "_refused_in",
        "_requests",
        "_seconds",
        "_step",
        "_well",
    )

    def __init__(self, options: ThrottleOptions) -> None:
        self._k = options.k
        self._seconds = options.window / _STEPS
        self._lock = Lock()
        self._recent = [[0, 0] for _ in range(_STEPS)]  # requests and accepts of each step
        self._step: int | None = None  # the number of the step at hand, since the clock's zero
        self._requests = self._accepts = 0  # in the whole window
        self._refused_in = 0  # the step in which a server refused a call last
        self._well = 0  # calls accepted since then
        self._due = 0.0  # refusals that are due

    def admit(self, request: AnyRequest, now: float) -> Ticket | Literal[True] | Failure:
        """See :meth:`bee_core.interfaces.Limiter.admit`."""
        with self._lock:
            self._move(floor(now / self._seconds))
            surplus = self._requests - self._k * self._accepts
            if surplus <= 0:
                self._due = 0.0
                return True
            self._due += surplus / (self._requests + 1)
            if self._due < _PAYS_FROM[level_of(request)]:
                return True
            self._due -= 1.0
            self._count(accepted=False)
        return local(
            "overloaded",
            f"the servers accept {self._accepts} of {self._requests} calls, so the limiter"
            " 'throttle' keeps some back",
        )

    def release(self, outcome: Outcome | None, seconds: float) -> None:
        """See :meth:`bee_core.interfaces.Limiter.release`.

        A call counts once it is known whether a server took it: calls that are under way are no
        sign of anything. What failed otherwise was accepted.
        """
        if outcome is not None:
            accepted = not isinstance(outcome, Failure) or outcome.kind != "overloaded"
            with self._lock:
                if accepted:
                    self._well += 1
                else:
                    self._well, self._refused_in = 0, self._step or 0
                self._count(accepted=accepted)

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`. What is known of the servers holds in the child too."""
        self._lock = Lock()

    def _count(self, *, accepted: bool) -> None:
        here = self._recent[(self._step or 0) % _STEPS]
        here[0] += 1
        self._requests += 1
        if accepted:
            here[1] += 1
            self._accepts += 1

    def _move(self, step: int) -> None:
        """Forget what has left the window. A thread that is late with its time changes nothing."""
        last, self._step = self._step, step if self._step is None else max(self._step, step)
        if last is None or step <= last:
            return
        if self._requests > self._accepts and self._well >= _WELL and step > self._refused_in + 1:
            accepts = self._recent[last % _STEPS][1]
            self._recent = [[0, 0] for _ in range(_STEPS)]
            self._recent[last % _STEPS] = [accepts, accepts]
            self._requests = self._accepts = accepts
        for number in range(max(last, step - _STEPS) + 1, step + 1):
            old = self._recent[number % _STEPS]
            self._requests -= old[0]
            self._accepts -= old[1]
            self._recent[number % _STEPS] = [0, 0]


@hookimpl
def bee_register_limiters(registry: Registrar[Limiter]) -> None:
    """Offer ``throttle``."""
    registry.add("throttle", Throttle, options=ThrottleOptions)
