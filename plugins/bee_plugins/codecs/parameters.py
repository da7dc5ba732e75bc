"""One item for each parameter of a method, found as its argument is: by position or by name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bee_core.signatures import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

T = TypeVar("T")

ANYTHING = (
    Parameter("args", inspect.Parameter.VAR_POSITIONAL, required=False),
    Parameter("kwargs", inspect.Parameter.VAR_KEYWORD, required=False),
)
"""The parameters of a method that takes everything."""

BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class PerParameter(Generic[T]):
    """The items, by argument. Immutable; for any thread.

    An argument that no parameter takes has no item: None.

    Args:
        params: The parameters of a method.
        items: By the name of the parameter.
    """

    __slots__ = ("_by_name", "_by_position", "_rest", "_rest_by_name")

    def __init__(self, params: Sequence[Parameter], items: Mapping[str, T]) -> None:
        by_kind = {parameter.kind: items.get(parameter.name) for parameter in params}
        self._by_position = [
            (f"$.{parameter.name}", items.get(parameter.name))
            for parameter in params
            if parameter.kind in BY_POSITION
        ]
        self._by_name = {
            parameter.name: items.get(parameter.name)
            for parameter in params
            if parameter.kind in BY_NAME
        }
        self._rest = by_kind.get(inspect.Parameter.VAR_POSITIONAL)
        self._rest_by_name = by_kind.get(inspect.Parameter.VAR_KEYWORD)

    def at(self, index: int) -> tuple[str, T | None]:
        """The path and the item of an argument by position."""
        if index < len(self._by_position):
            return self._by_position[index]
        return f"$[{index}]", self._rest

    def called(self, name: str) -> T | None:
        """The item of an argument by name."""
        return self._by_name.get(name, self._rest_by_name)

    def labelled(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        """Each argument with its path."""
        for index, value in enumerate(args):
            yield self.at(index)[0], value
        for name, value in kwargs.items():
            yield f"$.{name}", value
