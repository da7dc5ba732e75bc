"""What calls of a service usually take, so that those of different methods can be compared.

Where one method takes 1 ms and another one 1 s, a node is not slow because it has answered a call
of the second one. So a sample is told as what a *typical* call would have taken. It is as much
longer or shorter than the usual call of its method, in proportion to

- the usual call of its method: a call of the slow method that took 2 s makes a typical one twice as
  long;
- or, if that is more, the requests that one meets at a node, which are mostly long ones: a call of
  the quick method that waited behind one of them for 100 ms makes a typical one 1.1 times as long,
  and not 100 times. Such a wait is over when the next call comes.
"""

from __future__ import annotations

METHODS = 256
"""Methods that are known apart. All further ones count as one: a caller that makes up names must
not fill the memory."""

USUAL_STEP = 0.02
"""How much one call changes what is usual: it follows a change within some hundred calls. The first
calls change more: it is their mean."""

USUAL_MOST = 4.0
"""Times the usual time that one call counts for: outliers are not usual."""

TYPICAL_STEP = 0.002
"""Likewise of the mean of all methods. Smaller, so that a rare slow method does not shake it."""


class _Method:
    """What a method usually takes."""

    __slots__ = ("step", "usual")

    def __init__(self, usual: float, step: float) -> None:
        self.usual = usual
        self.step = step


class UsualTimes:
    """Usual times by method. Threads share it without a lock; a sample may be lost between them.

    Attributes:
        typical: Seconds of a typical call: the mean of the methods' usual times, by their calls; 0
            before the first one.
        lasting: How many times as long as a typical call those take that run at a moment: long ones
            are met more often. 1 where all methods take the same.
    """

    __slots__ = ("_alone", "_methods", "_square", "_step", "lasting", "typical")

    def __init__(self) -> None:
        self.typical = 0.0
        self.lasting = 1.0
        self._square = 0.0  # the mean of the squares of usual times
        self._step = 1.0
        self._methods: dict[str, _Method] = {}
        self._alone = True  # there is one method at most

    def learn(self, method: str, seconds: float) -> float:
        """Take the time of a call that succeeded, and tell what a typical one would have taken."""
        one = self._methods.get(method) or self._add(method, seconds)
        usual, step = one.usual, one.step
        most = usual * USUAL_MOST
        counted = seconds if seconds < most else most  # noqa: FURB136  # quicker than min()
        one.usual = usual = usual + (counted - usual) * step
        if step > USUAL_STEP:
            one.step = step / (1.0 + step)  # 1, 1/2, 1/3, …
        if self._alone:
            self.typical = usual
            return seconds
        step = self._step
        if step > TYPICAL_STEP:
            self._step = step / (1.0 + step)
        self.typical = typical = self.typical + (usual - self.typical) * step
        self._square = square = self._square + (usual * usual - self._square) * step
        self.lasting = lasting = max(1.0, square / (typical * typical)) if typical else 1.0
        return _as_typical(seconds, usual, typical, lasting)

    def as_typical(self, method: str, seconds: float) -> float:
        """What a typical call would have taken where one of this method took so long."""
        if self._alone:
            return seconds
        one = self._methods.get(method) or self._methods.get("")
        usual = self.typical if one is None else one.usual
        return _as_typical(seconds, usual, self.typical, self.lasting)

    def __len__(self) -> int:
        """How many methods are known apart."""
        return len(self._methods)

    def copy(self) -> UsualTimes:
        """The same, as it is now."""
        twin = UsualTimes()
        twin.typical, twin.lasting = self.typical, self.lasting
        twin._square, twin._step, twin._alone = self._square, self._step, self._alone
        methods = self._methods.copy()
        twin._methods = {name: _Method(one.usual, one.step) for name, one in methods.items()}
        return twin

    def _add(self, method: str, seconds: float) -> _Method:
        methods = self._methods
        if len(methods) >= METHODS:
            method = ""
            if method in methods:
                return methods[method]
        if methods and self._alone:
            (first,) = tuple(methods.values())[:1]
            self._square, self._step = first.usual * first.usual, first.step
            self._alone = False
        one = methods[method] = _Method(seconds, 1.0)
        return one


def _as_typical(seconds: float, usual: float, typical: float, lasting: float) -> float:
    most = max(usual, typical * lasting)
    return max(0.0, typical + (seconds - usual) * typical / most) if most else seconds
