"""What a method takes and gives, read from its type hints.

A :class:`Signature` is what a codec is bound to: once a method, at build. Nothing here runs a
handler, evaluates a property or makes an instance of an interface.
"""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from .type_arguments import substituted
from .type_hints import NO_STREAMS, awaited, callable_hints, hint_text, is_stream

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MISSING: Any = inspect.Parameter.empty
"""The default of a parameter that has none."""

NOTHING: Mapping[Any, Any] = types.MappingProxyType({})
"""No type variables."""

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_LONGEST_NAME = 128
"""Characters of a caller's name of an argument that are compared and shown."""


class Mismatch(NamedTuple):
    """Arguments that do not fit a signature by count or by name: where, and what is wrong."""

    path: str
    message: str


@attrs.frozen
class Parameter:
    """One parameter of a method.

    Attributes:
        name: Its name.
        kind: One of the kinds of :class:`inspect.Parameter`, such as
            ``inspect.Parameter.KEYWORD_ONLY``.
        hint: Its type, resolved; ``Any`` without a hint. For ``*args`` and ``**kwargs`` the type of
            each element.
        required: Whether a call must give it.
        default: What the function itself fills in, or :data:`MISSING`.
    """

    name: str
    kind: int = inspect.Parameter.POSITIONAL_OR_KEYWORD
    hint: Any = Any
    required: bool = True
    default: Any = MISSING

    def __str__(self) -> str:
        """As in source: ``b: int = 5``."""
        star = (
            "*"
            if self.kind == inspect.Parameter.VAR_POSITIONAL
            else "**"
            if self.kind == inspect.Parameter.VAR_KEYWORD
            else ""
        )
        hint = "" if self.hint is Any else f": {hint_text(self.hint)}"
        if self.default is MISSING:
            return f"{star}{self.name}{hint}"
        shown = repr(self.default)
        return f"{self.name}{hint}{' = ' if hint else '='}{shown if len(shown) <= 20 else '...'}"


@attrs.frozen
class Signature:
    """What a method takes and gives.

    Attributes:
        method: ``add`` or ``Stats.mean``.
        params: The parameters in order, without ``self``; None when nobody knows them, then
            anything goes.
        result: The type of the result, of an ``async def`` the awaited one; ``Any`` without a hint.
    """

    method: str
    params: tuple[Parameter, ...] | None = None
    result: Any = Any

    @classmethod
    def dynamic(cls, method: str) -> Signature:
        """The signature of a method of which only the name is known."""
        return cls(method)

    @classmethod
    def of(cls, function: Any, method: str, given: Mapping[Any, Any] = NOTHING) -> Signature:
        """The signature of a function, a method (bound or not), a ``partial`` or another callable.

        Args:
            function: The callable. Of a plain function that was defined in a class, ``self`` or
                ``cls`` is left out.
            method: The name for the signature and for messages.
            given: What type variables of its class stand for.

        Raises:
            TypeError: It is not callable, has no readable signature, a hint cannot be resolved or
                is one of a stream; the message names the method and the hint.
        """
        if isinstance(function, (staticmethod, classmethod)):
            function = function.__get__(None, type(function))
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{method}: {function!r} has no signature that can be read: {error}"
            ) from None
        if _is_unbound_method(function, parameters):
            del parameters[0]
        hints = {
            name: substituted(hint, given)
            for name, hint in callable_hints(function, method).items()
        }
        hints["return"] = awaited(hints.get("return", Any))[0]
        for name, hint in hints.items():
            if is_stream(hint):
                what = "result" if name == "return" else f"parameter {name}"
                raise TypeError(f"{method}: its {what} is a {hint_text(hint)}, and {NO_STREAMS}")
        return cls(
            method,
            tuple(_parameter(parameter, hints) for parameter in parameters),
            hints["return"],
        )

    @property
    def as_python(self) -> inspect.Signature:
        """The same for :mod:`inspect`, of an ``async def`` with the awaited result."""
        return inspect.Signature(
            [
                inspect.Parameter(
                    parameter.name,
                    parameter.kind,  # type: ignore[arg-type]
                    default=parameter.default,
                    annotation=MISSING if parameter.hint is Any else parameter.hint,
                )
                for parameter in self.params or ()
            ],
            return_annotation=MISSING if self.result is Any else self.result,
        )

    def mismatch(self, count: int, names: Collection[str]) -> Mismatch | None:
        """Compare a call with the signature by count and by name, not by type.

        Args:
            count: How many arguments are given by position.
            names: The names of those given by name.

        Returns:
            The first thing wrong with the path of its argument, or None for a call that fits.
        """
        if self.params is None:
            return None
        kinds = {parameter.kind for parameter in self.params}
        positional = [parameter.name for parameter in self.params if parameter.kind in _BY_POSITION]
        named = {parameter.name for parameter in self.params if parameter.kind in _BY_NAME}
        if count > len(positional) and inspect.Parameter.VAR_POSITIONAL not in kinds:
            return Mismatch(
                "$",
                f"{self} takes at most {len(positional)} "
                f"argument{'s' if len(positional) != 1 else ''} by position, "
                f"{count} {'were' if count != 1 else 'was'} given",
            )
        for name in names:
            if name in named and name in positional[:count]:
                return Mismatch(
                    f"$.{name}", f"{self} was given {name!r} twice, by position and by name"
                )
            if name not in named and inspect.Parameter.VAR_KEYWORD not in kinds:
                shown = name[:_LONGEST_NAME]
                close = difflib.get_close_matches(shown, sorted(named), 1)
                what = "takes by position only" if name in positional else "has no argument"
                return Mismatch(
                    f"$.{shown}",
                    f"{self} {what} {shown!r}" + (f"; did you mean {close[0]!r}?" if close else ""),
                )
        given = {*positional[:count], *named.intersection(names)}
        absent = [
            parameter.name
            for parameter in self.params
            if parameter.required and parameter.name not in given
        ]
        if absent:
            return Mismatch(f"$.{absent[0]}", f"{self} is missing {', '.join(map(repr, absent))}")
        return None

    def __str__(self) -> str:
        """As in source: ``add(a: int, b: int)``."""
        if self.params is None:
            return f"{self.method}(...)"
        parts: list[str] = []
        for index, parameter in enumerate(self.params):
            before = self.params[index - 1].kind if index else parameter.kind
            if before == inspect.Parameter.POSITIONAL_ONLY != parameter.kind:
                parts.append("/")
            if parameter.kind == inspect.Parameter.KEYWORD_ONLY and (
                not index or before in _BY_POSITION
            ):
                parts.append("*")
            parts.append(str(parameter))
        if self.params and self.params[-1].kind == inspect.Parameter.POSITIONAL_ONLY:
            parts.append("/")
        return f"{self.method}({', '.join(parts)})"


def _is_unbound_method(function: Any, parameters: list[inspect.Parameter]) -> bool:
    if (
        not isinstance(function, types.FunctionType)
        or not parameters
        or parameters[0].name not in {"self", "cls"}
    ):
        return False
    # Where a function is nested in a class its qualified name ends in Class.name, in a function in
    # <locals>.name.
    return (
        not function.__qualname__.endswith(f"<locals>.{function.__name__}")
        and "." in function.__qualname__
    )


def _parameter(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Parameter:
    hint = hints.get(parameter.name, Any)
    variadic = parameter.kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    if parameter.default is None and hint is not Any:
        # `x: int = None` takes None. Python 3.10 says so by itself, later versions do not.
        hint = typing.Union[hint, None]
    return Parameter(
        parameter.name,
        parameter.kind,
        hint,
        parameter.default is MISSING and not variadic,
        parameter.default,
    )
