"""Values to classes: how each type of the configuration and of plugins' options is read.

cattrs finds the reader of a type. The readers are bee's own and strict: cattrs alone turns 2.7 into
2, ``"no"`` into True and a text into a list of its letters. Here a value either is what its field
wants, or it is a problem with a path.
"""

from __future__ import annotations

import collections.abc
import enum
import inspect
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import Converter

from ..options import COMMAS, LISTEN, SEVERAL, Kind, MisfitError, Plugin
from ..terms.metadata import Value
from .client_model import AddressConfig
from .config_errors import Gathering, UnknownKeyError, problems, raise_all
from .fields import OptionRef, PluginRef, spellings
from .secret import Secret, read_secret
from .values import (
    BY_KIND,
    BY_TYPE,
    as_written,
    is_null,
    misfit,
    read_metadata,
    read_section,
    read_text,
    read_url,
    resolve,
    show,
)

T = TypeVar("T")

_SEQUENCES: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: tuple,
}
_CONVERTER_OBJECT: Any = getattr(attrs, "Converter", ())  # new in attrs 24.1


def structure_options(
    cls: type[T] | None, raw_options: Mapping[str, Any], path: str, origin: Any = None
) -> T | None:
    """Make a plugin's options from what the configuration says.

    Args:
        cls: The plugin's attrs class, whose fields may have the types that
            :mod:`bee_core.options` lists; None for a plugin without options.
        raw_options: The options as a :class:`~bee_core.config.PluginRef` holds them.
        path: The dotted path of the options, for messages.
        origin: The configuration, or its ``origin``; finds file and line.

    Returns:
        An instance of the class, or None without a class.

    Raises:
        ConfigError: Unknown keys, wrong types, impossible values, or options for a plugin that
            takes none. ``problems`` has all of them.
    """
    try:
        if cls is not None:
            made: T = structure(raw_options, cls)
            _name_default_plugins(made)
            return made
        with Gathering() as gathering:
            for key in raw_options:
                gathering.misfit(
                    key, "this plugin takes no options; remove them", "no options", key
                )
    except Exception as error:
        raise_all(problems(error, path, origin))
    return None


def _name_default_plugins(options: Any) -> None:
    """Make references of the names that are defaults for options that hold plugins."""
    for attribute in attrs.fields(type(options)):
        value = getattr(options, attribute.name)
        kind = _plugin_of(attribute.type)
        if kind and isinstance(value, str):
            object.__setattr__(options, attribute.name, OptionRef(value, kind=kind))


def _plugin_of(type_: Any) -> str:
    """The kind of plugin that a field of options holds, or the empty string."""
    marks = getattr(type_, "__metadata__", ())
    if get_origin(type_) in {Union, UnionType}:
        return next(filter(None, map(_plugin_of, get_args(type_))), "")
    return next((mark.kind for mark in marks if isinstance(mark, Plugin)), "")


# ── classes ──────────────────────────────────────────────────────────────────────────────────────


def read_class(value: Any, cls: type) -> Any:
    """A section as an attrs class."""
    if isinstance(value, cls):
        return value
    with Gathering() as gathering:
        values = read_fields(cls, read_section(value), gathering)
    return cls(**values)


def read_fields(cls: type, raw: Mapping[str, Any], gathering: Gathering) -> dict[str, Any]:
    """The fields of a class that a section states, by their names.

    Each value is checked by its type and then by the field's validator. Each plugin has the key
    that names it as its path.
    """
    values: dict[str, Any] = {}
    unknown = set(raw)
    for attribute in attrs.fields(attrs.resolve_types(cls)):
        keys = spellings(attribute)
        stated = [key for key in keys if key in raw]
        unknown.difference_update(stated)
        for key in stated:
            values[attribute.alias] = gathering.part(key, read_field, raw[key], attribute)
        if len(stated) > 1:
            gathering.misfit(
                stated[1],
                f"{' and '.join(map(repr, stated))} are spellings of one key; keep one of them",
                "one spelling",
                stated[1],
            )
        if keys and not stated and attribute.default is attrs.NOTHING:
            gathering.misfit(keys[0], "this key is missing, and it has no default", "a value")
    for key in sorted(unknown):
        gathering.add("", UnknownKeyError(cls, key))
    return values


def read_field(value: Any, attribute: attrs.Attribute[Any]) -> Any:
    """Read a field and run its validator at once.

    So an impossible value is reported at its own path, together with the other problems.
    """
    convert: Any = attribute.converter
    result = structure(value, attribute.type or Any)
    if isinstance(convert, _CONVERTER_OBJECT):
        # It may want the instance: the constructor runs it, and then the validator.
        return result
    try:
        converted = convert(result) if convert is not None else result
        if attribute.validator is not None:
            attribute.validator(None, attribute, converted)
    except AttributeError:
        pass  # A validator that looks at its instance; the constructor runs it with one.
    except ValueError as error:
        if as_written(value) != value:
            raise MisfitError(
                f"what {show(value)} stands for is impossible here",
                value=as_written(value),
                expected=getattr(error, "expected", ""),
            ) from None
        raise
    return result


def _read_plugin(value: Any, cls: type) -> PluginRef:
    if is_null(value):
        raise MisfitError(
            "no plugin is named here; write its name, or remove the key",
            value=None,
            expected="the name of a plugin",
        )
    if isinstance(value, str):
        return PluginRef(read_field(value, attrs.fields(attrs.resolve_types(cls)).name))
    # The path is where the reference stands; the reader of the section says it.
    ref: PluginRef = attrs.evolve(read_class(value, cls), path="")
    return ref


def _read_address(value: Any, cls: type) -> Any:
    if isinstance(value, str):
        return cls(read_field(value, attrs.fields(attrs.resolve_types(cls)).url))
    return read_class(value, cls)


# ── containers ───────────────────────────────────────────────────────────────────────────────────


def each(value: Any, read: Callable[..., Any], *more: Any) -> dict[str, Any]:
    """Read every entry of a mapping, by its key."""
    with Gathering() as gathering:
        return {
            str(key): gathering.part(str(key), read, item, *more)
            for key, item in read_section(value).items()
        }


def _read_mapping(value: Any, type_: Any) -> dict[str, Any]:
    return each(value, structure, (get_args(type_) or (Any, Any))[1])


def _read_sequence(value: Any, type_: Any) -> Any:
    container = get_origin(type_) or type_
    elements = get_args(type_) or (Any,)
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise misfit(value, "is not a list", "a list")
    if container is not tuple or elements[-1] is Ellipsis:
        elements = elements[:1] * len(value)
    if len(value) != len(elements):
        raise MisfitError(
            f"this list has {len(value)} entries; {len(elements)} are wanted",
            value=None,
            expected=f"{len(elements)} entries",
        )
    with Gathering() as gathering:
        result = [
            gathering.part(f"[{index}]", structure, item, element)
            for index, (item, element) in enumerate(zip(value, elements, strict=True))
        ]
    return _SEQUENCES[container](result)


def _read_union(value: Any, type_: Any) -> Any:
    members = get_args(type_)
    choices = [member for member in members if member is not type(None)]
    names_plugin = PluginRef in choices or any(map(_plugin_of, choices))
    stands_for_none = _is_none if names_plugin else is_null
    if len(choices) < len(members) and stands_for_none(value):
        return None
    if len(choices) == 1:
        return structure(value, choices[0])
    resolved = resolve(value)
    if type(resolved) in choices:
        return resolved
    for choice in choices:
        try:
            return structure(value, choice)
        except Exception:  # noqa: S112, PERF203  the next may fit; if none does, that is the error
            continue
    names = [getattr(choice, "__name__", str(choice)) for choice in choices]
    raise misfit(value, f"is neither {' nor '.join(names)}", " or ".join(names))


def _is_none(value: Any) -> bool:
    """Whether a key says that there is to be no plugin."""
    if isinstance(value, Mapping):
        value = value.get("name", "")
    return is_null(value) or (isinstance(value, str) and value.lower() == "none")


def _read_choice(value: Any, type_: Any) -> Any:
    """A member of an enum, by its value, or one of the values of a ``Literal``."""
    choices = tuple(type_) if isinstance(type_, enum.EnumMeta) else get_args(type_)
    by_text = {str(getattr(choice, "value", choice)): choice for choice in choices}
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        if value in by_text:
            return by_text[value]
    elif any(type(value) is type(choice) and value == choice for choice in choices):
        return value
    expected = ", ".join(by_text)
    raise misfit(value, f"is none of: {expected}", f"one of: {expected}")


def _read_annotated(value: Any, type_: Any) -> Any:
    inner, *marks = get_args(type_)
    if plugin := _plugin_of(type_):
        ref = _read_plugin(value, PluginRef)
        return OptionRef(ref.name, ref.options, kind=plugin)
    kind = next((mark for mark in marks if isinstance(mark, Kind)), None)
    if kind in BY_KIND:
        return BY_KIND[kind](value)
    if kind is LISTEN:
        return _read_listen_url(value)
    if kind is COMMAS and not isinstance(value, (list, tuple, set, frozenset)):
        value = [part.strip() for part in read_text(value).split(",") if part.strip()]
    if kind is SEVERAL and not isinstance(value, (list, tuple)):
        element = get_args(inner)[0]
        if element is PluginRef and _is_none(value):
            return ()
        return (structure(value, element),)
    return structure(value, inner)


def _read_listen_url(value: Any) -> str:
    """A url, or a mapping whose only key is ``url``."""
    if not isinstance(value, Mapping):
        return read_url(value)
    with Gathering() as gathering:
        for key in value.keys() - {"url"}:
            message = f"unknown key {key!r}; an address to listen on has only 'url'"
            gathering.misfit(key, message, "only known keys", key)
        url = gathering.part("url", read_url, value.get("url"))
    return str(url)


# ── the table ────────────────────────────────────────────────────────────────────────────────────


def _read_scalar(value: Any, type_: Any) -> Any:
    if type_ in BY_TYPE:
        return BY_TYPE[type_](value)
    if issubclass(type_, enum.Enum):
        return _read_choice(value, type_)
    return type_(next(BY_TYPE[base] for base in type_.__mro__ if base in BY_TYPE)(value))


_CONVERTER = Converter()
"""Complete once this package is imported, and unchanged after that."""
structure: Callable[[Any, Any], Any] = _CONVERTER.structure
"""Reads a value of any type that a field may have."""


def register(type_: Any, read: Callable[[Any, Any], Any]) -> None:
    """Have one type read in a way of its own: ``read`` gets the value and the type."""
    _CONVERTER.register_structure_hook_func(lambda other: other is type_, read)


_READERS: tuple[tuple[Callable[[Any], bool], Callable[[Any, Any], Any]], ...] = (
    (lambda type_: inspect.isclass(type_) and issubclass(type_, enum.Enum), _read_choice),
    (lambda type_: get_origin(type_) is Literal, _read_choice),
    (lambda type_: (get_origin(type_) or type_) in {dict, Mapping}, _read_mapping),
    (lambda type_: (get_origin(type_) or type_) in _SEQUENCES, _read_sequence),
    (lambda type_: get_origin(type_) in {Union, UnionType}, _read_union),
    (lambda type_: inspect.isclass(type_) and attrs.has(type_), read_class),
    (lambda type_: get_origin(type_) is Annotated, _read_annotated),
    (lambda type_: type_ is Any or type_ is object, lambda value, _: resolve(value)),
)
for _fits, _read in _READERS:
    # cattrs asks the last one first, so the special ones stand at the end.
    _CONVERTER.register_structure_hook_func(_fits, _read)
_CONVERTER.register_structure_hook_func(
    lambda type_: type_ == Value, lambda value, _: read_metadata(value)
)
register(PluginRef, _read_plugin)
register(AddressConfig, _read_address)
register(Secret, lambda value, _: read_secret(value))
for _type in BY_TYPE:
    # cattrs has hooks for these and their subclasses, which it asks before any other.
    _CONVERTER.register_structure_hook(_type, _read_scalar)
