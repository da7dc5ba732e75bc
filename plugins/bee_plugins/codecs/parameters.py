"""One item for each parameter of a method, found as its argument is: by position or by name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from bee_core.interfaces import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

ANYTHING = (
    Parameter("args", inspect.Parameter.VAR_POSITIONAL, required=False),
    Parameter("kwargs", inspect.Parameter.VAR_KEYWORD, required=False),
)
"""The parameters of a method that takes everything."""

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def by_position(params: Iterable[Parameter]) -> list[Parameter]:
    """The parameters that a call may give by position, without ``*args``."""
    return [parameter for parameter in params if parameter.kind in _BY_POSITION]


def by_name(params: Iterable[Parameter]) -> list[Parameter]:
    """The parameters that a call may give by name, without ``**kwargs``."""
    return [parameter for parameter in params if parameter.kind in _BY_NAME]


def counts_by_position(params: Sequence[Parameter]) -> range:
    """How many arguments a call may have that gives all of them by position; ``*args`` aside.

    Empty if a parameter must be given by name.
    """
    if any(
        parameter.required and parameter.kind == inspect.Parameter.KEYWORD_ONLY
        for parameter in params
    ):
        return range(0)
    positional = by_position(params)
    return range(sum(parameter.required for parameter in positional), len(positional) + 1)


class PerParameter:
    """The items, by argument. Immutable; for any thread.

    An argument that no parameter takes has no item: None.

    Args:
        params: The parameters of a method.
        items: By the name of the parameter.
    """

    __slots__ = ("_by_name", "_by_position", "_rest", "_rest_by_name")

    def __init__(self, params: Sequence[Parameter], items: Mapping[str, Any]) -> None:
        by_kind = {parameter.kind: items.get(parameter.name) for parameter in params}
        self._by_position = [
            (f"$.{parameter.name}", items.get(parameter.name)) for parameter in by_position(params)
        ]
        self._by_name = {parameter.name: items.get(parameter.name) for parameter in by_name(params)}
        self._rest = by_kind.get(inspect.Parameter.VAR_POSITIONAL)
        self._rest_by_name = by_kind.get(inspect.Parameter.VAR_KEYWORD)

    def at(self, index: int) -> tuple[str, Any]:
        """The path and the item of an argument by position."""
        if index < len(self._by_position):
            return self._by_position[index]
        return f"$[{index}]", self._rest

    def called(self, name: str) -> Any:
        """The item of an argument by name."""
        return self._by_name.get(name, self._rest_by_name)

    def changed(
        self,
        change: Callable[[Any, Any, str], Any],
        args: Iterable[Any],
        kwargs: Mapping[str, Any],
    ) -> tuple[list[Any], dict[str, Any]]:
        """What ``change`` returns for each argument; it gets the item, the argument, the path."""
        positional = []
        for index, value in enumerate(args):
            path, item = self.at(index)
            positional.append(change(item, value, path))
        return positional, {
            name: change(self.called(name), value, f"$.{name}") for name, value in kwargs.items()
        }

    def labelled(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        """Each argument with its path."""
        for index, value in enumerate(args):
            yield self.at(index)[0], value
        for name, value in kwargs.items():
            yield f"$.{name}", value
