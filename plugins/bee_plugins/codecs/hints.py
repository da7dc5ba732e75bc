"""Which type hints a msgspec codec can carry."""

from __future__ import annotations

import collections.abc
import itertools
import types
import typing
from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.interfaces import hint_text

from .places import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.interfaces import Signature

_READ_ONCE = (collections.abc.Iterable, collections.abc.Reversible, collections.abc.Container)
"""Hints for "anything that can be walked": msgspec has no such type, a list is one."""

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
"""Types in ``msgspec.inspect`` that no key of a JSON object can be decoded to."""

_ANY_DICT = (
    dict,
    dict[str, Any],
    dict[Any, Any],
    dict,
    typing.Mapping[str, Any],
    collections.abc.Mapping[str, Any],
)
_ANY_KEYS = (dict, dict[Any, Any], typing.Dict)  # noqa: UP006
_ANY_LIST = (list, list[Any], typing.List, typing.Sequence[Any], collections.abc.Sequence[Any])  # noqa: UP006
_DATA = (
    "use a dataclass, an attrs class, a TypedDict, a msgspec.Struct, or one of the builtin types"
)
_MESSAGE = "the codec protobuf alone carries those, as parameters and results and in lists, dicts and unions of these: let it be the only one under codecs, and no message a field of a record"
_MOST_EXACT = 64  # combinations of argument types that a method keeps; a call beyond them is checked by decoding
_EXACT = {int, str, bool, float, bytes, type(None)}


def check(hint: Any, decoder: Callable[[Any], Any] = msgspec.json.Decoder) -> None:
    """Whether msgspec can carry a hint that is in its words.

    Args:
        hint: The hint.
        decoder: Makes a decoder of the format.

    Raises:
        TypeError: It holds a type that cannot be carried.
        Exception: What resolving the hints of a record raised.
    """
    problem = _problem(msgspec.inspect.type_info(hint), set())
    if problem:
        raise TypeError(problem)
    decoder(hint)


def refused(hint: Any, signature: Signature, what: str, error: Exception) -> TypeError:
    """The error for a type that cannot be carried; ``what`` is ``parameter order`` or ``result``."""
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


def exact_types(hint: Any, text_keys: bool = True) -> frozenset[type]:
    """The classes whose own instances always fit the hint once they are encoded, so that nothing more needs to be checked. Empty where that depends on the value.

    Args:
        hint: A type hint in the words of msgspec.
        text_keys: Whether the format makes text of every key of a dict.
    """
    if isinstance(hint, type) and hint in _EXACT:
        return frozenset([hint])
    if hint in (_ANY_DICT if text_keys else _ANY_KEYS):
        return frozenset([dict])
    if hint in _ANY_LIST:
        return frozenset([list])
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return frozenset().union(*(exact_types(part, text_keys) for part in typing.get_args(hint)))
    return frozenset()


def exact_calls(
    hints: list[Any], counts: range, text_keys: bool = True
) -> frozenset[tuple[type, ...]]:
    """The classes of arguments by position with which a call always fits, for each count of arguments."""
    types_of_each = [exact_types(hint, text_keys) for hint in hints]
    return frozenset(
        call
        for count in counts
        for call in itertools.islice(itertools.product(*types_of_each[:count]), _MOST_EXACT)
    )


def in_words_of_msgspec(hint: Any) -> Any:
    """Replace ``object`` by ``Any``, ``Iterable[T]`` by ``list[T]`` and a ``type X = …`` by what it stands for, also inside unions, containers and ``Annotated``."""
    hint = without_alias(hint)
    if hint is object:
        return Any
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in _READ_ONCE or origin in _READ_ONCE:
        return list[in_words_of_msgspec(args[0]) if args else Any]  # type: ignore[misc]
    if origin is typing.Annotated:
        parts = (in_words_of_msgspec(args[0]), *args[1:])
        return typing.Annotated[parts]
    if not args or origin is typing.Literal:
        return hint
    translated = tuple(in_words_of_msgspec(part) for part in args)
    union = origin in {typing.Union, types.UnionType}
    if union and Any in translated:
        return Any
    if translated == args:
        return hint
    if union:
        return typing.Union[translated]
    return origin[translated] if origin is not None else hint


def without_alias(hint: Any) -> Any:
    """What the name of a ``type`` statement stands for."""
    while True:
        alias, args = typing.get_origin(hint) or hint, typing.get_args(hint)
        if (
            type(alias).__name__ != "TypeAliasType"
        ):  # of typing since 3.12, of typing_extensions before
            return hint
        hint = alias.__value__[args] if args else alias.__value__


def _problem(info: Any, seen: set[int]) -> str:
    """What in a tree of ``msgspec.inspect`` cannot be carried, or nothing."""
    if id(info) in seen:
        return ""
    seen.add(id(info))
    if (
        isinstance(info, msgspec.inspect.CustomType)
        and info.cls is not object
        and not isinstance(info.cls, Place)
    ):
        if hasattr(info.cls, "DESCRIPTOR"):
            return f"{info.cls.__qualname__} is a protobuf message; {_MESSAGE}"
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
