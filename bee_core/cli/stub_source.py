"""The asyncio or blocking twin of an interface, as plain source of Python."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import typing
from typing import TYPE_CHECKING, Any

import attrs

from ..methods.interface_methods import interface_methods, nested_interfaces, overloads
from ..methods.type_arguments import class_of
from .stub_names import Names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..methods.interface_methods import InterfaceMethod
    from ..methods.signatures import Signature

_WIDTH = 100
_LONGEST = 60
"""Characters of the names of interfaces that stand in the first line."""


@attrs.frozen
class Wanted:
    """An interface whose twin is wanted.

    Attributes:
        interface: The interface.
        text: How it was named: ``app:Calculator``.
        name: The name of the twin, or None for one that follows from the interface's.
        is_async: Whether the twin is for asyncio; None for what the interface is not.
    """

    interface: Any
    text: str
    name: str | None = None
    is_async: bool | None = None


def is_of_proto(interface: Any) -> bool:
    """Whether an interface was made of a service in a ``.proto``."""
    return any(method.proto for method in interface_methods(interface).values())


def twin_is_async(wanted: Wanted) -> bool:
    """Whether the twin is for asyncio.

    Raises:
        ValueError: The interface has both kinds of methods, so somebody must say.
    """
    if wanted.is_async is not None:
        return wanted.is_async
    if is_of_proto(wanted.interface):
        return False
    kinds = {method.is_async for method in interface_methods(wanted.interface).values()}
    if len(kinds) > 1:
        raise ValueError(f"{wanted.text} has async and other methods; say --asyncio or --blocking")
    return not kinds.pop()


def twin_name(name: str, is_async: bool, of_proto: bool) -> str:
    """The twin's name: ``AsyncCalculator`` for ``Calculator``, and back."""
    if is_async:
        return name if name.startswith("Async") else f"Async{name}"
    if of_proto:
        return name
    return name.removeprefix("Async") if name != name.removeprefix("Async") else f"Blocking{name}"


def stub_source(wanted: Sequence[Wanted], command: str) -> str:
    """The source of the twins.

    Args:
        wanted: The interfaces.
        command: How the source was asked for, for its head.

    Raises:
        TypeError: One cannot be used as an interface.
        ValueError: A type in it cannot be imported, or it is unclear which twin is meant.
    """
    names = Names()
    writer = _Writer(names)
    chosen = [(one, twin_is_async(one)) for one in wanted]
    for one, is_async in chosen:
        writer.plan(one, is_async)
    bodies = writer.classes()
    variables = [names.variable(name, one) for name, one in names.variables.items()]
    kinds = " and ".join(
        dict.fromkeys("asyncio" if is_async else "blocking" for _, is_async in chosen)
    )
    texts = ", ".join(one.text for one in wanted)
    first = f"The {kinds} form of {texts}." if len(texts) < _LONGEST else f"The {kinds} forms."
    parts = [
        f'"""{_escaped(first)}',
        "",
        *textwrap.wrap(
            _escaped(f"Written by `{command}`; do not edit."),
            _WIDTH,
            break_long_words=False,
            break_on_hyphens=False,
        ),
        '"""',
        "",
        "from __future__ import annotations",
        "",
        *_sorted_imports(names),
        *(["", *variables] if variables else []),
        *bodies,
    ]
    return "\n".join(parts) + "\n"


def _sorted_imports(names: Names) -> list[str]:
    """The imports: of the standard library, then of others."""
    standard: list[str] = []
    others: list[str] = []
    for line in names.header():
        module = line.split()[1].partition(".")[0]
        (standard if module in sys.stdlib_module_names else others).append(line)
    return [*standard, *([""] if standard and others else []), *others]


class _Writer:
    """Writes classes, each once; nested interfaces stand before those that have them."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._planned: dict[Any, tuple[str, bool, str]] = {}

    def plan(self, wanted: Wanted, is_async: bool) -> None:
        """Note a class, and the interfaces nested in it."""
        interface = wanted.interface
        own = class_of(interface).__name__
        of_proto = is_of_proto(interface)
        for nested in nested_interfaces(interface).values():
            name = twin_name(class_of(nested).__name__, is_async, of_proto)
            self._note(nested, name, is_async, class_of(nested).__name__)
        self._note(interface, wanted.name or twin_name(own, is_async, of_proto), is_async, own)

    def _note(self, interface: Any, name: str, is_async: bool, own: str) -> None:
        if interface not in self._planned:
            self._names.reserve(name)
            self._names.shadow(method.split(".")[0] for method in interface_methods(interface))
            self._planned[interface] = name, is_async, own

    def classes(self) -> list[str]:
        """The source of all classes."""
        lines: list[str] = []
        for interface, (name, is_async, own) in self._planned.items():
            lines += ["", "", *self._class(interface, name, is_async, own)]
        return lines

    def _class(self, interface: Any, name: str, is_async: bool, own: str) -> list[str]:
        names = self._names
        variables = _parameters_of(interface)
        protocol = names.hint(typing.Protocol)
        parameters = names.type_parameters(variables)
        if variables and not parameters:
            inside = ", ".join(names.hint(variable) for variable in variables)
            protocol = f"{protocol}[{inside}]"
        doc = inspect.cleandoc(vars(class_of(interface)).get("__doc__") or "")
        doc = doc or f"The {'asyncio' if is_async else 'blocking'} form of {own}."
        lines = [f"class {name}{parameters}({protocol}):", *_docstring(doc, "    ")]
        nested = nested_interfaces(interface)
        if nested:
            lines.append("")
            lines += [f"    {key}: {self._planned[part][0]}" for key, part in nested.items()]
        for method in interface_methods(interface).values():
            if "." not in method.name:
                forms = overloads(interface, method.name)
                written = self._method(method, forms, is_async)
                lines += ["", *(f"    {line}".rstrip() for line in written)]
        return lines

    def _method(
        self, method: InterfaceMethod, forms: Sequence[Signature], is_async: bool
    ) -> list[str]:
        names = self._names
        if method.streams:
            return [f"# {method.name} is left out: it streams."]
        overloaded: list[str] = []
        for form in forms:
            overloaded.append(f"@{names.hint(typing.overload)}")
            overloaded += names.function(method.name, form, is_async=is_async, body="    ...")
        lines = [f"@bee_core.{mark}" for mark in ("idempotent", "oneway") if getattr(method, mark)]
        if method.errors:
            classes = [names.hint(getattr(error, "cls", error)) for error in method.errors]
            lines.append(f"@bee_core.raises({', '.join(classes)})")
        if lines:
            names.modules.add("bee_core")
        # With the dots: pyright takes a docstring alone for a body that returns None.
        body = "\n".join([*(_docstring(method.doc, "    ") if method.doc else []), "    ..."])
        lines += names.function(method.name, method.signature, is_async=is_async, body=body)
        return [*overloaded, *lines]


def _parameters_of(interface: Any) -> tuple[Any, ...]:
    if typing.get_args(interface):
        return ()
    return tuple(getattr(interface, "__parameters__", ()))


def _escaped(text: str) -> str:
    """A text for the inside of a docstring."""
    return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def _docstring(text: str, indent: str) -> list[str]:
    first, *rest = _escaped(text).split("\n")
    if first.endswith('"'):
        first += " "
    if not rest:
        return [f'{indent}"""{first}"""']
    return [f'{indent}"""{first}', *(f"{indent}{line}".rstrip() for line in rest), f'{indent}"""']


# ── whether a file is out of date ──


def stale_parts(source: str, wanted: str) -> list[str]:
    """What differs between two sources, but for their form, comments and order of imports.

    Returns:
        The names of classes and methods, such as ``AsyncCalculator.add``; ``imports`` for these.

    Raises:
        SyntaxError: The first is no source of Python.
    """
    old, new = _parts(source), _parts(wanted)
    return [name for name in {**old, **new} if old.get(name) != new.get(name)]


def _parts(source: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    imports: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imports.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ClassDef):
            found |= _members(node)
        elif isinstance(node, ast.Assign):
            found[ast.unparse(node.targets[0])] = ast.dump(node)
        elif not isinstance(node, ast.Expr):
            found[ast.unparse(node)[:40]] = ast.dump(node)
    found["imports"] = " ".join(sorted(imports))
    return found


def _members(node: ast.ClassDef) -> dict[str, str]:
    parts = [*getattr(node, "type_params", ()), *node.bases]
    members = {node.name: " ".join(map(ast.unparse, parts))}
    for part in _statements(node.body):
        name = getattr(part, "name", None) or ast.unparse(part)[:60]
        known = members.get(f"{node.name}.{name}", "")  # an overload of it
        members[f"{node.name}.{name}"] = known + ast.unparse(part)
    return members


def _statements(body: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    """What a class has, without its docstring."""
    return (part for part in body if not isinstance(part, ast.Expr))
