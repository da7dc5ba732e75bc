"""Type hints and defaults as source text, with the imports that they need."""

from __future__ import annotations

import enum
import inspect
import math
import types
import typing
from typing import Any

from ..methods.signatures import MISSING, Parameter, Signature

_UNIONS = (typing.Union, types.UnionType)
_PLAIN = (bool, int, str, bytes)
_WIDTH = 100


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

    def reserve(self, name: str) -> None:
        """Keep a name for a class of the output."""
        self._taken[name] = ""

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
            self.variables[hint.__name__] = hint
            return hint.__name__
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin in _UNIONS:
            return " | ".join(self.hint(arg) for arg in args)
        if origin is typing.Literal:
            values = ", ".join(self._value(arg) for arg in args)
            return f"{self._from('typing', 'Literal')}[{values}]"
        if origin is typing.Annotated:
            return self._annotated(args)
        if origin is not None:
            inner = ", ".join(self.hint(arg) for arg in args) or "()"
            return f"{self._named(origin)}[{inner}]"
        return self._named(hint)

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
        if module == "builtins":
            return name
        if not module or "<locals>" in name:
            raise UnwritableError(f"{name or hint!r} cannot be imported: it is made in a function")
        if module in {"typing", "typing_extensions"} and name == "Any":
            return self._from("typing", "Any")
        return self._from(module, name)

    def _from(self, module: str, name: str) -> str:
        head, _, rest = name.partition(".")
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
            return f"{self._named(type(value))}.{value.name}"
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

    def variable(self, variable: typing.TypeVar) -> str:
        """A type variable as source."""
        self._from("typing", "TypeVar")
        parts = [repr(variable.__name__), *(self.hint(one) for one in variable.__constraints__)]
        if variable.__bound__ is not None:
            parts.append(f"bound={self.hint(variable.__bound__)}")
        parts += [
            f"{word}=True"
            for word in ("covariant", "contravariant")
            if getattr(variable, f"__{word}__")
        ]
        return f"{variable.__name__} = TypeVar({', '.join(parts)})".replace("'", '"')

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
