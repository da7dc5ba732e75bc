"""What a server refuses at once because it has too much to do.

Everything here is refused before its handler begins: ``overloaded``, executed no, with a time after
which another try makes sense. The caller may go to another node right away.

- **In flight.** One more than ``max_in_flight``; the least important ones a little earlier, so
  that a place is left for the others.
- **Lag.** The event loop is later than ``max_lag``: whatever is accepted waits for it as well.
- **Threads.** All threads of the pool are busy, and either ``max_pool_queue`` requests wait for one
  already, or the request would be late. Its end is estimated from the recent times of the methods
  that wait before it, and of its own. No estimate refuses a request that nobody waits before, so a
  method is measured again after a slow spell.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from ..terms.causes import local
from ..terms.criticality import CRITICALITIES, SHARES, part_of
from ..terms.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config.server_model import ServerConfig
    from ..contracts.endpoint import InboundCall
    from .loop_lag import LoopLag
    from .threads import HandlerThreads

WEIGHT = 0.1
"""Of a new time in the average of a method: about the last twenty calls count."""


class Admission:
    """The bounds of one server. On the loop's thread, but for what runs on the pool's.

    Args:
        settings: The server section.
        threads: Run ``def`` handlers.
        lag: Of the serving loop.
        clock: Seconds, monotonic.

    Attributes:
        gate: From so many requests in flight on, :meth:`refusal` is asked. A server without
            ``max_lag`` asks it only when it is nearly full.
    """

    __slots__ = (
        "_ahead",
        "_clock",
        "_lag",
        "_lock",
        "_max_in_flight",
        "_max_lag",
        "_max_queue",
        "_seconds",
        "_threads",
        "gate",
    )

    def __init__(
        self,
        settings: ServerConfig,
        threads: HandlerThreads,
        lag: LoopLag,
        clock: Callable[[], float],
    ) -> None:
        self._threads = threads
        self._lag = lag
        self._clock = clock
        self._lock = Lock()
        self._ahead = 0.0  # seconds of work that waits for a thread, as far as it is known
        self._seconds: dict[str, float] = {}  # how long a method takes, by its name
        self.revise(settings)

    def revise(self, settings: ServerConfig) -> None:
        """Take other bounds."""
        self._max_in_flight = settings.max_in_flight
        self._max_lag = settings.max_lag
        self._max_queue = settings.max_pool_queue
        nearly_full = part_of(settings.max_in_flight, CRITICALITIES[-1])
        self.gate = -1 if settings.max_lag is not None else nearly_full

    def refusal(self, call: InboundCall, in_flight: int) -> Failure | None:
        """Why a request is refused before anything is known of it but its level; or None."""
        if in_flight >= part_of(self._max_in_flight, call.criticality):
            return local(
                "overloaded",
                f"{in_flight} requests are in flight, max_in_flight is {self._max_in_flight}",
            )
        if self._max_lag is None:
            return None
        late, most = self._lag.seconds(), self._max_lag
        if late <= most * SHARES[call.criticality]:
            return None
        return local(
            "overloaded",
            f"the event loop is {late:.3g} s late, max_lag is {most:g} s",
            retry_after=late,
        )

    def of_thread(self, call: InboundCall) -> Failure | None:
        """Why a request must not wait for a thread; None where it may, or none waits."""
        threads = self._threads
        waiting = threads.waiting
        if waiting is None:
            return None
        own = self._seconds.get(call.method, 0.0)
        wait = self._ahead / threads.size
        most = self._max_queue
        if most is not None and waiting >= (most and part_of(most, call.criticality)):
            return local(
                "overloaded",
                f"{waiting} requests wait for a thread, max_pool_queue is {most}",
                retry_after=wait + own,
            )
        deadline = call.deadline
        if waiting and deadline is not None and self._clock() + wait + own > deadline:
            return local(
                "overloaded",
                f"the request would end after its deadline: {waiting} others wait for a thread,"
                f" about {wait:.3g} s, and {call.method} takes about {own:.3g} s",
                retry_after=wait,
            )
        return None

    def timed(self, method: str, job: Callable[[], object]) -> Callable[[], object]:
        """A job that waits for a thread, as one that counts as waiting and is measured."""
        expected = self._seconds.get(method, 0.0)
        with self._lock:
            self._ahead += expected

        def run() -> object:
            began = self._clock()
            with self._lock:
                self._ahead = max(0.0, self._ahead - expected)
            answer = job()
            if _ran(answer):
                taken = self._clock() - began
                with self._lock:
                    known = self._seconds.get(method, taken)
                    self._seconds[method] = known + WEIGHT * (taken - known)
            return answer

        return run


def _ran(answer: object) -> bool:
    """Whether a handler ran. What was late when its thread was free says nothing of its time."""
    if isinstance(answer, Failure):
        return answer.executed != "no"
    return getattr(answer, "again", None) is None  # it waits until its caller reads
