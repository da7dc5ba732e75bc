"""Classes of the standard library that msgspec does not know, and what carries them.

============================================ ==========================================
class                                        on the wire
============================================ ==========================================
``IPv4Address`` … ``IPv6Interface``          their text
``Path``, ``PurePath`` and the like          their text
``deque``                                    an array
``defaultdict``, ``OrderedDict``, ``Counter`` an object or a map
============================================ ==========================================
"""

from __future__ import annotations

import collections
import ipaddress
import pathlib
import typing
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .invalid_argument import Misfit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ADDRESSES = (ipaddress.IPv4Address, ipaddress.IPv6Address)
_PREFIXED = (
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
)
_TEXTS = (*_ADDRESSES, *_PREFIXED, pathlib.PurePath)
MAPPINGS = (collections.defaultdict, collections.OrderedDict, collections.Counter)


def is_text_class(hint: Any) -> bool:
    """Whether instances of a class travel as their text."""
    return isinstance(hint, type) and issubclass(hint, _TEXTS)


def read_text(cls: Any, value: Any) -> Any:
    """An instance of a class of which :func:`is_text_class` is true.

    Raises:
        Misfit: It is no text, or not the text of one.
    """
    if type(value) is not str:
        raise Misfit("", f"expected {cls.__name__}, got {type(value).__name__}")
    try:
        return cls(value)
    except ValueError as error:
        raise Misfit("", f"not the text of a {cls.__name__}: {error}") from error


def text_reader(classes: Sequence[Any]) -> Callable[[Any], Any]:
    """What reads an instance of one of some classes from its text.

    Raises:
        TypeError: The text could be of several of them.
    """
    # An address has no slash, a network and an interface have one. A path may be any text.
    kinds = {(cls.__name__[:4], issubclass(cls, _PREFIXED)) for cls in classes}
    has_path = any(issubclass(cls, pathlib.PurePath) for cls in classes)
    if len(kinds) < len(classes) or (has_path and len(classes) > 1):
        names = ", ".join(cls.__name__ for cls in classes)
        raise TypeError(f"{names} cannot be told apart by their text; put one into a class")

    def read(value: Any) -> Any:
        for cls in classes[:-1]:
            with suppress(Misfit):
                return read_text(cls, value)
        return read_text(classes[-1], value)

    return read


def plain_value(value: Any) -> Any:
    """An instance as what carries it; None if it is of another class."""
    if isinstance(value, _TEXTS):
        return str(value)
    return list(value) if isinstance(value, collections.deque) else None


def mapping_maker(hint: Any) -> Callable[[dict[Any, Any]], Any]:
    """What makes a mapping of the hinted class of a dict.

    The factory of a ``defaultdict`` is the class of its values, if that takes no arguments.
    """
    origin, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is collections.defaultdict:
        factory = (typing.get_origin(args[1]) or args[1]) if args else None
        known = factory if factory in _FACTORIES else None
        return lambda found: collections.defaultdict(known, found)
    return origin if origin in MAPPINGS else lambda found: found


_FACTORIES = (bool, int, float, str, bytes, list, set, dict, tuple, frozenset, collections.deque)
