"""What the type variables of generic classes stand for, in a class and in its bases.

``class Users(Repo[User])`` says that ``T`` of ``Repo`` is ``User``. Python leaves ``T`` in the
hints that ``Users`` inherits, so they are filled in here.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from typing import TYPE_CHECKING, Any

from .type_hints import evaluated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OPEN = (typing.Generic, typing.Protocol)


def class_of(hint: Any) -> Any:
    """The class of a hint, without its type arguments: ``Repo`` for ``Repo[User]``."""
    return typing.get_origin(hint) or hint


def type_arguments(hint: Any) -> dict[Any, dict[Any, Any]]:
    """For a class and each of its generic bases: what its type variables stand for.

    Args:
        hint: A class, or a generic one with its types given.

    Returns:
        By class, the type by variable. A variable that nobody gave a type is not in it; the tuple
        of types of a ``TypeVarTuple`` is.
    """
    found: dict[Any, dict[Any, Any]] = {}
    _collect(hint, found)
    return found


def _collect(hint: Any, found: dict[Any, dict[Any, Any]]) -> None:
    cls = class_of(hint)
    if not isinstance(cls, type) or cls in _OPEN:
        return
    given = _given(getattr(cls, "__parameters__", ()), typing.get_args(hint))
    if given or cls not in found:
        found[cls] = given
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        if typing.get_origin(base) is None:
            _collect(base, found)
        elif class_of(base) not in _OPEN:
            _collect(substituted(_evaluated_base(base, cls), given), found)


def _given(variables: tuple[Any, ...], args: tuple[Any, ...]) -> dict[Any, Any]:
    """The types by variable; one ``TypeVarTuple`` takes what the other variables leave."""
    if not args:
        return {}
    many = next((i for i, variable in enumerate(variables) if _is_tuple(variable)), None)
    if many is None:
        return dict(zip(variables, args, strict=False))
    after = len(variables) - many - 1
    end = len(args) - after
    return {
        **dict(zip(variables[:many], args[:many], strict=False)),
        variables[many]: args[many:end],
        **dict(zip(variables[many + 1 :], args[end:], strict=False)),
    }


def substituted(hint: Any, given: Mapping[Any, Any]) -> Any:
    """The hint with the types in place of its variables; other variables stay."""
    if not given:
        return hint
    if isinstance(hint, typing.TypeVar):
        return given.get(hint, hint)
    is_plain_class = isinstance(hint, type) and not typing.get_args(hint)
    variables = () if is_plain_class else getattr(hint, "__parameters__", ())
    if not any(variable in given for variable in variables):
        return hint
    args: list[Any] = []
    for variable in variables:
        if _is_tuple(variable):
            itself = typing.Unpack[variable]  # type: ignore[attr-defined]
            args.extend(given.get(variable, (itself,)))
        else:
            args.append(given.get(variable, variable))
    return hint[tuple(args)]


def stands_for(variable: typing.TypeVar) -> Any:
    """The type of values for a variable that nobody gave one: its default, its bound, or ``Any``.

    The constraints make a union.
    """
    default = getattr(variable, "__default__", None)  # since 3.13, and of typing_extensions
    if default is not None and type(default).__name__ != "NoDefaultType":
        return default
    bound = variable.__bound__
    if bound is not None:
        namespace = vars(sys.modules.get(variable.__module__, types))
        return evaluated("bound", bound, namespace, f"the type variable {variable}")
    return typing.Union[variable.__constraints__] if variable.__constraints__ else Any


def attribute_hints(
    hint: Any, owner: str = "", wanted: Callable[[str], bool] = lambda _name: True
) -> dict[str, Any]:
    """The hints of a class's attributes, inherited ones too, with its type arguments.

    The nearest definition of a name counts.

    Args:
        hint: A class, or a generic one with its types given.
        owner: What the class is, for messages; by default its name.
        wanted: Whether an attribute is wanted. The hints of others are not looked at.

    Raises:
        TypeError: A hint cannot be resolved; the message names the class and the hint.
    """
    given = type_arguments(hint)
    cls = class_of(hint)
    stated: dict[str, tuple[Any, Any]] = {}
    for base in _definers(cls, given):
        for name, raw in inspect.get_annotations(base).items():
            if name not in stated or (_is_typed_dict(cls) and stated[name][1] is raw):
                stated[name] = base, raw
    return {
        name: substituted(
            evaluated(name, raw, _namespace(base), owner or cls.__qualname__), given.get(base, {})
        )
        for name, (base, raw) in stated.items()
        if wanted(name)
    }


def _definers(cls: Any, given: Mapping[Any, Any]) -> list[Any]:
    """The classes that state the hints, the nearest first.

    A ``TypedDict`` forgets its bases, and repeats their hints among its own.
    """
    if not _is_typed_dict(cls):
        return list(cls.__mro__)
    return [base for base in given if _is_typed_dict(base)]


def _is_typed_dict(cls: Any) -> bool:
    return issubclass(cls, dict) and hasattr(cls, "__required_keys__")


def _evaluated_base(base: Any, cls: type) -> Any:
    """A base whose types may be given as text: ``Repo["User"]``."""
    try:
        return evaluated("base", base, _namespace(cls), cls.__qualname__)
    except TypeError:  # what follows from it is refused where it is needed
        return base


def _namespace(cls: Any) -> dict[str, Any]:
    """The names that the hints of a class may use."""
    return {
        **vars(cls),
        cls.__name__: cls,
        **vars(sys.modules.get(cls.__module__, types)),
        **{variable.__name__: variable for variable in getattr(cls, "__type_params__", ())},
    }


def _is_tuple(variable: Any) -> bool:
    return type(variable).__name__ == "TypeVarTuple"
