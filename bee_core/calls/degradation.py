"""When fallbacks begin and stop to answer for a service: one line for each, not one a call."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from ..terms.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..errors import CallError

CALM = 10.0
"""Seconds without an answer of the fallback, after which a result says that the degradation is
over. A service that fails every other call would otherwise fill the log."""

MOST = 1024
"""Methods that are told apart: a caller that makes up names must not fill the memory."""


class Degradation:
    """The methods of one service that fallbacks answer for. Thread-safe.

    Args:
        service: The service's name.
        say: Takes one line for the operator.
        told: Is told of an event: its name and its fields.

    Attributes:
        methods: By method: since when, the last time, and how often.
    """

    __slots__ = ("_lock", "_say", "_service", "_told", "methods")

    def __init__(
        self,
        service: str,
        say: Callable[[str], None],
        told: Callable[[str, dict[str, object]], None],
    ) -> None:
        self._service = service
        self._say = say
        self._told = told
        self.methods: dict[str, tuple[float, float, int]] = {}
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = Lock()

    def answered(self, method: str, fallback: str, error: CallError, now: float) -> None:
        """A fallback has answered instead of an error."""
        with self._lock:
            begun = self.methods.get(method)
            if begun is None and len(self.methods) >= MOST:
                return
            since, _, count = begun or (now, now, 0)
            self.methods[method] = since, now, count + 1
        if begun is None:
            self._say(
                f"{self._service}.{printable(method)}: degraded: {fallback} answers instead of"
                f" {type(error).__name__}: {printable(error.message)}"
            )
            self._tell("begun", method, 1, error.kind)

    def succeeded(self, method: str, now: float) -> bool:
        """A call of a method has its result. True when nothing is degraded any more."""
        with self._lock:
            begun = self.methods.get(method)
            if begun is None or now - begun[1] < CALM:
                return False
            del self.methods[method]
            left = len(self.methods)
        since, last, count = begun
        self._say(
            f"{self._service}.{printable(method)}: no longer degraded: nodes answer again; the"
            f" fallback answered {count} call{'s' if count != 1 else ''} in {last - since:.1f} s"
        )
        self._tell("ended", method, count, "")
        return not left

    def _tell(self, state: str, method: str, calls: int, error: str) -> None:
        fields = {
            "service": self._service,
            "method": method,
            "state": state,
            "calls": calls,
            "error": error,
        }
        self._told("degradation", fields)
