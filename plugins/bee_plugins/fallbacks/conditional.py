"""What the fallbacks ``static`` and ``function`` share: for which errors they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bee_core.errors import InvalidArgument, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.errors import CallError


class ConditionalFallback:
    """Answers with what a function returns, for the errors that it is made for.

    Args:
        function: Called with ``(service, method, args, kwargs, error)``.
        application_errors: Whether it answers also for the application's own errors. These are
            results of a call that was made.
    """

    def __init__(self, function: Callable[..., Any], *, application_errors: bool) -> None:
        self._function = function
        self._application_errors = application_errors

    def answer(
        self,
        service: str,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        error: CallError,
    ) -> Any:
        """See :meth:`bee_core.interfaces.Fallback.answer`."""
        if not self._application_errors and isinstance(error, (RemoteError, InvalidArgument)):
            raise error
        return self._function(service, method, args, kwargs, error)
