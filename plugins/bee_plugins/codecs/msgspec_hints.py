"""Type hints as msgspec knows them: which ones it can carry, and custom types where it cannot."""

from __future__ import annotations

import collections.abc
import itertools
import types
import typing
from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.interfaces import Signature, hint_text, stands_for, substituted

from .invalid_argument import Misfit, located
from .plain_classes import is_text_class, read_text

if TYPE_CHECKING:
    from collections.abc import Callable


UNIONS = (typing.Union, types.UnionType)
_WRAPPERS = {"Annotated", "Required", "NotRequired", "ReadOnly", "Final"}
_READ_ONCE = (collections.abc.Iterable, collections.abc.Reversible, collections.abc.Container)
"""Hints for anything that can be iterated. msgspec has no such type; a list is one."""

_NO_KEYS = frozenset(
    f"{kind}Type"
    for kind in (
        "Bool",
        "None",
        "Custom",
        "List",
        "Set",
        "FrozenSet",
        "VarTuple",
        "Tuple",
        "NamedTuple",
        "Dict",
        "Struct",
        "TypedDict",
        "Dataclass",
    )
)
"""Types in ``msgspec.inspect`` to which no key of a JSON object can be decoded."""

_ANY_DICT = (
    dict,
    dict[str, Any],
    dict[Any, Any],
    typing.Mapping[str, Any],
    collections.abc.Mapping[str, Any],
)
_ANY_KEYS = (dict, dict[Any, Any], typing.Dict)  # noqa: UP006
_ANY_LIST = (
    list,
    list[Any],
    typing.List,  # noqa: UP006
    typing.Sequence[Any],
    collections.abc.Sequence[Any],
)
_DATA = (
    "use a dataclass, an attrs class, a TypedDict, a msgspec.Struct, or one of the builtin types"
)
_MOST_EXACT = 64
"""Combinations of argument types that a method keeps. Other calls are checked by decoding."""
_EXACT = {int, str, bool, float, bytes, type(None)}


class CustomType(type):
    """The type of classes that stand in a hint for what msgspec cannot read by itself.

    ``read`` and ``write`` are set after the class was made, because a type may contain itself.

    Attributes:
        read: Makes the value of what a decoder found: None, bool, int, float, str, bytes, datetime,
            list or dict. It raises what msgspec and a record's own check raise.
        write: Brings a value into the shape in which it is encoded. It returns other values as
            they are.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]

    def __instancecheck__(cls, value: object) -> bool:
        """Whether what ``read`` returned is an instance, asked by msgspec: it always is."""
        return True


def read_custom(hint: Any, value: Any) -> Any:
    """The ``dec_hook`` of decoders whose hints have custom types.

    Of other classes ``object`` comes here, which takes the value as it is, and those that travel
    as text.

    Raises:
        Misfit: The value does not fit. msgspec turns it into a ``ValidationError`` that adds the
            path of the value.
    """
    if is_text_class(hint):
        return read_text(hint, value)
    if not isinstance(hint, CustomType):
        return value
    try:
        return hint.read(value)
    except msgspec.ValidationError as error:
        raise Misfit(*located(error)) from error


def check(hint: Any, decoder: Callable[[Any], Any] = msgspec.json.Decoder) -> None:
    """Check that msgspec can carry a hint that :func:`msgspec_hint` made.

    Args:
        hint: The hint.
        decoder: Makes a decoder of the format.

    Raises:
        TypeError: It holds a type that cannot be carried.
        Exception: What the resolving of a record's hints raised.
    """
    problem = _problem(msgspec.inspect.type_info(hint), set())
    if problem:
        raise TypeError(problem)
    decoder(hint)


def refused(hint: Any, signature: Signature, what: str, error: Exception) -> TypeError:
    """The error for a type that cannot be carried; it names method, parameter and type.

    Args:
        hint: The type.
        signature: The method.
        what: ``parameter order`` or ``result``.
        error: What was raised about the type.
    """
    problem = (
        "it is defined by itself; put a class where it comes back"
        if isinstance(error, RecursionError)
        else str(error).rstrip(".")
    )
    if problem.startswith("Type unions containing a custom type"):
        problem += f"; one of them is no type for data: {_DATA}"
    elif problem.startswith("Type unions"):
        problem += "; put one of them into a class of its own"
    return TypeError(
        f"{signature.method}: the type {hint_text(hint)} of its {what} cannot be carried: {problem}"
    )


def exact_types(hint: Any, text_keys: bool) -> frozenset[type]:
    """The classes whose own instances always fit the hint, so no check is needed.

    Empty if it depends on the value.

    Args:
        hint: A type hint that :func:`msgspec_hint` made.
        text_keys: Whether the format makes text of every key of a dict.
    """
    if isinstance(hint, type) and hint in _EXACT:
        return frozenset([hint])
    if hint in (_ANY_DICT if text_keys else _ANY_KEYS):
        return frozenset([dict])
    if hint in _ANY_LIST:
        return frozenset([list])
    if typing.get_origin(hint) in UNIONS:
        return frozenset().union(*(exact_types(part, text_keys) for part in typing.get_args(hint)))
    return frozenset()


def exact_calls(hints: list[Any], counts: range, text_keys: bool) -> frozenset[tuple[type, ...]]:
    """For each number of arguments: their classes by position with which a call always fits."""
    types_of_each = [exact_types(hint, text_keys) for hint in hints]
    return frozenset(
        call
        for count in counts
        for call in itertools.islice(itertools.product(*types_of_each[:count]), _MOST_EXACT)
    )


def msgspec_hint(hint: Any) -> Any:
    """The hint with ``Any`` for ``object``, ``list[T]`` for ``Iterable[T]``, and without aliases.

    A type variable becomes what it stands for. It changes the parts of unions, containers and
    ``Annotated`` too.
    """
    hint = without_alias(hint)
    if isinstance(hint, typing.TypeVar):
        return msgspec_hint(stands_for(hint))
    if hint is object:
        return Any
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in _READ_ONCE or origin in _READ_ONCE:
        return list[msgspec_hint(args[0]) if args else Any]  # type: ignore[misc]
    hint = with_parts(hint, msgspec_hint)
    return Any if origin in UNIONS and Any in typing.get_args(hint) else hint


def without_alias(hint: Any) -> Any:
    """What the name of a ``type`` statement stands for."""
    while True:
        alias, args = typing.get_origin(hint) or hint, typing.get_args(hint)
        # The class is of typing since 3.12, and of typing_extensions before.
        if type(alias).__name__ != "TypeAliasType":
            return hint
        hint = substituted(alias.__value__, dict(zip(alias.__type_params__, args, strict=False)))


def bare(hint: Any) -> Any:
    """A hint without what is around it: ``Annotated``, ``Required``, a name of its own.

    A type variable becomes what it stands for.
    """
    while True:
        hint = without_alias(hint)
        if special_form(hint) in _WRAPPERS:
            hint = typing.get_args(hint)[0]
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif isinstance(hint, typing.TypeVar):
            hint = stands_for(hint)
        else:
            return hint


def special_form(hint: Any) -> str:
    """The name of the form around a hint, such as ``Annotated`` or ``NotRequired``.

    The form may be of ``typing`` or of ``typing_extensions``. Other hints give other text.
    """
    origin = typing.get_origin(hint)
    return str(getattr(origin, "_name", None) or getattr(origin, "__name__", ""))


def with_parts(hint: Any, change: Callable[[Any], Any]) -> Any:
    """The hint with each part of a union, a container or ``Annotated`` changed."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is None or origin is typing.Literal:
        return hint
    if origin is typing.Annotated:
        annotated = (change(args[0]), *args[1:])
        return typing.Annotated[annotated]
    changed = tuple(map(change, args))
    if changed == args:
        return hint
    return typing.Union[changed] if origin in UNIONS else origin[changed]


def _problem(info: Any, seen: set[int]) -> str:
    """What in a tree of ``msgspec.inspect`` cannot be carried; empty if everything can."""
    if id(info) in seen:
        return ""
    seen.add(id(info))
    if (
        isinstance(info, msgspec.inspect.CustomType)
        and info.cls is not object
        and not isinstance(info.cls, CustomType)
        and not is_text_class(info.cls)
    ):
        if hasattr(info.cls, "DESCRIPTOR"):
            return (
                f"{info.cls.__qualname__} is a protobuf message; the codec protobuf alone carries"
                " those, as parameters and results and in lists, dicts and unions of these: let it"
                " be the only one under codecs, and no message a field of a record"
            )
        return f"{info.cls.__qualname__} is no type for data; {_DATA}"
    if isinstance(info, msgspec.inspect.DictType) and type(info.key_type).__name__ in _NO_KEYS:
        return "keys of a dict must be text, numbers, enums, dates or UUIDs"
    for value in (getattr(info, name) for name in getattr(info, "__struct_fields__", ())):
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, (msgspec.inspect.Type, msgspec.inspect.Field)):
                problem = _problem(part, seen)
                if problem:
                    return problem
    return ""
