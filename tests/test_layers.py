"""The rooms of bee_core and the arrows between them, read from the imports.

``docs/architecture.md`` shows the same table. Imports count wherever they stand: inside functions
and under ``if TYPE_CHECKING`` as well. For modules of the standard library the latter do not.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import bee_core.errors
import bee_plugins

CORE = Path(bee_core.errors.__file__).parent
PLUGINS = Path(bee_plugins.__file__).parent

ROOMS: dict[str, set[str]] = {
    "terms": set(),
    "options": set(),
    "methods": {"terms"},
    "config": {"terms", "options"},
    "wire": {"terms"},
    "contracts": {"terms", "methods", "wire"},
    "plugins": {"contracts", "config"},
    "nodes": {"contracts"},
    "calls": {"nodes", "contracts", "methods", "wire", "config.client_model"},
    "streams": {"contracts", "wire"},
    "control": {"calls", "nodes"},
    "client": {"control", "calls", "plugins", "methods"},
    "server": {"control", "calls", "plugins", "contracts", "methods", "streams"},
    "testing": {"client", "server"},
    "cli": {"testing"},
}
"""Which other rooms a room may import. Arrows are transitive: what a room's rooms import, it may
import too, except where only a module of a room is named."""

ROOT = {
    "__init__": None,  # the public names, imported when they are first used
    "__main__": "cli",
    "errors": "terms",
    "interfaces": "contracts",
    "hookspecs": "contracts",
    "options": "options",
}
"""The promised modules of the root, and the room that each counts as."""

PURE = {"terms", "methods", "wire", "contracts", "nodes", "calls"}
IMPURE = {
    *(
        "socket",
        "select",
        "selectors",
        "ssl",
        "asyncio",
        "uvloop",
        "socketserver",
        "http",
        "urllib",
        "io",
        "pathlib",
        "builtins.open",
    ),
    *("time", "sched", "random", "secrets", "uuid"),
    *("subprocess", "multiprocessing", "signal", "concurrent", "threading", "_thread", "queue"),
    *(
        "os.environ",
        "os.getenv",
        "os.getpid",
        "os.urandom",
        "os.fork",
        "os.register_at_fork",
        "importlib",
        "atexit",
    ),
}
"""Standard modules (and names of ``os``) that a pure room does not import: input and output, clocks,
randomness, processes and their environment."""
ALLOWED = {"threading.Lock"}

PUBLISHED = ("errors", "hookspecs", "hookimpl", "interfaces", "options", "streams", "testing")
"""What plugins may import of bee_core."""


class Import:
    """One name that a module imports: ``bee_core.terms.node`` and ``Node``."""

    def __init__(self, module: str, name: str, typed: bool) -> None:
        self.module = module
        self.name = name
        self.typed = typed


def is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def imports(source: str, package: str) -> list[Import]:
    """Everything that a source imports."""
    found: list[Import] = []

    def visit(node: ast.AST, typed: bool) -> None:
        if isinstance(node, ast.If) and is_name(node.test, "TYPE_CHECKING"):
            for child in node.body:
                visit(child, typed=True)
            for child in node.orelse:
                visit(child, typed)
            return
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, "", typed) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            start = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (start, node.module) if part)
            found.extend(Import(module, alias.name, typed) for alias in node.names)
        elif isinstance(node, ast.Call) and is_name(node.func, "open"):
            found.append(Import("builtins", "open", typed))
        elif isinstance(node, ast.Attribute) and is_name(node.value, "os"):
            found.append(Import("os", node.attr, typed))  # os.environ and the like
        for child in ast.iter_child_nodes(node):
            visit(child, typed)

    visit(ast.parse(source), typed=False)
    return found


def modules(root: Path) -> dict[str, Path]:
    """The file of each module below a package, by the module's dotted name."""
    result = {}
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root.parent).with_suffix("").parts
        package = ".".join(parts[:-1])
        name = package if parts[-1] == "__init__" and len(parts) > 2 else ".".join(parts)
        result[name] = file
    return result


CORE_MODULES = modules(CORE)
PLUGIN_MODULES = modules(PLUGINS)


@cache
def imports_of(module: str) -> list[Import]:
    """What a module of bee imports. Read when a test asks for it: that takes a second in all."""
    file = CORE_MODULES.get(module) or PLUGIN_MODULES[module]
    root = CORE if module in CORE_MODULES else PLUGINS
    package = ".".join(file.relative_to(root.parent).parts[:-1])
    return imports(file.read_text(encoding="utf-8"), package)


def target(one: Import) -> str | None:
    """The module of bee_core that an import leads to, or None for one of elsewhere."""
    for name in (f"{one.module}.{one.name}", one.module, f"{one.module}.__init__"):
        if name in CORE_MODULES:
            return name
    return None


def arrows(module: str) -> set[str]:
    """The other modules of bee_core that a module of it imports."""
    return {found for one in imports_of(module) if (found := target(one)) is not None} - {module}


def room(module: str) -> str | None:
    second = module.split(".")[1]
    return ROOT.get(second, second)


def reachable(start: str) -> set[str]:
    """All that a room may import: what stands behind its arrows, and behind theirs."""
    seen = {start}
    todo = [start]
    while todo:
        for following in ROOMS.get(todo.pop(), ()):
            if following not in seen:
                seen.add(following)
                todo.append(following)
    return seen


def test_the_root_holds_what_is_promised_and_no_other_module():
    assert {path.stem for path in CORE.glob("*.py")} == set(ROOT)


def test_every_room_is_in_the_table():
    assert {path.parent.name for path in CORE.glob("*/*.py")} | {"options"} == set(ROOMS)


@pytest.mark.parametrize("module", [name for name in CORE_MODULES if room(name) is not None])
def test_a_module_imports_only_the_rooms_that_the_table_allows(module):
    allowed = reachable(room(module))
    for imported in arrows(module):
        there = room(imported)
        named = any(f"bee_core.{one}" == imported for one in allowed)
        # The public names are for users, of whom the command line is one.
        public = there is None and room(module) == "cli"
        assert public or there in allowed or named, f"{module} imports {imported}"


ARCHITECTURE = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"


def shown_rooms() -> dict[str, set[str]]:
    """The table of rooms in the documentation: what each room may import."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/` \|.*\| (.+) \|$", text, re.MULTILINE)
    shown: dict[str, set[str]] = {}
    for name, cell in rows:
        if cell == "no other room":
            shown[name] = set()
        elif cell.startswith("all"):
            but = set(re.findall(r"but (\w+)", cell))
            shown[name] = {"*"} - but if not but else {f"all but {word}" for word in but}
        else:
            named = re.sub(
                r"the types of `([\w.]+)`", r"\1", cell.replace("`bee_core.options`", "options")
            )
            shown[name] = set(re.split(r"[,;] ", named.replace("`", "")))
    return shown


def test_the_table_in_the_documentation_is_the_one_that_is_enforced():
    shown = shown_rooms()
    assert shown.keys() == ROOMS.keys() - {"options"}
    everything = ROOMS.keys() - {"options"}
    for name, allowed in shown.items():
        if allowed == {"*"}:
            assert reachable(name) >= everything
        elif allowed == {"all but cli"}:
            assert reachable(name) >= everything - {"cli"}
            assert "cli" not in reachable(name)
        else:
            assert allowed == ROOMS[name], name


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The circles of a graph: sets of modules that reach each other (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for following in graph[node]:
            if following not in index:
                visit(following)
                low[node] = min(low[node], low[following])
            elif following in stack:
                low[node] = min(low[node], index[following])
        if low[node] == index[node]:
            circle = []
            while True:
                circle.append(stack.pop())
                if circle[-1] == node:
                    break
            if len(circle) > 1:
                found.append(sorted(circle))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_no_two_modules_reach_each_other():
    # The public names are imported when they are first used, and only the command line asks for
    # them: the test above sees to that.
    assert circles({name: arrows(name) - {"bee_core.__init__"} for name in CORE_MODULES}) == []


def impure(found: list[Import]) -> set[str]:
    names = set()
    for one in found:
        if one.typed:
            continue
        whole = f"{one.module}.{one.name}" if one.name else one.module
        if whole in ALLOWED:
            continue
        if one.module.split(".")[0] in IMPURE or whole in IMPURE:
            names.add(whole)
    return names


@pytest.mark.parametrize("module", [name for name in CORE_MODULES if room(name) in PURE])
def test_a_pure_room_has_time_and_randomness_handed_in_and_does_no_io(module):
    assert impure(imports_of(module)) == set()


@pytest.mark.parametrize("module", CORE_MODULES)
def test_the_core_imports_no_plugin(module):
    assert not [one.module for one in imports_of(module) if one.module.startswith("bee_plugins")]


@pytest.mark.parametrize("module", PLUGIN_MODULES)
def test_a_plugin_of_bee_imports_only_what_any_plugin_may(module):
    for one in imports_of(module):
        if one.module == "bee_core":
            assert one.name in PUBLISHED, f"{module} imports {one.name} of bee_core"
        elif one.module.startswith("bee_core."):
            assert one.module.split(".", 1)[1] in PUBLISHED, f"{module} imports {one.module}"


SAMPLE = """
from __future__ import annotations
import os
import threading
from threading import Lock
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from random import Random
    from .errors import BeeError
else:
    import selectors
from . import nodes
from ..config import model

def late():
    import socket, time as clock
    return os.environ
"""


def test_imports_are_read_inside_functions_and_under_type_checking():
    found = imports(SAMPLE, "bee_core.client")
    assert {(one.module, one.name) for one in found} >= {
        ("bee_core.client.errors", "BeeError"),
        ("bee_core.client", "nodes"),
        ("bee_core.config", "model"),
        ("socket", ""),
    }
    assert impure(found) == {"selectors", "socket", "threading", "time", "os.environ"}


def test_a_circle_is_found_and_a_line_is_none():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []
