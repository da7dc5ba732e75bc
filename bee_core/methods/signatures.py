"""What a method takes and gives, read from its type hints.

A :class:`Signature` is what a codec is bound to: once a method, at build. Nothing here runs a
handler, evaluates a property or makes an instance of an interface.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import types
import typing
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from .decorators import IDEMPOTENT, ONEWAY
from .type_hints import attribute_hints, awaited, callable_hints, hint_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MISSING: Any = inspect.Parameter.empty
"""The default of a parameter that has none."""

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
# What their classes define is not the application's interface.
_FOREIGN_MODULES = ("builtins", "typing", "typing_extensions", "abc")


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
    def of(cls, function: Any, method: str) -> Signature:
        """The signature of a function, a method (bound or not), a ``partial`` or another callable.

        Args:
            function: The callable. Of a plain function that was defined in a class, ``self`` or
                ``cls`` is left out.
            method: The name for the signature and for messages.

        Raises:
            TypeError: It is not callable, has no readable signature, or a hint cannot be resolved;
                the message names the method and the hint.
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
        hints = callable_hints(function, method)
        return cls(
            method,
            tuple(_parameter(parameter, hints) for parameter in parameters),
            awaited(hints.get("return", Any))[0],
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
                close = difflib.get_close_matches(name, sorted(named), 1)
                what = "takes by position only" if name in positional else "has no argument"
                return Mismatch(
                    f"$.{name}",
                    f"{self} {what} {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""),
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


@attrs.frozen
class InterfaceMethod:
    """A method that an interface declares.

    Attributes:
        name: ``add``, or ``Stats.mean`` for a method of a nested interface.
        signature: What it takes and gives.
        is_async: Whether it is declared ``async def``, or returns an awaitable.
        idempotent: Whether it is marked ``@bee_core.idempotent``.
        oneway: Whether it is marked ``@bee_core.oneway``.
    """

    name: str
    signature: Signature
    is_async: bool = False
    idempotent: bool = False
    oneway: bool = False


def interface_methods(interface: type) -> dict[str, InterfaceMethod]:
    """The public methods of a class, Protocol or ABC, by name, inherited ones too.

    A class attribute that is annotated with another interface (``Stats: StatsApi``) adds its
    methods as ``Stats.<method>``, one level deep. Private names, properties and other attributes
    are not part of it.

    Raises:
        TypeError: Not a class, nothing public in it, a hint cannot be resolved, or a method is
            marked oneway and declares a result.
    """
    if not isinstance(interface, type):
        raise TypeError(f"an interface is a class, a Protocol or an ABC, not {interface!r}")
    found = _methods(interface, "")
    for attribute, nested in _nested(interface).items():
        found.update(_methods(nested, f"{attribute}."))
    if not found:
        raise TypeError(f"the interface {interface.__qualname__} declares no public method")
    return found


def public_methods(cls: type) -> dict[str, Any]:
    """The methods that a class and its bases define under public names, not bound.

    The nearest definition of a name counts. Left out: names with an underscore, properties, plain
    attributes, nested classes, and what ``object``, the builtin types and ``typing`` define.
    """
    seen: dict[str, Any] = {}
    for base in cls.__mro__:
        if base.__module__ in _FOREIGN_MODULES:
            continue
        for name, value in vars(base).items():
            seen.setdefault(name, value)  # a subclass that sets a name to None hides the method
    return {
        name: value
        for name, value in seen.items()
        if not name.startswith("_") and _is_method(value)
    }


def _methods(interface: type, prefix: str) -> dict[str, InterfaceMethod]:
    found = {}
    for name, raw in public_methods(interface).items():
        # Bound to the class in place of an instance: the first parameter goes, whatever its name.
        function = raw.__get__(interface, interface)
        signature = Signature.of(function, prefix + name)
        is_async = (
            inspect.iscoroutinefunction(function)
            or awaited(callable_hints(function, name).get("return"))[1]
        )
        oneway = bool(getattr(function, ONEWAY, False))
        if oneway and signature.result not in (None, types.NoneType, Any):
            raise TypeError(
                f"{prefix}{name} is marked oneway and declares a result, "
                f"{hint_text(signature.result)}: nobody waits for one; declare None"
            )
        found[prefix + name] = InterfaceMethod(
            prefix + name, signature, is_async, bool(getattr(function, IDEMPOTENT, False)), oneway
        )
    return found


def _nested(interface: type) -> dict[str, type]:
    hints = attribute_hints(interface)
    return {
        name: hint
        for name, hint in hints.items()
        if isinstance(hint, type) and not _is_record(hint) and public_methods(hint)
    }


def _is_record(cls: type) -> bool:
    return any(
        hasattr(cls, mark)
        for mark in ("__attrs_attrs__", "__dataclass_fields__", "__struct_fields__")
    )


def _is_method(value: Any) -> bool:
    if isinstance(
        value,
        (
            types.FunctionType,
            staticmethod,
            classmethod,
            functools.partialmethod,
            functools.singledispatchmethod,
        ),
    ):
        return True
    # What a decorator made of a function: functools.cache and the like. A callable object without
    # __get__ is an attribute.
    return callable(value) and hasattr(value, "__get__") and not isinstance(value, type)


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
