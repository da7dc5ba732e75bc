"""Type hints and defaults as source text, with the imports that they need."""

from __future__ import annotations

import enum
import inspect
import math
import sys
import types
import typing
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from ..methods.signatures import MISSING, Parameter, Signature

if TYPE_CHECKING:
    from collections.abc import Iterable

_UNIONS = (typing.Union, types.UnionType)
_PLAIN = (bool, int, str, bytes)
_WIDTH = 100
_BARE = {list: 1, set: 1, frozenset: 1, dict: 2, tuple: 2}
"""How many types belong to a class that stands there without them."""


class UnwritableError(ValueError):
    """A type that no import reaches."""


class Names:
    """Writes hints, and remembers what must be imported for them.

    Attributes:
        imports: By module, the names that are imported from it.
        modules: Modules that are imported whole.
        variables: The type variables that were written, by name.
    """

    def __init__(self) -> None:
        self.imports: dict[str, set[str]] = {}
        self.modules: set[str] = set()
        self.variables: dict[str, typing.TypeVar] = {}
        self._taken: dict[str, str] = {}
        self._shadowed: set[str] = set()
        self._own: set[typing.TypeVar] = set()

    def reserve(self, name: str) -> None:
        """Keep a name for a class of the output."""
        self._taken[name] = ""

    def shadow(self, names: Iterable[str]) -> None:
        """Keep names for methods and attributes: in their class they stand for nothing else."""
        self._shadowed.update(names)

    def hint(self, hint: Any) -> str:
        """A hint as source.

        Raises:
            UnwritableError: A class in it cannot be imported.
        """
        if hint is None or hint is types.NoneType:
            return "None"
        if hint is Any:
            return self._from("typing", "Any")
        if hint is Ellipsis:
            return "..."
        if isinstance(hint, typing.TypeVar):
            return self._variable(hint)
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin in _UNIONS:
            return " | ".join(self.hint(arg) for arg in args)
        if origin is typing.Literal:
            values = ", ".join(self._value(arg) for arg in args)
            return f"{self._from('typing', 'Literal')}[{values}]"
        if origin is typing.Annotated:
            return self._annotated(args)
        if not args and (origin or hint) in _BARE and hint != tuple[()]:
            found = origin or hint
            second = Ellipsis if found is tuple else Any
            args, origin = (Any, second)[: _BARE[found]], found
        if origin is not None:
            inner = ", ".join(self.hint(arg) for arg in args)
            if not inner and origin is not tuple:
                return self._named(origin)
            return f"{self._named(origin)}[{inner or '()'}]"
        return self._named(hint)

    def _variable(self, variable: typing.TypeVar) -> str:
        """The name of a type variable: another one of its name has a number behind it."""
        own = variable.__name__
        if variable in self._own:
            return own
        others = (f"{own}{number}" for number in count(2))
        return next(
            name
            for name in chain([own], others)
            if self.variables.setdefault(name, variable) is variable
        )

    def _annotated(self, args: tuple[Any, ...]) -> str:
        inner, *remarks = args
        written = [text for remark in remarks if (text := self._remark(remark))]
        if not written:
            return self.hint(inner)
        parts = ", ".join([self.hint(inner), *written])
        return f"{self._from('typing', 'Annotated')}[{parts}]"

    def _remark(self, remark: Any) -> str:
        """What stands beside a type, if its text makes an equal one: ``msgspec.Meta(ge=0)``."""
        text, package = repr(remark), type(remark).__module__.partition(".")[0]
        if isinstance(remark, _PLAIN):
            return text
        try:
            module = __import__(package)
            equal = eval(text, {"__builtins__": {}, package: module}) == remark  # noqa: S307  # own
        except Exception:  # a text that is no source
            return ""
        if not equal:
            return ""
        self.modules.add(package)
        return text

    def _named(self, hint: Any) -> str:
        module, name = _place(hint)
        if module == "builtins" and name not in self._shadowed:
            return name
        if not module or "<locals>" in name:
            raise UnwritableError(f"{name or hint!r} cannot be imported: it is made in a function")
        if module in {"typing", "typing_extensions"} and name == "Any":
            return self._from("typing", "Any")
        return self._from(module, name)

    def _from(self, module: str, name: str) -> str:
        head, _, rest = name.partition(".")
        if head in self._shadowed:
            self.imports.setdefault(module, set()).add(f"{head} as {head}_")
            return f"{head}_.{rest}" if rest else f"{head}_"
        if self._taken.setdefault(head, module) != module:
            self.modules.add(module)
            return f"{module}.{name}"
        self.imports.setdefault(module, set()).add(head)
        return f"{head}.{rest}" if rest else head

    def default(self, value: Any) -> str:
        """A default as source; ``...`` for what has none."""
        try:
            return self._value(value)
        except UnwritableError:
            return "..."

    def _value(self, value: Any) -> str:
        if value is None or type(value) in _PLAIN or value == ():
            return repr(value)
        if type(value) is float and math.isfinite(value):
            return repr(value)
        if isinstance(value, enum.Enum):
            named = self._named(type(value))
            if value.name in type(value).__members__:
                return f"{named}.{value.name}"
            if isinstance(value, enum.Flag):  # several of them, or none
                return f"{named}({value.value!r})"
        raise UnwritableError(f"{value!r} cannot be written")

    def function(self, name: str, signature: Signature, *, is_async: bool, body: str) -> list[str]:
        """A method as source, not indented.

        Args:
            name: The method's own name.
            signature: What it takes and gives.
            is_async: Whether it is ``async def``.
            body: The lines of its body, indented by four.
        """
        head = f"{'async ' if is_async else ''}def {name}"
        params = ["self", *self._parameters(signature)]
        result = self.hint(signature.result)
        line = f"{head}({', '.join(params)}) -> {result}:"
        if len(line) + 4 <= _WIDTH - (4 if body == "    ..." else 0):
            lines = [line]
        else:
            lines = [f"{head}(", *(f"    {param}," for param in params), f") -> {result}:"]
        if body == "    ...":
            return [*lines[:-1], f"{lines[-1]} ..."]
        return [*lines, *body.split("\n")]

    def _parameters(self, signature: Signature) -> list[str]:
        params = signature.params
        if params is None:
            anything = self.hint(Any)
            return [f"*args: {anything}", f"**kwargs: {anything}"]
        written: list[str] = []
        for index, param in enumerate(params):
            before = params[index - 1].kind if index else inspect.Parameter.POSITIONAL_OR_KEYWORD
            if index and before == inspect.Parameter.POSITIONAL_ONLY != param.kind:
                written.append("/")
            if param.kind == inspect.Parameter.KEYWORD_ONLY and before not in {
                inspect.Parameter.KEYWORD_ONLY,
                inspect.Parameter.VAR_POSITIONAL,
            }:
                written.append("*")
            written.append(self._parameter(param))
        if params and params[-1].kind == inspect.Parameter.POSITIONAL_ONLY:
            written.append("/")
        return written

    def _parameter(self, param: Parameter) -> str:
        star = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
        text = f"{star.get(param.kind, '')}{param.name}: {self.hint(param.hint)}"  # type: ignore[call-overload]
        return text if param.default is MISSING else f"{text} = {self.default(param.default)}"

    def type_parameters(self, variables: Iterable[typing.TypeVar]) -> str:
        """The parameters of a class as Python 3.12 writes them, ``[K, V: User]``; else nothing.

        Only there type checkers find the variance by themselves, so it is written as it was.
        """
        own = [one for one in variables if getattr(one, "__infer_variance__", False)]
        self._own.update(own)
        return f"[{', '.join(map(self._type_parameter, own))}]" if own else ""

    def _type_parameter(self, variable: typing.TypeVar) -> str:
        bounds = [self._bound(one, variable) for one in variable.__constraints__]
        if variable.__bound__ is not None:
            return f"{variable.__name__}: {self._bound(variable.__bound__, variable)}"
        return f"{variable.__name__}: ({', '.join(bounds)})" if bounds else variable.__name__

    def variable(self, name: str, variable: typing.TypeVar) -> str:
        """A type variable as source.

        Args:
            name: Its name in the output.
            variable: The variable.

        Raises:
            UnwritableError: What bounds it cannot be imported, or is not there.
        """
        self._from("typing", "TypeVar")
        parts = [f'"{name}"', *(self._bound(one, variable) for one in variable.__constraints__)]
        if variable.__bound__ is not None:
            parts.append(f"bound={self._bound(variable.__bound__, variable)}")
        parts += [
            f"{word}=True"
            for word in ("covariant", "contravariant")
            if getattr(variable, f"__{word}__")
        ]
        return f"{name} = TypeVar({', '.join(parts)})"

    def _bound(self, hint: Any, variable: typing.TypeVar) -> str:
        """What bounds a type variable; its text is looked up where the variable was made."""
        if not isinstance(hint, typing.ForwardRef):
            return self.hint(hint)
        scope = vars(sys.modules.get(variable.__module__, types))
        holder = type("Holder", (), {"__annotations__": {"bound": hint.__forward_arg__}})
        try:
            return self.hint(typing.get_type_hints(holder, scope, {**scope})["bound"])
        except Exception as error:
            raise UnwritableError(
                f"the type variable {variable.__name__} is bound by"
                f" {hint.__forward_arg__!r}, which cannot be found: {error}"
            ) from error

    def header(self) -> list[str]:
        """The imports."""
        lines = [f"import {module}" for module in self.modules]
        lines += [
            f"from {module} import {', '.join(sorted(names))}"
            for module, names in self.imports.items()
        ]
        return sorted(lines, key=lambda line: (not line.startswith("import"), line))


def _place(hint: Any) -> tuple[str, str]:
    """The module of a class and its name there."""
    descriptor = getattr(hint, "DESCRIPTOR", None)
    if descriptor is not None and isinstance(hint, type):
        outer, parts = descriptor.containing_type, [descriptor.name]
        while outer is not None:
            parts.insert(0, outer.name)
            outer = outer.containing_type
        made = descriptor.file.name.removesuffix(".proto").replace("-", "_").replace("/", ".")
        return getattr(hint, "__module__", None) or f"{made}_pb2", ".".join(parts)
    module = getattr(hint, "__module__", "")
    name = getattr(hint, "__qualname__", None) or getattr(hint, "__name__", "")
    return module, str(name)
