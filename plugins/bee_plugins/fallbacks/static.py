"""Fallback ``static``: a fixed value instead of an error."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import attrs

from bee_core.errors import CallError, InvalidArgument, RemoteError
from bee_core.hookspecs import Registrar, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.interfaces import Fallback


@attrs.frozen
class StaticOptions:
    """Options of ``static``.

    Attributes:
        value: The answer: anything that the file can write. The caller gets it as it is, also from
            a typed proxy.
        application_errors: Whether to answer also when the handler raised or an argument did not
            fit. False by default: such an error is the result of the call, and a retry gives it
            again.
    """

    value: Any
    application_errors: bool = False


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


class Static(ConditionalFallback):
    """Answers with the value. Stateless, thread-safe.

    Each caller gets its own copy, so no caller sees what another one does to a list.
    """

    def __init__(self, options: StaticOptions) -> None:
        super().__init__(
            lambda *_: deepcopy(options.value), application_errors=options.application_errors
        )


@hookimpl
def bee_register_fallbacks(registry: Registrar[Fallback]) -> None:
    """Offer ``static``."""
    registry.add("static", Static, options=StaticOptions)
