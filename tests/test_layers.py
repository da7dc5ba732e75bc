"""The table of layers in ``docs/architecture.md``, enforced by reading imports. What stands under ``if TYPE_CHECKING`` is for type checkers and does not count."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import bee_core.errors
import bee_plugins

CORE = Path(bee_core.errors.__file__).parent
PLUGINS = Path(bee_plugins.__file__).parent

IMPURE = frozenset(
    {
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
        ),  # input and output
        *(
            "time",
            "sched",
            "random",
            "secrets",
            "uuid",
        ),  # clocks and random sources: both are handed in
        *("subprocess", "multiprocessing", "signal", "concurrent"),  # processes and pools
    }
)
"""Modules that a pure module does not import."""

ROOT = "root"
LAYERS: dict[str, set[str]] = {
    ROOT: set(),
    "config": {ROOT},
    "streams": {ROOT},
    "sync": {ROOT, "config", "control"},
    "aio": {ROOT, "config", "control"},
    "server": {ROOT, "config", "control"},
    "control": {ROOT},
}
"""Which other layers of bee_core a layer may import. The command line and ``testing`` are users of the whole, so they are not listed."""

EXEMPT: dict[str, set[str]] = {
    "bee_core/__init__.py": {"*"},  # re-exports the public names, lazily
    "bee_core/__main__.py": {"*"},  # python -m bee_core
    "bee_core/assembly.py": {
        "bee_core.config"
    },  # turns the configuration into the parts of a client, and is imported only then
    "bee_core/explain.py": {
        "bee_core.config"
    },  # the configuration is what it explains; imported only then
    "bee_core/server/endpoint.py": {
        "bee_core.streams.deadline_timer"
    },  # one timer for many deadlines, whatever they are of
    "bee_core/sync/futures.py": {
        "bee_core.client.asyncio_driver",
        "bee_core.client.first_nodes",
    },  # calls of the blocking client that run on an event loop
    "bee_core/plugin_hub.py": {
        "bee_core.config"
    },  # inside a function: the options of a plugin are structured like the rest of the configuration
}
"""Modules that are there to join layers, and what they may import beside."""

PUBLIC_TO_PLUGINS = (
    "bee_core.terms.addresses",
    "bee_core.terms.backoff",
    "bee_core.config.scalars",
    "bee_core.errors",
    "bee_core.terms.failures",
    "bee_core.hookspecs",
    "bee_core.interfaces",
    "bee_core.terms.node",
    "bee_core.methods.signatures",
    "bee_core.streams",
    "bee_core.methods.type_hints",
)
"""What plugins may import of the core."""


def imports(source: str, package: str) -> set[str]:
    """The absolute names of all modules that a source imports, also inside functions.

    ``from a import b`` gives ``a`` and ``a.b``, since b may be a module.
    """
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) in {
            "TYPE_CHECKING",
            "typing.TYPE_CHECKING",
        }:
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            start = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (start, node.module) if part)
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return found


def modules(root: Path) -> dict[str, set[str]]:
    """The imports of each module below a package, by its path from the package's parent."""
    result = {}
    for file in sorted(root.rglob("*.py")):
        path = file.relative_to(root.parent)
        result[path.as_posix()] = imports(
            file.read_text(encoding="utf-8"), ".".join(path.parent.parts)
        )
    return result


def within(module: str, parents: tuple[str, ...] | set[str]) -> bool:
    return any(f"{module}.".startswith(f"{parent}.") for parent in parents)


CORE_MODULES = modules(CORE)
PLUGIN_MODULES = modules(PLUGINS)
PACKAGES = {path.split("/")[1] for path in CORE_MODULES if path.count("/") > 1}
ROOT_MODULES = [
    path
    for path in CORE_MODULES
    if path.count("/") == 1 and path not in {"bee_core/__init__.py", "bee_core/__main__.py"}
]


@pytest.mark.parametrize("path", ROOT_MODULES)
def test_a_module_at_the_root_does_no_io_and_has_no_clock_and_no_randomness(path):
    impure = {name.split(".")[0] for name in CORE_MODULES[path]} & IMPURE - EXEMPT.get(path, set())
    assert not impure, f"{path} imports {impure}: have it handed in, or move the module"


@pytest.mark.parametrize(
    "path", [path for path in CORE_MODULES if "/cli/" not in path and "/testing/" not in path]
)
def test_a_layer_imports_only_what_the_table_allows(path):
    layer = path.split("/")[1] if path.count("/") > 1 else ROOT
    assert layer in LAYERS, f"a new layer {layer!r}: enter it in LAYERS and in docs/architecture.md"
    allowed = {*LAYERS[layer], layer}
    for name in CORE_MODULES[path]:
        parts = name.split(".")
        if parts[0] != "bee_core" or len(parts) == 1:
            continue
        target = parts[1] if parts[1] in PACKAGES else ROOT
        excused = EXEMPT.get(path, set())
        assert target in allowed or "*" in excused or within(name, excused), (
            f"{path} ({layer}) imports {name} ({target})"
        )


@pytest.mark.parametrize("path", CORE_MODULES)
def test_the_core_imports_no_plugin(path):
    assert not any(within(name, ("bee_plugins",)) for name in CORE_MODULES[path])


@pytest.mark.parametrize("path", PLUGIN_MODULES)
def test_a_plugin_imports_only_the_public_part_of_the_core(path):
    for name in PLUGIN_MODULES[path]:
        if not name.startswith("bee_core."):
            continue
        prefix = any(f"{public}.".startswith(f"{name}.") for public in PUBLIC_TO_PLUGINS)
        assert prefix or within(name, PUBLIC_TO_PLUGINS), f"{path} imports {name}"


def test_every_exemption_is_for_a_module_that_is_there():
    assert set(EXEMPT) - {"bee_core/__init__.py", "bee_core/__main__.py"} <= set(CORE_MODULES)


SAMPLE = """
from __future__ import annotations
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from random import Random
else:
    import selectors
from .errors import BeeError
from . import nodes
from ..config import model

def late():
    import socket, time as clock
"""


def test_imports_are_read_also_inside_functions_and_without_those_for_type_checkers():
    found = imports(SAMPLE, "bee_core.sync")
    assert {
        "selectors",
        "socket",
        "time",
        "bee_core.sync.errors",
        "bee_core.sync.nodes",
        "bee_core.config.model",
    } <= found
    assert not any(name.startswith("random") for name in found)
