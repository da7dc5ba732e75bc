"""What commands load of the application: ``module:attribute``, ``file.py:attribute``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..terms.printable import name_of, text_of
from .command_group import UnusableCommandError

if TYPE_CHECKING:
    from types import ModuleType


def load_attribute(text: str, what: str) -> Any:
    """Import what a text names. The current folder, or that of the file, comes first.

    Args:
        text: ``module:attribute`` or ``file.py:attribute``.
        what: What it should be, for the message: ``a TARGET``.

    Raises:
        UnusableCommandError: No such module, file or attribute.
        ClickException: The module raised.
    """
    place, _, attribute = text.rpartition(":")
    if not place or not attribute:
        raise UnusableCommandError(
            f"{text!r} is not {what}; write module:attribute or file.py:attribute"
        )
    module = _from_file(place) if place.endswith(".py") else _from_module(place)
    return _look_up(module, place, attribute)


def _from_module(name: str) -> ModuleType:
    _put_first(str(Path.cwd()))
    if not all(part.isidentifier() for part in name.split(".")):
        raise UnusableCommandError(
            f"{name!r} is not the name of a module;"
            " for a file write its path with .py, file.py:attribute"
        )
    try:
        return importlib.import_module(name)
    except Exception as error:
        # A module that is missing may also be one that this module imports.
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{name}.".startswith(f"{missing}."):
            raise UnusableCommandError(
                f"there is no module {missing!r}, neither in {Path.cwd()} nor installed;"
                " a file is written file.py:attribute"
            ) from error
        raise load_failed(f"importing {name}", error) from error


def _from_file(place: str) -> ModuleType:
    path = Path(place).resolve()
    if not path.is_file():
        raise UnusableCommandError(f"there is no file {place} (looked for {path})")
    # As python does for a script: its neighbours can be imported.
    _put_first(str(path.parent))
    name = path.stem
    present = sys.modules.get(name)
    if present is not None:
        if getattr(present, "__file__", None) == str(path):
            return present
        # The file is called like a module that is loaded, such as json.py.
        name = f"_bee_target_{name}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UnusableCommandError(f"{place} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # type hints are resolved by the module's name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise load_failed(f"importing {place}", error) from error
    return module


def _put_first(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _look_up(module: ModuleType, place: str, attribute: str) -> Any:
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            public = [name for name in dir(value) if not name.startswith("_")]
            near = get_close_matches(part, public, n=1)
            advice = f"; did you mean {near[0]!r}?" if near else ""
            raise UnusableCommandError(f"{place} has no attribute {attribute!r}{advice}")
        value = getattr(value, part)
    return value


def load_failed(doing: str, error: Exception) -> click.ClickException:
    """The error for code of the application that raised while it was loaded."""
    return click.ClickException(
        f"{doing} failed: {name_of(error)}: {text_of(error)} (--debug shows where)"
    )
