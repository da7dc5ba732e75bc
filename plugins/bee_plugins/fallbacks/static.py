"""Fallback ``static``: a fixed value instead of an error."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import attrs

from bee_core.hookspecs import hookimpl
from bee_plugins.fallbacks.answerable import answerable

if TYPE_CHECKING:
    from bee_core.errors import CallError
    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Fallback


@attrs.frozen
class StaticOptions:
    """Options of ``static``.

    Attributes:
        value: The answer: anything that the file can write. The caller gets it as it is, also from a typed proxy.
        application_errors: Answer also where the handler raised or an argument did not fit. Off: these are results, and would be wrong again.
    """

    value: Any
    application_errors: bool = False


class Static:
    """Answers with the value. Stateless, thread-safe: each caller gets a copy of its own, so that what one does to a list is not seen by the next."""

    def __init__(self, options: StaticOptions) -> None:
        self._value = options.value
        self._application_errors = options.application_errors

    def answer(
        self,
        service: str,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        error: CallError,
    ) -> Any:
        """See :meth:`bee_core.interfaces.Fallback.answer`."""
        if not answerable(error, application_errors=self._application_errors):
            raise error
        return deepcopy(self._value)


@hookimpl
def bee_register_fallbacks(registry: Registrar[Fallback]) -> None:
    """Offer ``static``."""
    registry.add("static", Static, options=StaticOptions)
