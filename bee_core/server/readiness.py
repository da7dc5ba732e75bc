"""Whether a server is ready: the one place that says so."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    State = Literal["stopped", "starting", "registering", "ready", "draining"]

_WHY = {
    "stopped": "the server does not run",
    "starting": "the start hooks have not ended",
    "registering": "the first attempt to register has not ended",
    "ready": "",
    "draining": "the server drains",
}


class Readiness:
    """What a server has done so far of what makes it ready.

    ``ready`` means: objects are entered and start hooks have ended, the server listens, the first
    attempt to register has ended, and the server does not drain. How the first attempt ended does
    not matter, and neither does a lease that is lost later: an outage of the registry must not
    empty a fleet. With ``workers`` the parent's readiness is that of the server: all workers have
    served.

    Thread-safe. Events come from the serving loop and from the control plane's thread.

    Attributes:
        state: ``stopped``, ``starting`` (objects and start hooks), ``registering`` (listens, and
            the first attempt to register has not ended), ``ready`` or ``draining``.
        lease: What was last heard of the registration, by the name of its event in the log:
            ``registered``, ``lease_lost`` …; empty when nothing was heard, or nothing is announced.
        lease_trouble: Why, for people; empty when nothing is wrong.
    """

    __slots__ = ("_lock", "_told", "lease", "lease_trouble", "state")

    def __init__(self) -> None:
        self._lock = Lock()
        self._told: list[Callable[[State], object]] = []
        self.state: State = "stopped"
        self.lease = self.lease_trouble = ""

    @property
    def ready(self) -> bool:
        """Whether the server is ready."""
        return self.state == "ready"

    @property
    def why_not(self) -> str:
        """Why it is not ready, for people; empty when it is."""
        return _WHY[self.state]

    def watch(self, told: Callable[[State], object]) -> None:
        """Tell somebody each new state, on the thread that brought it. It must be quick.

        It is told the state of now at once, so that nothing is missed.
        """
        with self._lock:
            self._told.append(told)
            told(self.state)

    def unwatch(self, told: Callable[[State], object]) -> None:
        """Tell it nothing any more."""
        with self._lock:
            self._told.remove(told)

    # What the server reports.

    def starting(self) -> None:
        """The server starts."""
        with self._lock:
            self.lease = self.lease_trouble = ""
        self._go("starting", {"stopped"})

    def listening(self) -> None:
        """Start hooks have ended, and the server listens."""
        self._go("registering", {"starting"})

    def registration(self, event: str = "", reason: str = "") -> None:
        """Something was heard of the registration, so the first attempt has ended.

        Args:
            event: Its name; empty for a server that announces nothing.
            reason: Why, for people.
        """
        with self._lock:
            self.lease, self.lease_trouble = event, reason
        self._go("ready", {"registering"})

    def draining(self) -> None:
        """The server drains, or gives its start up."""
        self._go("draining", {"starting", "registering", "ready"})

    def stopped(self) -> None:
        """The server has left."""
        self._go("stopped", {"starting", "registering", "ready", "draining"})

    def _go(self, state: State, before: set[State]) -> None:
        with self._lock:
            if self.state not in before:
                return
            self.state = state
            # In here, so that nobody hears of two states in the wrong order.
            for told in self._told:
                told(state)
