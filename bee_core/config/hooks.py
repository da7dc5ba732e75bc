"""How each type is read: cattrs walks the classes, the hooks here read the values, strictly.

cattrs alone turns 2.7 into 2, ``"no"`` into True and a text into a list of its letters. Here a value either is what its field wants or a problem with a path.
"""

from __future__ import annotations

import collections.abc
import enum
import inspect
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs
from cattrs import Converter, IterableValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from . import scalars
from .field_rules import written_at
from .model import AddressConfig
from .problems import Gathering
from .readers import KINDS, SCALARS, section
from .scalars import (
    Kind,
    MisfitError,
    Text,
    as_written,
    is_null,
    read_text,
    resolve,
    show,
)
from .secret import Secret, read_secret
from .settings import PluginRef

Hook = Callable[[Any, Any], Any]

_SEQUENCES: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: tuple,
    collections.abc.MutableSequence: list,
    collections.abc.Set: frozenset,
    collections.abc.Collection: tuple,
    collections.abc.Iterable: tuple,
}
_CONVERTER_OBJECT: Any = getattr(attrs, "Converter", ())  # new in attrs 24.1
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def make_converter() -> Converter:
    """A converter that reads every type of the configuration classes and of plugins' option classes."""
    made = Converter(forbid_extra_keys=True, detailed_validation=True)

    def add(fits: Callable[[Any], bool], make: Callable[[Any, Converter], Hook]) -> None:
        made.register_structure_hook_factory(fits, lambda type_: make(type_, made))

    # cattrs asks the last one first, so the special ones stand at the end.
    add(inspect.isclass, _instance_hook)
    add(lambda type_: inspect.isclass(type_) and issubclass(type_, enum.Enum), _enum_hook)
    add(
        lambda type_: get_origin(type_) is Literal,
        lambda type_, _: _choice_hook(
            get_args(type_), {str(choice): choice for choice in get_args(type_)}
        ),
    )
    add(lambda type_: (get_origin(type_) or type_) in _MAPPINGS, _mapping_hook)
    add(lambda type_: (get_origin(type_) or type_) in _SEQUENCES, _sequence_hook)
    add(lambda type_: get_origin(type_) in {Union, UnionType}, _union_hook)
    add(lambda type_: inspect.isclass(type_) and attrs.has(type_), class_hook)
    add(lambda type_: get_origin(type_) is Annotated, _annotated_hook)
    add(lambda type_: type_ is Any or type_ is object, lambda _, __: _reader_hook(resolve))
    add(lambda type_: type_ is PluginRef, _plugin_hook)
    add(lambda type_: type_ is AddressConfig, _address_hook)
    add(lambda type_: type_ is Secret, lambda _, __: _reader_hook(read_secret))
    # cattrs has hooks for these classes and their subclasses, which it asks before any other.
    for cls, read_scalar in SCALARS.items():
        made.register_structure_hook(cls, _scalar_hook(read_scalar, made))
    return made


def _reader_hook(read: Callable[[Any], Any]) -> Hook:
    return lambda value, _: read(value)


def _scalar_hook(read: Callable[[Any], Any], made: Converter) -> Hook:
    def hook(value: Any, type_: Any) -> Any:
        if type_ in SCALARS:
            return read(value)
        return (_enum_hook if issubclass(type_, enum.Enum) else _instance_hook)(type_, made)(
            value, type_
        )

    return hook


def is_none(value: Any) -> bool:
    """Whether a key says that there is to be no plugin."""
    if isinstance(value, Mapping):
        value = value.get("name", "")
    return is_null(value) or (isinstance(value, str) and value.lower() == "none")


# ── classes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def class_hook(cls: type, made: Converter) -> Hook:
    """Reads a section into an attrs class: the keys are the written fields, each checked by its type and then by its validator."""
    if any(isinstance(attribute.type, str) for attribute in attrs.fields(cls)):
        attrs.resolve_types(cls)
    overrides: Any = {
        attribute.name: override(omit=True)
        if written_at(attribute) != attribute.name
        else override(struct_hook=field_hook(attribute, made))
        for attribute in attrs.fields(cls)
        if attribute.init
    }
    inner: Hook = make_dict_structure_fn(
        cls, made, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True, **overrides
    )
    return lambda value, _: value if isinstance(value, cls) else inner(section(value), cls)


def field_hook(attribute: attrs.Attribute[Any], made: Converter) -> Hook:
    """Reads a field and runs its validator at once, so that an impossible value is reported at its own path, together with the other problems."""
    convert: Any = attribute.converter

    def read(value: Any, _: Any) -> Any:
        result = made.structure(value, attribute.type or Any)
        if isinstance(convert, _CONVERTER_OBJECT):
            return (
                result  # It may want the instance: the constructor runs it, and then the validator.
            )
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
    read_name = field_hook(attrs.fields_dict(cls)["name"], made)

    def read(value: Any, _: Any) -> Any:
        if is_null(value):
            raise MisfitError(
                "no plugin is named here; write its name, or remove the key",
                value=None,
                expected="the name of a plugin",
            )
        return cls(read_name(value, str)) if isinstance(value, str) else whole(value, cls)

    return read


def _address_hook(cls: type, made: Converter) -> Hook:
    whole = class_hook(cls, made)
    read_url = field_hook(attrs.fields_dict(cls)["url"], made)
    return lambda value, _: (
        cls(read_url(value, str)) if isinstance(value, str) else whole(value, cls)
    )


def _instance_hook(cls: type, _: Converter) -> Hook:
    """A class that no file can write: an object of it can come from Python all the same."""

    def read(value: Any, _: Any) -> Any:
        if isinstance(value, cls) and not isinstance(value, Text):
            return value
        raise MisfitError(
            f"{show(value)} is not a {cls.__qualname__}",
            value=as_written(value),
            expected=f"an object of {cls.__qualname__}",
        )

    return read


# ── containers ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _mapping_hook(type_: Any, made: Converter) -> Hook:
    arguments = get_args(type_)
    element = arguments[1] if arguments else Any

    def read(value: Any, _: Any) -> Any:
        gathering = Gathering(dict)
        result = {
            str(key): gathering.part(str(key), made.structure, item, element)
            for key, item in section(value).items()
        }
        gathering.finish()
        return result

    return read


def _sequence_hook(type_: Any, made: Converter) -> Hook:
    container = get_origin(type_) or type_
    elements = get_args(type_)
    fixed = container is tuple and elements and elements[-1] is not Ellipsis
    element = elements[0] if elements else Any

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise MisfitError(
                f"{show(value)} is not a list", value=as_written(value), expected="a list"
            )
        if fixed and len(value) != len(elements):
            raise MisfitError(
                f"this list has {len(value)} entries; {len(elements)} are wanted",
                value=None,
                expected=f"{len(elements)} entries",
            )
        result, errors = [], []
        for index, item in enumerate(value):
            try:
                result.append(made.structure(item, elements[index] if fixed else element))
            except Exception as error:  # noqa: PERF203  all entries are tried, so that all problems are reported
                note = IterableValidationNote(f"at {index}", index, element)
                error.__notes__ = [*getattr(error, "__notes__", ()), note]  # type: ignore[attr-defined,unused-ignore]  # Python 3.10 has no add_note
                errors.append(error)
        if errors:
            raise IterableValidationError("several entries are wrong", errors, type_)
        return _SEQUENCES[container](result)

    return read


def _union_hook(type_: Any, made: Converter) -> Hook:
    members = get_args(type_)
    choices = [member for member in members if member is not type(None)]

    def read(value: Any, _: Any) -> Any:
        if len(choices) < len(members) and (
            is_none(value)
            if PluginRef in choices and not isinstance(value, PluginRef)
            else is_null(value)
        ):
            return None
        if len(choices) == 1:
            return made.structure(value, choices[0])
        resolved = resolve(value)
        if type(resolved) in choices:
            return resolved
        for choice in choices:
            try:
                return made.structure(value, choice)
            except Exception:  # noqa: S112, PERF203  the next one may fit; when none does, that is the error
                continue
        expected = " or ".join(getattr(choice, "__name__", str(choice)) for choice in choices)
        raise MisfitError(
            f"{show(value)} is neither {expected.replace(' or ', ' nor ')}",
            value=as_written(value),
            expected=expected,
        )

    return read


def _enum_hook(cls: Any, _: Converter) -> Hook:
    return _choice_hook(tuple(cls), {str(choice.value): choice for choice in cls})


def _choice_hook(choices: tuple[Any, ...], by_text: Mapping[str, Any]) -> Hook:
    def read(value: Any, _: Any) -> Any:
        if isinstance(value, str) and not isinstance(value, enum.Enum) and value in by_text:
            return by_text[value]
        if not isinstance(value, str) and any(
            value is choice or (type(value) is type(choice) and value == choice)
            for choice in choices
        ):
            return value
        expected = ", ".join(by_text)
        raise MisfitError(
            f"{show(value)} is none of: {expected}",
            value=as_written(value),
            expected=f"one of: {expected}",
        )

    return read


def _annotated_hook(type_: Any, made: Converter) -> Hook:
    inner, *marks = get_args(type_)
    kind = next((mark for mark in marks if isinstance(mark, Kind)), None)
    if kind is scalars.SEVERAL:
        return _several_hook(inner, made)
    if kind is scalars.COMMAS:
        return lambda value, _: made.structure(_separated(value), inner)
    read = KINDS.get(kind) if kind is not None else None
    return _reader_hook(read if read is not None else lambda value: made.structure(value, inner))


def _several_hook(inner: Any, made: Converter) -> Hook:
    element = get_args(inner)[0]

    def read(value: Any, _: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return made.structure(value, inner)
        if element is PluginRef and not isinstance(value, PluginRef) and is_none(value):
            return ()
        return (made.structure(value, element),)

    return read


def _separated(value: Any) -> Any:
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    return [part.strip() for part in read_text(value).split(",") if part.strip()]
