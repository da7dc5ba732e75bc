"""Which type hints a msgspec codec can carry."""

from __future__ import annotations

import collections.abc
import itertools
import types
import typing
from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.type_hints import hint_text

if TYPE_CHECKING:
    from bee_core.signatures import Signature

_READ_ONCE = (collections.abc.Iterable, collections.abc.Reversible, collections.abc.Container)
"""Hints for "anything that can be walked": msgspec has no such type, a list is one."""

_NO_KEYS = frozenset(
    f"{kind}Type" for kind in ("Bool", "None", "List", "Set", "FrozenSet", "VarTuple", "Tuple", "NamedTuple", "Dict", "Struct", "TypedDict", "Dataclass")
)
"""Types in ``msgspec.inspect`` that no key of a JSON object can be decoded to."""

_ANY_DICT = (dict, dict[str, Any], dict[Any, Any], typing.Dict, typing.Mapping[str, Any], collections.abc.Mapping[str, Any])  # noqa: UP006
_ANY_LIST = (list, list[Any], typing.List, typing.Sequence[Any], collections.abc.Sequence[Any])  # noqa: UP006
_MOST_EXACT = 64  # combinations of argument types that a method keeps; a call beyond them is checked by decoding
_EXACT = {int, str, bool, float, bytes, type(None)}


def carried(hint: Any, signature: Signature, what: str) -> Any:
    """The hint in the words of msgspec, checked.

    Args:
        hint: A resolved type hint.
        signature: The method, for the message.
        what: ``parameter order`` or ``result``, for the message.

    Raises:
        TypeError: It holds a type that cannot be carried. The message names method, parameter and type.
    """
    hint = _translated(hint)
    try:
        problem = _problem(msgspec.inspect.type_info(hint), set())
        msgspec.json.Decoder(hint)
    except Exception as error:  # a forward reference inside a record, a union that msgspec cannot tell apart
        problem = str(error).rstrip(".")
    if problem:
        raise TypeError(f"{signature.method}: the type {hint_text(hint)} of its {what} cannot be carried: {problem}")
    return hint


def exact_types(hint: Any) -> frozenset[type]:
    """The classes whose own instances always fit the hint once they are encoded, so that nothing more needs to be checked. Empty where that depends on the value."""
    if isinstance(hint, type) and hint in _EXACT:
        return frozenset([hint])
    if hint in _ANY_DICT:
        return frozenset([dict])
    if hint in _ANY_LIST:
        return frozenset([list])
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return frozenset().union(*(exact_types(part) for part in typing.get_args(hint)))
    return frozenset()


def exact_calls(hints: list[Any], counts: range) -> frozenset[tuple[type, ...]]:
    """The classes of arguments by position with which a call always fits, for each count of arguments."""
    types_of_each = [exact_types(hint) for hint in hints]
    return frozenset(call for count in counts for call in itertools.islice(itertools.product(*types_of_each[:count]), _MOST_EXACT))


def _translated(hint: Any) -> Any:
    """Replace ``object`` by ``Any`` and ``Iterable[T]`` by ``list[T]``, also inside unions, containers and ``Annotated``."""
    if hint is object:
        return Any
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in _READ_ONCE or origin in _READ_ONCE:
        return list[_translated(args[0]) if args else Any]  # type: ignore[misc]
    if origin is typing.Annotated:
        parts = (_translated(args[0]), *args[1:])
        return typing.Annotated[parts]
    if not args or origin is typing.Literal:
        return hint
    translated = tuple(_translated(part) for part in args)
    if translated == args:
        return hint
    if origin in {typing.Union, types.UnionType}:
        return typing.Union[translated]
    return origin[translated] if origin is not None else hint


def _problem(info: Any, seen: set[int]) -> str:
    """What in a tree of ``msgspec.inspect`` cannot be carried, or nothing."""
    if id(info) in seen:
        return ""
    seen.add(id(info))
    if isinstance(info, msgspec.inspect.CustomType) and info.cls is not object:
        return f"{info.cls.__qualname__} is no type for data; use a dataclass, an attrs class, a TypedDict, a msgspec.Struct, or one of the builtin types"
    if isinstance(info, msgspec.inspect.DictType) and type(info.key_type).__name__ in _NO_KEYS:
        return "keys of a dict must be text, numbers, enums, dates or UUIDs"
    for value in (getattr(info, name) for name in getattr(info, "__struct_fields__", ())):
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, (msgspec.inspect.Type, msgspec.inspect.Field)):
                problem = _problem(part, seen)
                if problem:
                    return problem
    return ""
