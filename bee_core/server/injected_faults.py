"""Faults that a server's ``faults`` ask for: some requests are late, fail, or get no answer.

They come behind the limiter and the interceptors, where the handler would begin::

    accepted ─ queue ─ enter ─┬─ no fault ──────────────> the handler
                              ├─ error ────> answered: it did not run
                              ├─ delay ─ wait ──────────> the handler
                              └─ drop ── wait for the deadline or the caller; no answer

A server without ``faults`` does not come here. With them, each request goes the long way. The
method that describes the service meets none: it says which faults there are.
"""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING, Any

from ..contracts.observation import Interception
from ..errors import Unavailable
from ..terms.causes import local
from ..terms.request import DESCRIBE

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from ..config.fault_model import ServerFaultConfig
    from ..contracts.endpoint import InboundCall
    from ..errors import CallError, ServiceError
    from ..terms.failures import Failure, Outcome

_TEXT = "a fault that the server's configuration injects"
_LONGEST = 3600.0
"""Seconds that a dropped request without a deadline keeps its place, if its caller stays."""


class Injected(Unavailable):
    """Says which fault a request meets, in the place of an interceptor's refusal. Not raised."""

    def __init__(self, fault: ServerFaultConfig) -> None:
        super().__init__(_TEXT)
        self.fault = fault

    def refusal(self) -> Failure | None:
        """The answer of an ``error``; None for the other kinds."""
        if self.fault.kind != "error":
            return None
        return local("overloaded" if self.fault.error == "Overloaded" else "unavailable", _TEXT)


class FaultyInterception(Interception):
    """Interceptors, and the faults behind them.

    Args:
        inner: The interceptors.
        faults: The faults. A request meets the first one that is for it and whose turn it is.
        draw: A random number from 0 up to 1, for each fault that a request may meet.
    """

    __slots__ = ("_draw", "_injected", "_inner")

    def __init__(
        self,
        inner: Interception,
        faults: Sequence[ServerFaultConfig],
        draw: Callable[[], float],
    ) -> None:
        super().__init__()
        self._inner = inner
        self._injected = tuple(map(Injected, faults))
        self._draw = draw
        self.count = inner.count + 1

    def enter(self, call: Any) -> tuple[int, CallError | ServiceError | None]:
        """See :class:`Interception`. A fault is a refusal, an :class:`Injected`."""
        entered, refusal = self._inner.enter(call)
        return entered, self._met(call) if refusal is None else refusal

    def exit(self, call: Any, outcome: Outcome | None, entered: int) -> None:
        """See :class:`Interception`."""
        self._inner.exit(call, outcome, entered)

    def _met(self, call: InboundCall) -> Injected | None:
        if call.method == DESCRIBE:
            return None
        for one in self._injected:
            fault = one.fault
            if (
                fault.method in (None, call.method)
                and (fault.caller is None or _calls(fault.caller, call))
                and self._draw() < fault.rate
            ):
                return one
        return None


def _calls(caller: str, call: InboundCall) -> bool:
    host = call.peer.rpartition(":")[0]
    return caller in (call.caller.identity, host)


def with_faults(
    interceptors: Interception,
    faults: Sequence[ServerFaultConfig],
    draw: Callable[[], float] = random,  # each forked process has numbers of its own
) -> Interception:
    """The interceptors of a server, with its faults behind them if it has any."""
    return FaultyInterception(interceptors, faults, draw) if faults else interceptors


class Hold:
    """A request's wait because of a fault, in the form of a place in a queue. On the loop's thread.

    Args:
        injected: The fault, a ``delay`` or a ``drop``.
        loop: The serving loop.

    Attributes:
        silent: Whether no answer is sent at all.
    """

    __slots__ = ("_loop", "_seconds", "_timer", "silent")

    def __init__(self, injected: Injected, loop: asyncio.AbstractEventLoop) -> None:
        self.silent = injected.fault.kind == "drop"
        self._seconds = _LONGEST if self.silent else injected.fault.seconds
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, over: Callable[[], None]) -> None:
        """Call back when the wait is over."""
        self._timer = self._loop.call_later(self._seconds, over)

    def leave(self) -> bool:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
        return True
