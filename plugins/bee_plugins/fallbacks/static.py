"""Fallback ``static``: a fixed value instead of an error."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import attrs

from bee_core.errors import CALL_ERRORS, CallError
from bee_core.hookspecs import Registrar, hookimpl
from bee_core.options import validator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bee_core.interfaces import Fallback


_CLASSES: tuple[type[CallError], ...] = (CallError, *CALL_ERRORS.values())
ERRORS: Mapping[str, type[CallError]] = {cls.__name__: cls for cls in _CLASSES}

PASSING = (
    "Unavailable",
    "DeadlineExceeded",
    "CircuitOpen",
    "Overloaded",
    "CallCancelled",
    "ProtocolError",
)
"""The errors that pass by themselves."""


def _of_errors(names: Sequence[str]) -> str:
    unknown = [name for name in names if name not in ERRORS]
    return f"names of errors: {', '.join(ERRORS)}" if unknown or not names else ""


names_of_errors = validator(_of_errors)
"""A validator: at least one name, each of a class of ``bee_core.errors``."""


@attrs.frozen
class StaticOptions:
    """Options of ``static``.

    Attributes:
        value: The answer: anything that the file can write. The caller gets it as it is, also from
            a typed proxy.
        when: Names of the errors to answer for, as ``bee_core.errors`` has them. The default is
            what passes by itself: no node, a time that ran out, an open breaker, load. What stays
            until a program or a configuration changes is raised, because a fallback would hide it
            for ever: the handler's own error, arguments that do not fit, a wrong token, a method
            that is not there, a plugin with a bug.
    """

    value: Any
    when: tuple[str, ...] = attrs.field(default=PASSING, validator=names_of_errors)


class ConditionalFallback:
    """Answers with what a function returns, for the errors that it is made for.

    Args:
        function: Called with ``(service, method, args, kwargs, error)``.
        when: Names of the errors that it answers for.
    """

    def __init__(self, function: Callable[..., Any], when: Sequence[str]) -> None:
        self._function = function
        self._errors = tuple(ERRORS[name] for name in when)

    def answer(
        self,
        service: str,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        error: CallError,
    ) -> Any:
        """See :meth:`bee_core.interfaces.Fallback.answer`."""
        if not isinstance(error, self._errors):
            raise error
        return self._function(service, method, args, kwargs, error)


class Static(ConditionalFallback):
    """Answers with the value. Stateless, thread-safe.

    Each caller gets its own copy, so no caller sees what another one does to a list.
    """

    def __init__(self, options: StaticOptions) -> None:
        super().__init__(lambda *_: deepcopy(options.value), options.when)


@hookimpl
def bee_register_fallbacks(registry: Registrar[Fallback]) -> None:
    """Offer ``static``."""
    registry.add("static", Static, options=StaticOptions)
