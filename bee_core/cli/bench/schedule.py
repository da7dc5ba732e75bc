"""When the calls of an open loop begin: at a constant rate, whatever happened to those before.

A closed loop waits for an answer before it calls again. So while a server stalls, it makes no
calls, and the stall counts as one slow call. An open loop goes on like the users of a service do.
Its latencies run from the planned starts: a call that could not begin in time has waited as well.
That is what Gil Tene calls "coordinated omission", and how his wrk2 avoids it.
"""

from __future__ import annotations

import threading


class Schedule:
    """Planned starts: ``began + n / rate``. Thread-safe.

    Args:
        rate: Calls a second.
        began: When the first call is planned, in seconds on any clock.
        total: How many calls are planned.
    """

    def __init__(self, rate: float, began: float, total: int) -> None:
        self.total = total
        self._rate = rate
        self._began = began
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """How many starts were taken."""
        return self._taken

    def next_start(self) -> float | None:
        """The next start that nobody has taken, or None at the end."""
        taken = self._taken
        return self._start(taken) if taken < self.total else None

    def take(self, now: float | None = None) -> float | None:
        """Take the next start; the caller makes its call then, or at once if the time is past.

        Args:
            now: Take it only if it is due by now.
        """
        with self._lock:
            start = self.next_start()
            if start is None or (now is not None and start > now):
                return None
            self._taken += 1
            return start

    def waiting(self, now: float) -> int:
        """How many starts were due by now and are not taken."""
        # One too many or too few by rounding does not matter to a bound of hundreds.
        due = int((now - self._began) * self._rate) + 1 if now >= self._began else 0
        return max(0, min(due, self.total) - self._taken)

    def _start(self, number: int) -> float:
        return self._began + number / self._rate  # no sum, whose errors would add up
