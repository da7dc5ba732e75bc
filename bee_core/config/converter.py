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

from ..options import COMMAS, LISTEN, SEVERAL, Kind, MisfitError
from .client_model import AddressConfig
from .config_errors import Gathering, UnknownKeyError, problems, raise_all
from .fields import PluginRef, spellings
from .secret import Secret, read_secret
from .values import (
    BY_KIND,
    BY_TYPE,
    as_written,
    is_null,
    misfit,
    read_section,
    read_text,
    read_url,
    resolve,
    show,
)

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]
"""What cattrs calls: gets the value and the type."""
Factory = Callable[[Any, Converter], Hook]
"""Makes the hook of a type."""
ReadFields = Callable[[Mapping[str, Any], Gathering], dict[str, Any]]

_SEQUENCES: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: tuple,
}
_CONVERTER_OBJECT: Any = getattr(attrs, "Converter", ())  # new in attrs 24.1


def make_converter(special: Mapping[Any, Factory]) -> Converter:
    """A converter for every type of the configuration classes and of plugins' option classes.

    Args:
        special: Hooks for types that are read in a way of their own.
    """
    made = Converter()

    def add(fits: Callable[[Any], bool], make: Factory) -> None:
        made.register_structure_hook_factory(fits, lambda type_: make(type_, made))

    # cattrs asks the last one first, so the special ones stand at the end.
    add(lambda type_: inspect.isclass(type_) and issubclass(type_, enum.Enum), _enum_hook)
    add(lambda type_: get_origin(type_) is Literal, _literal_hook)
    add(
        lambda type_: (get_origin(type_) or type_) in {dict, collections.abc.Mapping}, _mapping_hook
    )
    add(lambda type_: (get_origin(type_) or type_) in _SEQUENCES, _sequence_hook)
    add(lambda type_: get_origin(type_) in {Union, UnionType}, _union_hook)
    add(lambda type_: inspect.isclass(type_) and attrs.has(type_), class_hook)
    add(lambda type_: get_origin(type_) is Annotated, _annotated_hook)
    add(lambda type_: type_ is Any or type_ is object, lambda _, __: _hook(resolve))
    for cls, make in {**_SPECIAL, **special}.items():
        add(lambda type_, cls=cls: type_ is cls, make)  # type: ignore[misc]
    # cattrs has hooks for these classes and their subclasses, which it asks before any other.
    for cls, read in BY_TYPE.items():
        made.register_structure_hook(cls, _scalar_hook(read, made))
    return made


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
            return _OPTIONS.structure(raw_options, cls)
        gathering = Gathering()
        for key in raw_options:
            gathering.add(
                key,
                MisfitError(
                    "this plugin takes no options; remove them", value=key, expected="no options"
                ),
            )
        gathering.finish()
    except Exception as error:
        raise_all(problems(error, path, origin))
    return None


def _hook(read: Callable[[Any], Any]) -> Hook:
    return lambda value, _: read(value)


def _scalar_hook(read: Callable[[Any], Any], made: Converter) -> Hook:
    def hook(value: Any, type_: Any) -> Any:
        if type_ in BY_TYPE:
            return read(value)
        return (
            _enum_hook(type_, made)(value, type_)
            if issubclass(type_, enum.Enum)
            else type_(read(value))
        )

    return hook


def is_none(value: Any) -> bool:
    """Whether a key says that there is to be no plugin."""
    if isinstance(value, Mapping):
        value = value.get("name", "")
    return is_null(value) or (isinstance(value, str) and value.lower() == "none")


# ── classes ──────────────────────────────────────────────────────────────────────────────────────


def class_hook(cls: type, made: Converter) -> Hook:
    """Reads a section into an attrs class."""
    read_fields = fields_reader(cls, made)

    def read(value: Any, _: Any) -> Any:
        if isinstance(value, cls):
            return value
        gathering = Gathering()
        values = read_fields(read_section(value), gathering)
        gathering.finish()
        return cls(**values)

    return read


def fields_reader(cls: type, made: Converter) -> ReadFields:
    """Reads the fields of a class that a section states, by their names.

    Each value is checked by its type and then by the field's validator. Each plugin has the key
    that names it as its path.
    """
    if any(isinstance(attribute.type, str) for attribute in attrs.fields(cls)):
        attrs.resolve_types(cls)
    readers = [
        (attribute, spellings(attribute), field_reader(attribute, made))
        for attribute in attrs.fields(cls)
    ]
    known = {key for _, keys, _ in readers for key in keys}

    def read(raw: Mapping[str, Any], gathering: Gathering) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for attribute, keys, read_field in readers:
            stated = [key for key in keys if key in raw]
            for key in stated:
                values[attribute.alias] = gathering.part(key, read_field, raw[key])
            if len(stated) > 1:
                gathering.add(
                    stated[1],
                    MisfitError(
                        f"{' and '.join(map(repr, stated))} are spellings of one key; "
                        "keep one of them",
                        value=stated[1],
                        expected="one spelling",
                    ),
                )
            if keys and not stated and attribute.default is attrs.NOTHING:
                gathering.add(
                    keys[0],
                    MisfitError(
                        "this key is missing, and it has no default",
                        value=None,
                        expected="a value",
                    ),
                )
        for key in sorted(raw.keys() - known):
            gathering.add("", UnknownKeyError(cls, key))
        return values

    return read


def field_reader(attribute: attrs.Attribute[Any], made: Converter) -> Callable[[Any], Any]:
    """Reads a field and runs its validator at once.

    So an impossible value is reported at its own path, together with the other problems.
    """
    convert: Any = attribute.converter

    def read(value: Any) -> Any:
        result = made.structure(value, attribute.type or Any)
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

    return read


def _plugin_hook(cls: type, made: Converter) -> Hook:
    whole = class_hook(cls, made)
    read_name = field_reader(attrs.fields(PluginRef).name, made)

    def read(value: Any, _: Any) -> PluginRef:
        if is_null(value):
            raise MisfitError(
                "no plugin is named here; write its name, or remove the key",
                value=None,
                expected="the name of a plugin",
            )
        if isinstance(value, str):
            return PluginRef(read_name(value))
        # The path is where the reference stands; the reader of the section says it.
        ref: PluginRef = attrs.evolve(whole(value, cls), path="")
        return ref

    return read


def _address_hook(cls: type, made: Converter) -> Hook:
    whole = class_hook(cls, made)
    read_url_field = field_reader(attrs.fields(AddressConfig).url, made)
    return lambda value, _: (
        cls(read_url_field(value)) if isinstance(value, str) else whole(value, cls)
    )


_SPECIAL: dict[Any, Factory] = {
    PluginRef: _plugin_hook,
    AddressConfig: _address_hook,
    Secret: lambda _, __: _hook(read_secret),
}


# ── containers ───────────────────────────────────────────────────────────────────────────────────


def each(value: Any, read: Callable[[Any], Any]) -> dict[str, Any]:
    """Read every entry of a mapping, by its key."""
    gathering = Gathering()
    result = {
        str(key): gathering.part(str(key), read, item) for key, item in read_section(value).items()
    }
    gathering.finish()
    return result


def _mapping_hook(type_: Any, made: Converter) -> Hook:
    element = (get_args(type_) or (Any, Any))[1]
    return lambda value, _: each(value, lambda item: made.structure(item, element))


def _sequence_hook(type_: Any, made: Converter) -> Hook:
    container = get_origin(type_) or type_
    elements = get_args(type_) or (Any,)
    fixed = container is tuple and len(get_args(type_)) > 0 and elements[-1] is not Ellipsis

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise misfit(value, "is not a list", "a list")
        if fixed and len(value) != len(elements):
            raise MisfitError(
                f"this list has {len(value)} entries; {len(elements)} are wanted",
                value=None,
                expected=f"{len(elements)} entries",
            )
        gathering = Gathering()
        result = [
            gathering.part(f"[{index}]", made.structure, item, elements[index if fixed else 0])
            for index, item in enumerate(value)
        ]
        gathering.finish()
        return _SEQUENCES[container](result)

    return read


def _union_hook(type_: Any, made: Converter) -> Hook:
    members = get_args(type_)
    choices = [member for member in members if member is not type(None)]
    stands_for_none = is_none if PluginRef in choices else is_null

    def read(value: Any, _: Any) -> Any:
        if len(choices) < len(members) and stands_for_none(value):
            return None
        if len(choices) == 1:
            return made.structure(value, choices[0])
        resolved = resolve(value)
        if type(resolved) in choices:
            return resolved
        for choice in choices:
            try:
                return made.structure(value, choice)
            except Exception:  # noqa: S112, PERF203  the next one may fit; if none does, that is the error
                continue
        names = [getattr(choice, "__name__", str(choice)) for choice in choices]
        raise misfit(value, f"is neither {' nor '.join(names)}", " or ".join(names))

    return read


def _enum_hook(cls: Any, _: Converter) -> Hook:
    return _choice_hook(tuple(cls), {str(choice.value): choice for choice in cls})


def _literal_hook(type_: Any, _: Converter) -> Hook:
    return _choice_hook(get_args(type_), {str(choice): choice for choice in get_args(type_)})


def _choice_hook(choices: tuple[Any, ...], by_text: Mapping[str, Any]) -> Hook:
    def read(value: Any, _: Any) -> Any:
        if isinstance(value, str) and not isinstance(value, enum.Enum):
            if value in by_text:
                return by_text[value]
        elif any(type(value) is type(choice) and value == choice for choice in choices):
            return value
        expected = ", ".join(by_text)
        raise misfit(value, f"is none of: {expected}", f"one of: {expected}")

    return read


def _annotated_hook(type_: Any, made: Converter) -> Hook:
    inner, *marks = get_args(type_)
    kind = next((mark for mark in marks if isinstance(mark, Kind)), None)
    if kind is SEVERAL:
        return _several_hook(inner, made)
    if kind is COMMAS:
        return lambda value, _: made.structure(_separated(value), inner)
    if kind is LISTEN:
        return _hook(_read_listen_url)
    if kind in BY_KIND:
        return _hook(BY_KIND[kind])
    return lambda value, _: made.structure(value, inner)


def _several_hook(inner: Any, made: Converter) -> Hook:
    element = get_args(inner)[0]

    def read(value: Any, _: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return made.structure(value, inner)
        if element is PluginRef and is_none(value):
            return ()
        return (made.structure(value, element),)

    return read


def _separated(value: Any) -> Any:
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    return [part.strip() for part in read_text(value).split(",") if part.strip()]


def _read_listen_url(value: Any) -> str:
    """A url, or a mapping whose only key is ``url``."""
    if not isinstance(value, Mapping):
        return read_url(value)
    gathering = Gathering()
    for key in value.keys() - {"url"}:
        gathering.add(
            key,
            MisfitError(
                f"unknown key {key!r}; an address to listen on has only 'url'",
                value=key,
                expected="only known keys",
            ),
        )
    url = gathering.part("url", read_url, value.get("url"))
    gathering.finish()
    return str(url)


_OPTIONS = make_converter({})
"""Reads the options of plugins."""
