"""A server's limiter in a simulation: whatever it raises costs the call, and not the run.

It does what ``server/accepted_call.py``, ``server/queue_place.py`` and ``server/answers.py`` do for
a real server: the call is answered with ``plugin_fault``, and the permit goes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ...server.faults import plugin_failure
from ...terms.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...contracts.plugin_faults import PluginFaults
    from ...contracts.policies import AnyRequest, Limiter, Ticket
    from ...terms.failures import Outcome


class ContainedLimiter:
    """A limiter that never raises. For one thread.

    Args:
        plugin: The limiter.
        faults: Says what it did wrong.
    """

    __slots__ = ("_faults", "_plugin")

    def __init__(self, plugin: Limiter, faults: PluginFaults) -> None:
        self._plugin = plugin
        self._faults = faults

    def admit(self, request: AnyRequest, now: float) -> Ticket | Literal[True] | Failure:
        """See :meth:`bee_core.interfaces.Limiter.admit`."""
        try:
            answer = self._plugin.admit(request, now)
            if answer is True or isinstance(answer, Failure):
                return answer
            return ContainedTicket(self, answer)
        except Exception as error:
            return self.fault("admit", error)

    def release(self, outcome: Outcome | None, seconds: float) -> None:
        """See :meth:`bee_core.interfaces.Limiter.release`. One that raises is told once more."""
        try:
            self._plugin.release(outcome, seconds)
        except Exception as error:
            self.fault("release", error)
            try:
                self._plugin.release(None, 0.0)
            except Exception as again:
                self.fault("release", again)

    def fault(self, doing: str, error: Exception) -> Failure:
        """Say that a method raised, and make the failure of the call."""
        self._faults.said(self._plugin, doing, error)
        return plugin_failure(self._faults.name(self._plugin), error, "no")


class ContainedTicket:
    """A place in the queue of such a limiter. See :class:`bee_core.interfaces.Ticket`.

    Args:
        limiter: Whose ticket it is.
        ticket: As the plugin gave it.
    """

    __slots__ = ("_broken", "_limiter", "_ticket", "timeout")

    def __init__(self, limiter: ContainedLimiter, ticket: Any) -> None:
        self.timeout: float | None = ticket.timeout
        self._limiter = limiter
        self._ticket = ticket
        self._broken: Failure | None = None

    @property
    def refusal(self) -> Failure | None:
        """Why the call was turned away after it had waited."""
        found = self._broken or getattr(self._ticket, "refusal", None)
        return found if isinstance(found, Failure) else None

    def on_admitted(self, callback: Callable[[], None]) -> None:
        """See :meth:`bee_core.interfaces.Ticket.on_admitted`. One that raises ends the wait."""
        try:
            self._ticket.on_admitted(callback)
        except Exception as error:
            self._broken = self._limiter.fault("on_admitted", error)
            callback()

    def leave(self) -> bool:
        """See :meth:`bee_core.interfaces.Ticket.leave`. What a broken one holds nobody can tell."""
        try:
            return bool(self._ticket.leave())
        except Exception as error:
            self._limiter.fault("leave", error)
            return True
