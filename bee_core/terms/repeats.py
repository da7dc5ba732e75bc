"""Counts what is said again and again, so that the log has it once a minute and not each time."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Key = tuple[str, ...]

QUIET_SECONDS = 60.0
"""How long the same is only counted after it was said."""
_MOST_KINDS = 256
"""Different things that are remembered. Each costs some hundred bytes."""


class Repeats:
    """What was said a short time ago, and how often it happened since. Thread-safe.

    Args:
        later: Calls back after so many seconds, in any thread; asked from any thread.
        tell: Says of a key how often it happened since it was said; not called with 0.
    """

    def __init__(
        self,
        later: Callable[[float, Callable[[], None]], object],
        tell: Callable[[Key, int], None],
    ) -> None:
        self._later = later
        self._tell = tell
        self._lock = Lock()
        self._said: dict[Key, int] = {}

    def again(self, key: Key) -> bool:
        """Whether this was said a short time ago; then it is counted, and must not be said."""
        with self._lock:
            count = self._said.get(key)
            if count is not None:
                self._said[key] = count + 1
                return True
            if len(self._said) >= _MOST_KINDS:
                del self._said[next(iter(self._said))]
            self._said[key] = 0
        self._later(QUIET_SECONDS, lambda: self._over(key))
        return False

    def _over(self, key: Key) -> None:
        with self._lock:
            count = self._said.pop(key, 0)
        if count:
            self._tell(key, count)

    def close(self) -> None:
        """Tell what is counted and not told yet."""
        for key in self._said.copy():
            self._over(key)
