"""Interfaces: the public methods that a class, Protocol or ABC declares."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from typing import TYPE_CHECKING, Any

import attrs

from .declared_errors import DeclaredError, declared_errors, definitions
from .decorators import IDEMPOTENT, ONEWAY, PROTO_NAME, STREAMS, is_overload
from .signatures import NOTHING, Signature
from .type_arguments import attribute_hints, class_of, substituted, type_arguments
from .type_hints import awaited, callable_hints, hint_text

if TYPE_CHECKING:
    from collections.abc import Mapping

# What their classes define is not the application's interface.
_FOREIGN_MODULES = ("builtins", "typing", "typing_extensions", "abc")


@attrs.frozen
class InterfaceMethod:
    """A method that an interface declares.

    Attributes:
        name: ``add``, or ``Stats.mean`` for a method of a nested interface.
        signature: What it takes and gives.
        is_async: Whether it is declared ``async def``, or returns an awaitable.
        idempotent: Whether it is marked ``@bee_core.idempotent``.
        oneway: Whether it is marked ``@bee_core.oneway``.
        streams: Why it cannot be called: it would stream. Empty if it does not.
        doc: Its docstring.
        proto: Its full name in the ``.proto`` that declares it, or None.
        errors: What it is marked to raise (``@bee_core.raises``), here or in a base class.
    """

    name: str
    signature: Signature
    is_async: bool = False
    idempotent: bool = False
    oneway: bool = False
    streams: str = ""
    doc: str | None = None
    proto: str | None = None
    errors: tuple[DeclaredError, ...] = ()


def interface_methods(interface: Any) -> dict[str, InterfaceMethod]:
    """The public methods of a class, Protocol or ABC, by name, inherited ones too.

    A class attribute that is annotated with another interface (``Stats: StatsApi``) adds its
    methods as ``Stats.<method>``, one level deep. Private names, properties and other attributes
    are not part of it. What a generic class is given (``Repo[User]``, ``class Users(Repo[User])``)
    stands in place of its type variables.

    Raises:
        TypeError: Not a class, nothing public in it, a hint cannot be resolved, a method is marked
            oneway and declares a result, or an exception that it declares cannot be carried.
    """
    if not isinstance(class_of(interface), type):
        raise TypeError(f"an interface is a class, a Protocol or an ABC, not {interface!r}")
    found = _methods(interface, "")
    for attribute, nested in nested_interfaces(interface).items():
        found.update(_methods(nested, f"{attribute}."))
    if not found:
        raise TypeError(f"the interface {hint_text(interface)} declares no public method")
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


def method_arguments(hint: Any, method: str) -> Mapping[Any, Any]:
    """What the type variables in a method's hints stand for.

    Args:
        hint: The class, or a generic one with its types given.
        method: The name of one of its methods, or of one that it inherits.
    """
    definer = next(base for base in class_of(hint).__mro__ if method in vars(base))
    return type_arguments(hint).get(definer, NOTHING)


def overloads(interface: Any, method: str) -> list[Signature]:
    """The forms of a method that is marked ``@typing.overload``, from Python 3.11 on.

    Args:
        interface: A class, or a generic one with its types given.
        method: The name of one of its methods, or of one that it inherits.

    Raises:
        TypeError: A hint cannot be resolved.
    """
    registered = getattr(typing, "get_overloads", None)
    if registered is None:
        return []
    cls = class_of(interface)
    definer = next(base for base in cls.__mro__ if method in vars(base))
    # What stands in the class is one function for all overloads without an implementation.
    marked = types.SimpleNamespace(
        __module__=definer.__module__, __qualname__=f"{definer.__qualname__}.{method}"
    )
    given = method_arguments(interface, method)
    return [Signature.of(form.__get__(cls, cls), method, given) for form in registered(marked)]


def _methods(interface: Any, prefix: str) -> dict[str, InterfaceMethod]:
    cls = class_of(interface)
    found = {}
    for name, raw in public_methods(cls).items():
        # Bound to the class in place of an instance: the first parameter goes, whatever its name.
        function = raw.__get__(cls, cls)
        given = method_arguments(interface, name)
        signature = Signature.of(function, prefix + name, given)
        is_async = (
            inspect.iscoroutinefunction(function)
            or awaited(substituted(callable_hints(function, name).get("return"), given))[1]
        )
        oneway = bool(getattr(function, ONEWAY, False))
        if oneway and signature.result not in (None, types.NoneType, Any):
            raise TypeError(
                f"{prefix}{name} is marked oneway and declares a result, "
                f"{hint_text(signature.result)}: nobody waits for one; declare None"
            )
        found[prefix + name] = InterfaceMethod(
            prefix + name,
            signature,
            is_async,
            bool(getattr(function, IDEMPOTENT, False)),
            oneway,
            getattr(function, STREAMS, ""),
            None if is_overload(raw) else inspect.getdoc(function),
            getattr(function, PROTO_NAME, None),
            declared_errors(prefix + name, *definitions(cls, name)),
        )
    return found


def nested_interfaces(interface: Any) -> dict[str, Any]:
    """The interfaces that an interface has under names, by these."""
    owner = f"interface {hint_text(interface)}"
    hints = attribute_hints(interface, owner, lambda name: not name.startswith("_"))
    return {
        name: hint
        for name, hint in hints.items()
        if isinstance(class_of(hint), type)
        and not _is_record(class_of(hint))
        and public_methods(class_of(hint))
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
