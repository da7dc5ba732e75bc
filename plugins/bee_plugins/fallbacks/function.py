"""Fallback ``function``: a function of the application answers instead of an error."""

from __future__ import annotations

import inspect
import pkgutil
from typing import TYPE_CHECKING, Any

import attrs

from bee_core.hookspecs import Registrar, hookimpl

from .static import PASSING, ConditionalFallback, names_of_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.interfaces import Fallback


@attrs.frozen
class FunctionOptions:
    """Options of ``function``.

    Attributes:
        target: ``package.module:function``.
        when: As for ``static``.
    """

    target: str
    when: tuple[str, ...] = attrs.field(default=PASSING, validator=names_of_errors)


class FunctionFallback(ConditionalFallback):
    """Calls ``function(service, method, args, kwargs, error)`` for the answer.

    That is the contract of a fallback, without a plugin. It is as thread-safe as the function. The
    function may raise ``error`` or another exception to decline. It runs in the thread or loop of
    the call, perhaps after the call's deadline, so it must not wait.

    Raises:
        ValueError: There is no such function, or it is ``async``.
    """

    def __init__(self, options: FunctionOptions) -> None:
        super().__init__(_find(options.target), options.when)


def _find(target: str) -> Callable[..., Any]:
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise ValueError(f"target {target!r} is not of the form package.module:function")
    try:
        found: Any = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"target {target!r} cannot be imported: {error}; it must be on the import path of this"
            " program"
        ) from error
    if not callable(found):
        # A ValueError becomes a ConfigError that names the key.
        raise ValueError(  # noqa: TRY004
            f"target {target!r} is not a function but a {type(found).__name__}"
        )
    method = getattr(found, "__call__", None)  # noqa: B004  # the method itself is wanted
    if inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(method):
        raise ValueError(
            f"target {target!r} is async; a fallback answers at once, also on the asyncio client:"
            " write a plain def that does not wait"
        )
    try:
        inspect.signature(found).bind("service", "method", (), {}, None)
    except TypeError:
        raise ValueError(
            f"target {target!r} does not take (service, method, args, kwargs, error)"
        ) from None
    except ValueError:
        pass  # a function in C may have no signature: a call will show
    return found  # type: ignore[no-any-return]


@hookimpl
def bee_register_fallbacks(registry: Registrar[Fallback]) -> None:
    """Offer ``function``."""
    registry.add("function", FunctionFallback, options=FunctionOptions)
