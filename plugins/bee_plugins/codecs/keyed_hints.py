"""Sets and dicts whose keys have hashes that a caller can guess.

They are read with a bound on keys of one hash: see :mod:`~.bounded_decoding`.
"""

from __future__ import annotations

import collections.abc
import datetime as dt
import enum
import functools
import itertools
import types
import typing
from typing import TYPE_CHECKING, Any

from .bounded_decoding import MOST_COLLIDING, distinct
from .msgspec_hints import UNIONS, bare
from .union_parts import is_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SETS = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
_UNGUESSABLE = (
    *(str, bytes, bytearray, memoryview, bool, type(None), enum.Enum),
    *(dt.date, dt.time, dt.timedelta),
)
"""Their hashes are secret, or only a few values have the same one."""
_BOUNDED = (int, float)
"""Few numbers of 64 bits have one hash. Longer integers are found in the body of JSON."""


def has_guessable_hashes(hint: Any) -> bool:
    """Whether a hint is a set or a dict, and a caller can make many keys that have one hash."""
    hint = bare(hint)
    cls = typing.get_origin(hint) or hint
    if cls in _SETS:
        return _is_guessable(keyed_parts(hint)[1][0])
    args = typing.get_args(hint)
    # Untyped keys are text in JSON, and no arrays in MessagePack.
    return bool(args) and is_mapping(hint) and bare(args[0]) is not Any and _is_guessable(args[0])


def keyed_parts(hint: Any) -> tuple[Any, Sequence[Any]]:
    """The class of a set or dict, and the types of what is in it."""
    origin = typing.get_origin(hint) or hint
    return origin, typing.get_args(hint) or (Any,)


def keyed_reader(
    origin: Any, hints: Sequence[Any], convert: Callable[..., Any]
) -> Callable[[Any], Any]:
    """The function that makes such a set or dict of a plain list or dict.

    It raises what ``convert`` raises, and a Misfit for too many keys of one hash.
    """
    if origin in _SETS:
        make = frozenset if origin is frozenset else set
        read = functools.partial(convert, type=types.GenericAlias(list, (hints[0],)))
        if hints[0] is not Any:
            return lambda value: make(distinct(read(value), "members of the set"))
        return lambda value: make(distinct(list(map(_hashable, read(value))), "members of the set"))
    return functools.partial(_read_dict, functools.partial(convert, type=origin[tuple(hints)]))


def _read_dict(read: Callable[[Any], Any], value: Any) -> Any:
    """Piece by piece, so that the keys can be counted before they meet."""
    if not isinstance(value, dict) or len(value) <= MOST_COLLIDING:
        return read(value)
    items = iter(value.items())
    parts = []
    while part := dict(itertools.islice(items, MOST_COLLIDING)):
        parts.append(read(part))
    distinct([key for part in parts for key in part], "keys")
    found = parts[0]
    for part in parts[1:]:
        found.update(part)
    return found


def _is_guessable(hint: Any) -> bool:
    hint = bare(hint)
    origin = typing.get_origin(hint)
    if origin in UNIONS:
        return any(map(_is_guessable, typing.get_args(hint)))
    if origin is typing.Literal:
        return False
    return not (isinstance(hint, type) and issubclass(hint, (*_UNGUESSABLE, *_BOUNDED)))


def _hashable(value: Any) -> Any:
    """An array in a set is a tuple, as in MessagePack."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value
