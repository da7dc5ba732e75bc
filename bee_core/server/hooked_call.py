"""What the observers and interceptors of a server are to one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import PluginFault, ServiceError
from ..terms.causes import local
from .faults import plugin_failure
from .injected_faults import Injected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextvars import Context

    from ..contracts.endpoint import InboundCall
    from ..errors import CallError
    from ..terms.failures import Failure, Outcome
    from .answers import Answers
    from .meant_errors import MeantErrors


class HookedCall:
    """One call, as observers and interceptors see it. All of them run in the call's context.

    Attributes:
        answered: What the caller was told before the handler was done, or None.
    """

    __slots__ = ("_answers", "_call", "_context", "_entered", "_started", "_states", "answered")

    def __init__(self, answers: Answers, call: InboundCall, context: Context) -> None:
        self._answers = answers
        self._call = call
        self._context = context
        self._entered = 0
        self._states: Sequence[Any] = ()
        self.answered: Failure | None = None
        self._started = answers.flight.clock()

    def started(self) -> None:
        """Tell the observers that the request was accepted."""
        self._states = self._context.run(self._answers.observers.request_started, self._call)

    def enter(self, errors: MeantErrors) -> Failure | Injected | None:
        """Enter the interceptors, in order.

        Args:
            errors: Encodes the details of a ``ServiceError``.

        Returns:
            A failure if one refuses the call; or a fault that makes it wait; or None.
        """
        interceptors = self._answers.interceptors
        if not interceptors.count:
            return None
        self._entered, refusal = self._context.run(interceptors.enter, self._call)
        if refusal is None:
            return None
        if isinstance(refusal, Injected):
            return refusal.refusal() or refusal
        return self._refused(refusal, errors)

    def _refused(self, error: CallError | ServiceError, errors: MeantErrors) -> Failure:
        if isinstance(error, ServiceError):
            meant = self._answers.faults.meant(error, self._call, errors, "no")
            assert meant is not None  # noqa: S101  # each ServiceError is meant
            return meant
        cause = error.__cause__
        if isinstance(error, PluginFault) and cause is not None:
            return plugin_failure(error.plugin, cause, "no")
        failure = local(
            error.kind,
            error.message,
            path=getattr(error, "path", ""),
            retry_after=getattr(error, "retry_after", None),
        )
        failure.error_type = getattr(error, "type", "")
        return failure

    def exit(self, outcome: Outcome | None) -> None:
        """Leave the interceptors that were entered, in reverse order."""
        entered, self._entered = self._entered, 0
        if entered:
            self._context.run(self._answers.interceptors.exit, self._call, outcome, entered)

    def ended(self, outcome: Outcome | None) -> None:
        """Tell the observers that the request has its answer."""
        answers = self._answers
        seconds = answers.flight.clock() - self._started
        self._context.run(
            answers.observers.request_ended, self._states, self._call, outcome, seconds
        )
