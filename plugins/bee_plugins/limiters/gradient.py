"""Limiter ``gradient``: finds by itself how many calls may run at a time.

The algorithm is Gradient2 of Netflix's *concurrency-limits*
(https://github.com/Netflix/concurrency-limits): it compares how long calls take now with how long
they usually take. As soon as calls take longer, some of them wait somewhere, so fewer are let in::

    gradient = tolerance * usual / now                  held between 0.5 and 1
    limit    = limit * gradient + queue                 smoothed, between min and max

What differs, and why:

- **Time comes in windows.** The limit changes once a window, by the mean of the calls in it, and
  not with each call. So its speed does not depend on the rate of calls, and a call pays for a sum.
- **The usual time is learnt while the limit is not in use.** Gradient2 takes every call into its
  long average. Under an overload that lasts, the calls wait for each other, their waiting becomes
  the usual time, and the limit drifts up to its maximum. Here a window counts for the usual time
  only where the calls in flight stayed below half of the limit.
- **Under load it tries.** The calls may take longer because they wait for each other, or because
  the service has become slower. Every half minute the limit is halved for a moment: if calls still
  take as long, it was the service, and this is usual now. Envoy's adaptive concurrency filter
  lowers its limit for a measurement in the same way.
- **A failure is never a sample that makes calls look faster**, as in ``p2c``. Netflix leaves it to
  the program which calls count.
- **The limit begins fast.** Until calls take longer for the first time it grows by half a window,
  as TCP does in slow start, if the calls need it.
"""

from __future__ import annotations

from math import sqrt
from threading import Lock
from typing import Literal

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import AnyRequest, Failure, Limiter, Outcome, Ticket, local, part_of
from bee_core.options import OptionError, Seconds, at_least, between, positive, validator

from .queueing import level_of

_LEAST_SAMPLES = 10
"""Calls that a window has at least, as in Netflix's ``WindowedLimit``."""
_LEARNING = 3
"""Windows from which the first usual time is made: one may be odd."""
_TRY_EVERY = 30.0
"""Seconds between two tries with half of the limit: a try costs about a twentieth of a second's
work, and a service that has become slower is known within a minute."""
_TRY_SAMPLES = 30
"""Calls that a try looks at, so that chance is rarely taken for an answer."""
_STILL = 0.9
"""A try with half of the limit in which calls take this part of what they took, or more, shows that
they do not wait for each other. If they do, it is about a half to two thirds."""
_MOST_AT_ONCE = 0.1
"""Weight that a single window has at most: one that lasted an hour is no better than others."""
_FASTER = 0.95
"""Factor of the usual time in each window that takes less than half of it, as in Gradient2."""
_STARTING = 1.5
"""Factor of the limit in each window of the fast start."""


_SMOOTH = validator(lambda value: "" if 0 < value <= 1 else "more than 0, at most 1")


@attrs.frozen
class GradientOptions:
    """Options of ``gradient``.

    Attributes:
        initial: Calls at a time until more is known: 20, as in Netflix's Gradient2.
        min_limit: The limit is never lower. 4: the smallest machines have that many threads, and a
            limit needs some calls in flight to be measured.
        max_limit: The limit is never higher. 1000, the default of ``max_in_flight`` of a server.
        tolerance: How much longer than usual calls may take: 1.5, as in Gradient2.
        queue: Calls that may wait behind the limit, so that it can grow. None: the square root of
            the limit, and at least 4: Gradient2's constant, and its older rule for larger limits.
        smoothing: Weight of a new limit in the old one: 0.2, as in Gradient2.
        window: Seconds of a window: 100 ms, ten decisions a second; one of slow calls lasts until
            it has ten calls.
        long_window: Seconds of the average that is the usual time: 60, so that a rush of some
            seconds is not usual, and a change of the day is.
    """

    initial: int = attrs.field(default=20, validator=at_least(1))
    min_limit: int = attrs.field(default=4, validator=at_least(1))
    max_limit: int = attrs.field(default=1000, validator=at_least(1))
    tolerance: float = attrs.field(default=1.5, validator=between(1, 10, "from 1 to 10"))
    queue: int | None = attrs.field(default=None, validator=at_least(1))
    smoothing: float = attrs.field(default=0.2, validator=_SMOOTH)
    window: Seconds = attrs.field(default=0.1, validator=positive)
    long_window: Seconds = attrs.field(default=60.0, validator=positive)


class Gradient:
    """See the module. Thread-safe: one small lock. It has no queue and calls nobody back.

    Attributes:
        limit: As it is now.
        usual: Seconds that calls usually take; None until enough of them have ended.
    """

    __slots__ = (
        "_in_flight",
        "_lock",
        "_most",
        "_next_try",
        "_options",
        "_samples",
        "_starting",
        "_sum",
        "_trying",
        "_window_began",
        "_windows",
        "limit",
        "usual",
    )

    def __init__(self, options: GradientOptions) -> None:
        if options.min_limit > options.max_limit:
            raise OptionError("min_limit", "min_limit is above max_limit")
        self._options = options
        self.limit = float(min(max(options.initial, options.min_limit), options.max_limit))
        self.usual: float | None = None
        self._lock = Lock()
        self._in_flight = 0
        self._starting = True
        self._windows = 0
        self._window_began: float | None = None
        self._sum = 0.0
        self._samples = 0
        self._most = 0  # calls in flight or turned away
        self._next_try: float | None = None
        # A try with half of the limit: the whole one, how long calls took, and when it began.
        self._trying: tuple[float, float, float] | None = None

    def admit(self, request: AnyRequest, now: float) -> Ticket | Literal[True] | Failure:
        """See :meth:`bee_core.interfaces.Limiter.admit`."""
        taken = False
        try:
            with self._lock:
                if self._window_began is None:
                    self._window_began = now
                elif self._samples >= _LEAST_SAMPLES:
                    self._end_window(now)
                if self._in_flight < part_of(self.limit, level_of(request)):
                    self._in_flight, taken = self._in_flight + 1, True
                    self._most = max(self._most, self._in_flight)
                    return True
                self._most = max(self._most, self._in_flight + 1)  # it is wanted
        except BaseException:
            if taken:  # a handler of signals raised before anybody heard of the permit
                self.release(None, 0.0)
            raise
        return local(
            "overloaded",
            f"{int(self.limit)} calls are in flight: the limit that the limiter 'gradient' has"
            " found",
            retry_after=self.usual,
        )

    def release(self, outcome: Outcome | None, seconds: float) -> None:
        """See :meth:`bee_core.interfaces.Limiter.release`.

        What did not run says nothing of the time that calls take. What failed says that they take
        at least as long: a handler that fails at once is not how fast the service usually is.
        """
        back = False
        try:
            with self._lock:
                # A forked child begins at 0, even if the call that forked was in flight.
                self._in_flight, back = max(0, self._in_flight - 1), True
                if self._says_how_long(outcome, seconds):
                    self._sum += seconds
                    self._samples += 1
        except BaseException:
            if not back:  # a handler of signals raised before the permit was back
                self.release(None, 0.0)
            raise

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`. The calls in flight are the parent's."""
        self._lock = Lock()
        self._in_flight = 0
        self._begin_window(None)

    def _says_how_long(self, outcome: Outcome | None, seconds: float) -> bool:
        if not isinstance(outcome, Failure):
            return outcome is not None
        return outcome.executed != "no" and self.usual is not None and seconds > self.usual

    def _begin_window(self, now: float | None) -> None:
        self._window_began = now
        self._sum = 0.0
        self._samples = 0
        self._most = self._in_flight

    def _end_window(self, now: float) -> None:
        """Draw the conclusions of a window, if it is over. Under the lock."""
        assert self._window_began is not None  # noqa: S101  narrows the type
        length = now - self._window_began
        if length < self._options.window:
            return
        if self._trying is not None:
            self._go_on_trying(*self._trying, now)
            return
        short = max(self._sum / self._samples, 1e-9)
        loaded = self._most >= self.limit / 2
        self._windows += 1
        self._learn(short, length, loaded=loaded)
        if self._windows > _LEARNING and loaded:
            self._set_limit(short)
            if self.usual is not None and short > self._options.tolerance * self.usual:
                self._try_half(short, now)
        self._begin_window(now)

    def _learn(self, short: float, length: float, *, loaded: bool) -> None:
        """Take a window into the usual time."""
        options = self._options
        usual: float | None = self.usual
        if usual is None or self._windows <= _LEARNING:
            self.usual = short if usual is None else usual + (short - usual) / self._windows
        elif not loaded:
            self.usual = usual + (short - usual) * min(_MOST_AT_ONCE, length / options.long_window)
        elif usual > 2 * short:
            self.usual = usual * _FASTER

    def _set_limit(self, short: float) -> None:
        """Move the limit to where the calls would take about as long as usual."""
        options, limit = self._options, self.limit
        assert self.usual is not None  # noqa: S101  narrows the type
        gradient = max(0.5, min(1.0, options.tolerance * self.usual / short))
        if gradient < 1:
            self._starting = False
        if self._starting:
            wanted = limit * _STARTING
        else:
            wanted = limit + (limit * gradient + self._room() - limit) * options.smoothing
        self.limit = max(float(options.min_limit), min(float(options.max_limit), wanted))

    def _room(self) -> float:
        """Calls that may wait behind the limit."""
        queue = self._options.queue
        return max(4.0, sqrt(self.limit)) if queue is None else queue

    def _try_half(self, short: float, now: float) -> None:
        """Begin a try where one is due: the calls take longer than usual, and fill the limit."""
        if self._next_try is None:
            self._next_try = now + _TRY_EVERY
        elif now >= self._next_try:
            self._next_try = now + _TRY_EVERY
            self._trying = (self.limit, short, now)
            self.limit = max(1.0, self.limit / 2)

    def _go_on_trying(self, limit: float, before: float, began: float, now: float) -> None:
        """Wait for what was let in earlier, then for enough calls, and draw the conclusion."""
        if now - began < 2 * before:
            self._begin_window(now)
        elif self._samples >= _TRY_SAMPLES:
            short = max(self._sum / self._samples, 1e-9)
            if short >= _STILL * before:
                self.usual = short
            self._trying = None
            self.limit = limit
            self._begin_window(now)


@hookimpl
def bee_register_limiters(registry: Registrar[Limiter]) -> None:
    """Offer ``gradient``."""
    registry.add("gradient", Gradient, options=GradientOptions)
