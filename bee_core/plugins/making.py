"""Makes an object of a plugin that is loaded, and checks it against the contract of its kind."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import attrs

from ..contracts.conformance import CONTRACTS, misfits
from ..contracts.plugin_origin import defined_at, in_brackets
from ..errors import BeeError, PluginError
from ..terms.printable import brief
from ..terms.tracebacks import place, raised_at
from .entry_points import Origin, missing_import
from .provenance import origin_of
from .registered import Registered, option_error, placed

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from ..config import Config, PluginRef
    from ..config.fields import OptionRef

    Place: TypeAlias = Config | Callable[[str], int | None] | None


def make(
    registered: Registered,
    brought_by: Origin,
    ref: PluginRef,
    context: tuple[Any, ...],
    origin: Place,
    make_inner: Callable[[OptionRef], Any],
) -> Any:
    """Make an object of a plugin.

    Args:
        registered: The plugin.
        brought_by: The distribution that it comes from.
        ref: What the configuration says of it.
        context: What the kind's factories get before the options.
        origin: The configuration, or what finds a line in it.
        make_inner: Makes a plugin that is the value of an option.

    Returns:
        What the factory made; it keeps the contract of its kind.

    Raises:
        PluginError: The factory failed, or what it made does not keep the contract.
        ConfigError: The options are wrong, or the factory refused them with a ValueError.
    """
    title, path = f"{registered.kind} {registered.name!r}", ref.path
    try:
        if registered.options_class is not None or ref.options:
            options = _options(registered, ref, origin, make_inner)
            context = (*context, options)
        made = registered.factory(*context)
    except (BeeError, KeyboardInterrupt):
        raise
    except ImportError as error:
        problem = missing_import(error, brought_by)
        raise PluginError(placed(f"{title} cannot be used: {problem}", path, origin)) from error
    except ValueError as error:
        raise option_error(f"{title}: {error}", error, path, tuple(ref.options), origin) from error
    except BaseException as error:  # whatever a factory does, as sys.exit()
        where = in_brackets(raised_at(error, defined_at(registered.factory)[0]))
        raise PluginError(
            placed(
                f"{title} ({brought_by.label}) could not be made: {brief(error)}{where}",
                path,
                origin,
            )
        ) from error
    problem = _no_object(made)
    if problem:
        where = in_brackets(place(*defined_at(registered.factory)))
        problem = f"its factory {_named(registered.factory)} {problem}{where}"
    else:
        problem = misfits(made, CONTRACTS[registered.kind])
    if problem:
        raise PluginError(
            placed(f"{title} ({brought_by.label}) does not do: {problem}", path, origin)
        )
    return made


def _no_object(made: Any) -> str:
    """Why what a factory returned is no object of a plugin, or the empty string."""
    if made is None:
        return "returned None"
    if isinstance(made, type):
        return f"returned the class {made.__qualname__}, and no object of it"
    if inspect.iscoroutine(made):
        made.close()  # else Python warns that nobody awaited it
        return "is async; write def"
    return ""


def check_class(registered: Registered) -> str:
    """What is wrong with a plugin that cannot be made here, as far as its class tells.

    Returns:
        One line, or the empty string; also where the factory is a function, which tells nothing.
    """
    if not isinstance(registered.factory, type):
        return ""
    problem = misfits(registered.factory, CONTRACTS[registered.kind])
    return f"{origin_of(registered).label} does not do: {problem}" if problem else ""


def _named(factory: Any) -> str:
    return str(getattr(factory, "__qualname__", type(factory).__qualname__))


def _options(
    registered: Registered,
    ref: PluginRef,
    origin: Place,
    make_inner: Callable[[OptionRef], Any],
) -> Any:
    """The options as the plugin's class has them, with those that are plugins made."""
    # Imported here: cattrs is slow to import, and a hub without options does not need it.
    from ..config import structure_options
    from ..config.fields import OptionRef

    path = f"{ref.path}.options" if ref.path else "options"
    options: Any = structure_options(registered.options_class, ref.options, path, origin)
    made: dict[str, Any] = {}
    for attribute in attrs.fields(type(options)) if attrs.has(type(options)) else ():
        value = getattr(options, attribute.name)
        several = isinstance(value, (tuple, list))
        refs = [one for one in (value if several else (value,)) if isinstance(one, OptionRef)]
        if refs:
            # A default stands nowhere, so it has no path.
            stated = [attrs.evolve(one, path=one.path and f"{path}.{one.path}") for one in refs]
            objects = [make_inner(one) for one in stated]
            made[attribute.alias] = type(value)(objects) if several else objects[0]
    return attrs.evolve(options, **made) if made else options
