"""The routing key of a call, taken from its arguments.

A balancer with ``key_argument`` names an argument. Its value is the key of each call that states
none with ``with_options(key=…)``. The text of a value is the same in every language, so that
clients in all of them agree on a node.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import attrs

from ..contracts.plugin_faults import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..methods.signatures import Signature

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@attrs.frozen
class ArgumentKey:
    """Finds the key among the arguments of one method. Thread-safe.

    Attributes:
        name: The argument.
        index: Its position; None where it has none or nobody knows it.
        default: What the function itself fills in, or None.
    """

    name: str
    index: int | None = None
    default: Any = None

    def find(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
        """The key, or None for a call without this argument, or with None for it.

        Raises:
            TypeError: The value has no text that is the same in every language.
        """
        if self.name in kwargs:
            return text_of_key(kwargs[self.name])
        if self.index is not None and self.index < len(args):
            return text_of_key(args[self.index])
        return text_of_key(self.default)


def argument_key(name: str | None, signature: Signature | None) -> ArgumentKey | None:
    """How to find the key of a method's calls; None where it does not have the argument.

    Args:
        name: The argument, or None for none.
        signature: The method's, or None when nobody knows it: then calls must give the argument by
            name.
    """
    if name is None:
        return None
    params = None if signature is None else signature.params
    if params is None:
        return ArgumentKey(name)
    by_position = [one.name for one in params if one.kind in _BY_POSITION]
    for one in params:
        if one.kind == inspect.Parameter.VAR_KEYWORD:
            return ArgumentKey(name)
        if one.name == name:
            index = by_position.index(name) if name in by_position else None
            default = None if one.default is inspect.Parameter.empty else one.default
            return ArgumentKey(name, index, default)
    return None


def text_of_key(value: Any) -> str | None:
    """The key that a value is; None for None.

    Raises:
        TypeError: It is none.
    """
    if value is None or type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        try:
            return int.__str__(value)
        except ValueError as error:  # of thousands of digits
            raise TypeError(f"so long a number is no key: {error}") from None
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    raise TypeError(f"{kind_of(value)} is no key")
