"""Exceptions that a method declares (``@bee_core.raises``): their fields, and how they are made.

On the wire such an exception is its class's name, its code, its text and its fields as one object.
The constructor of its class runs anew where it arrives. Fields that are no parameters of the
constructor are set behind it.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from typing import TYPE_CHECKING, Any

import attrs

from ..terms.codes import is_code
from ..terms.printable import name_of, text_of
from .decorators import RAISES
from .signatures import Signature
from .type_arguments import attribute_hints

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DETAILS = "(the details of an error)"
"""The method in the signature of details of any type, for messages."""
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_PROBE = "__bee_probe__"


@attrs.frozen(eq=False)
class DeclaredError:
    """One exception class that methods declare. One object a class.

    Attributes:
        cls: The class.
        name: Its name on the wire.
        fields: The attribute of each field, by the field's name on the wire.
        shape: A ``TypedDict`` of the fields, for codecs.
    """

    cls: type[Exception]
    name: str
    fields: Mapping[str, str]
    shape: Any
    _params: tuple[inspect.Parameter, ...] | None

    def signature(self, method: str) -> Signature:
        """What a codec is bound to, for the fields: the result of a method of that name."""
        return Signature(f"{method} raises {self.name}", (), self.shape)

    def code_of(self, error: Exception) -> str:
        """The code of an instance: its attribute ``code`` if that is one, else its class's name."""
        code = getattr(error, "code", None)
        return str.__str__(code) if is_code(code) else self.name

    def text_of(self, error: Exception) -> str:
        """What an instance says."""
        args = error.args
        if self._params is None and len(args) == 1 and type(args[0]) is str:
            return args[0] or self.name  # the text of a KeyError has quotes around it
        return text_of(error)

    def values(self, error: Exception) -> dict[str, Any]:
        """The fields of an instance.

        Raises:
            AttributeError: One was not set. Whatever the class's own properties raise.
        """
        return {name: getattr(error, attribute) for name, attribute in self.fields.items()}

    def make(self, values: Mapping[str, Any], message: str) -> Exception:
        """An instance of these fields.

        Args:
            values: By name on the wire; a field that has a default may be absent.
            message: What the original said; a class with a constructor of its own makes it anew.

        Raises:
            TypeError: The constructor did not take them, or made something else. It may raise
                anything else as well.
        """
        rest = dict(values)
        args: list[Any] = []
        named: dict[str, Any] = {}
        # By position they are in ``args``, as where they were raised so: that is what it said.
        by_position = message != self.name
        for parameter in self._params or ():
            if parameter.name not in rest:
                by_position = False
            elif parameter.kind is inspect.Parameter.POSITIONAL_ONLY or (
                by_position and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
            ):
                args.append(rest.pop(parameter.name))
            else:
                named[parameter.name] = rest.pop(parameter.name)
        if self._params is None and message != self.name:
            args = [message]
        error = self.cls(*args, **named)
        if not isinstance(error, self.cls):
            raise TypeError(f"{self.name}() made a {name_of(error)}")
        for name, value in rest.items():
            setattr(error, self.fields[name], value)
        return error


def declared_errors(name: str, *functions: Any) -> tuple[DeclaredError, ...]:
    """What the marks of a method's definitions declare, in the order of the marks.

    Args:
        name: The method, for messages.
        *functions: The definitions: the interface's, the handler's, those of base classes.

    Raises:
        TypeError: A class cannot be carried, or two classes have one name; the message says why.
    """
    found = []
    for cls in _marked(functions):
        try:
            found.append(declared_error(cls))
        except TypeError as error:  # noqa: PERF203  the message names the class
            raise TypeError(f"{name} raises {cls.__qualname__}: {error}") from error
    return merged_errors(name, found)


def merged_errors(name: str, *several: Iterable[DeclaredError]) -> tuple[DeclaredError, ...]:
    """What several definitions of a method declare, each class once.

    Raises:
        TypeError: Two classes have one name.
    """
    found: dict[str, DeclaredError] = {}
    for declared in (one for some in several for one in some):
        known = found.setdefault(declared.name, declared)
        if known.cls is not declared.cls:
            raise TypeError(
                f"{name} raises two classes of the name {declared.name}: the client tells them "
                "apart by their names, so rename one"
            )
    return tuple(found.values())


def _marked(functions: Iterable[Any]) -> list[Any]:
    """The classes of all marks, each once."""
    marked: list[Any] = []
    for function in functions:
        while isinstance(function, functools.partial):
            function = function.func  # noqa: PLW2901
        inner = getattr(function, "__func__", function)
        for cls in getattr(function, RAISES, ()) or getattr(inner, RAISES, ()):
            if cls not in marked:
                marked.append(cls)
    return marked


def definitions(cls: Any, name: str) -> list[Any]:
    """The definitions of a method in a class and in its bases, the nearest first."""
    return [vars(base)[name] for base in getattr(cls, "__mro__", ()) if name in vars(base)]


@functools.lru_cache(maxsize=1024)
def declared_error(cls: Any) -> DeclaredError:
    """Read an exception class.

    Raises:
        TypeError: It is frozen, a hint cannot be resolved, or its constructor takes what is no
            field.
    """
    if _is_frozen(cls):
        raise TypeError(
            "it is frozen, and Python sets the traceback of what is raised; make it a class that "
            "is not frozen"
        )
    fields = _fields(cls)
    params = _parameters(cls)
    for parameter in params or ():
        if parameter.name not in fields and parameter.default is inspect.Parameter.empty:
            raise TypeError(
                f"its constructor takes {parameter.name!r}, which is no annotated field, so the "
                f"client could not make it; write `{parameter.name}: <type>` in the class"
            )
    defaults = {parameter.name: parameter.default for parameter in params or ()}
    known = tuple(parameter for parameter in params or () if parameter.name in fields)
    required: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    for name, (attribute, hint) in fields.items():
        empty = defaults.get(name, getattr(cls, attribute, inspect.Parameter.empty))
        (required if empty is inspect.Parameter.empty else optional)[name] = hint
    return DeclaredError(
        cls,
        cls.__name__,
        types.MappingProxyType({name: attribute for name, (attribute, _) in fields.items()}),
        _shape(cls.__name__, required, optional),
        None if params is None else known,
    )


def _fields(cls: Any) -> dict[str, tuple[str, Any]]:
    """Attribute and hint of each field, by its name on the wire."""
    if dataclasses.is_dataclass(cls):
        every = cls.__dataclass_fields__.values()
        initial = [one.name for one in every if one._field_type is dataclasses._FIELD_INITVAR]  # type: ignore[attr-defined]  # noqa: SLF001
        if initial:
            raise TypeError(f"its constructor takes {initial[0]!r}, an InitVar, which is not kept")
        names = {field.name: field.name for field in dataclasses.fields(cls)}
    elif attrs.has(cls):
        names = {
            (field.alias or field.name) if field.init else field.name: field.name
            for field in attrs.fields(cls)
        }
    else:
        names = {}
    wanted = set(names.values())
    is_record = bool(names) or dataclasses.is_dataclass(cls) or attrs.has(cls)
    hints = attribute_hints(cls, cls.__qualname__, wanted.__contains__ if is_record else _is_public)
    if not is_record:
        names = {name: name for name, hint in hints.items() if not _is_class_variable(hint)}
    return {name: (attribute, hints.get(attribute, Any)) for name, attribute in names.items()}


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def _is_class_variable(hint: Any) -> bool:
    return hint is typing.ClassVar or typing.get_origin(hint) is typing.ClassVar


def _parameters(cls: Any) -> tuple[inspect.Parameter, ...] | None:
    """The parameters of the constructor, or None where it is that of Python's exceptions."""
    if not isinstance(cls.__init__, types.FunctionType) and not isinstance(
        cls.__new__, types.FunctionType
    ):
        return None
    try:
        parameters = inspect.signature(cls).parameters.values()
    except ValueError as error:
        raise TypeError(f"its constructor has no signature that can be read: {error}") from error
    return tuple(parameter for parameter in parameters if parameter.kind not in _VARIADIC)


def _is_frozen(cls: Any) -> bool:
    parameters = getattr(cls, "__dataclass_params__", None)
    if parameters is not None:
        return bool(parameters.frozen)
    if not attrs.has(cls):
        return False
    try:
        setattr(cls.__new__(cls), _PROBE, None)
    except attrs.exceptions.FrozenInstanceError:
        return True
    except Exception:  # a class of its own kind; the constructor will show
        return False
    return False


def _shape(name: str, required: Mapping[str, Any], optional: Mapping[str, Any]) -> Any:
    """A ``TypedDict`` of fields. Python 3.10 says what is required by a class and its base."""
    whole = typing.TypedDict(name, dict(required))  # type: ignore[misc]  # noqa: UP013  its fields are read
    if not optional:
        return whole
    return types.new_class(
        name,
        (whole,),
        {"total": False},
        lambda namespace: namespace.update(__annotations__=dict(optional), __module__=__name__),
    )
