"""Finds what ``bee serve`` is to serve: ``module:attribute`` or ``file.py:attribute``, with ``name=`` before it for an object that gets a name."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from .command_group import UnusableCommandError

if TYPE_CHECKING:
    from types import ModuleType

_NAMED = re.compile(r"([A-Za-z_][\w.]*)=(.+)", re.DOTALL)


@attrs.frozen
class Target:
    """What a TARGET means.

    Attributes:
        text: As it was written.
        name: What stands before ``=``, or None.
        value: An instance, a function, or a :class:`bee_core.Server`. A class was instantiated.
    """

    text: str
    name: str | None
    value: Any


def load_target(text: str) -> Target:
    """Import and look up a TARGET. The current folder, or that of the file, comes first on ``sys.path``.

    Raises:
        UnusableCommandError: There is no such module, file or attribute, or a class that needs arguments.
        ClickException: The module or the class raised.
    """
    named = _NAMED.fullmatch(text)
    name, rest = (named[1], named[2]) if named else (None, text)
    place, _, attribute = rest.rpartition(":")
    if not place or not attribute:
        raise UnusableCommandError(
            f"{text!r} is not a TARGET; write module:attribute or file.py:attribute"
        )
    module = _from_file(place) if place.endswith(".py") else _from_module(place)
    value = _look_up(module, place, attribute)
    return Target(text, name, _instantiate(value, rest) if inspect.isclass(value) else value)


def _from_module(name: str) -> ModuleType:
    _put_first(str(Path.cwd()))
    if not all(part.isidentifier() for part in name.split(".")):
        raise UnusableCommandError(
            f"{name!r} is not the name of a module; for a file write its path with .py, file.py:attribute"
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise UnusableCommandError(
                f"there is no module {error.name!r}, neither in {Path.cwd()} nor installed; a file is written file.py:attribute"
            ) from error
        raise _raised(f"importing {name}", error) from error
    except Exception as error:
        raise _raised(f"importing {name}", error) from error


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
        name = f"_bee_target_{name}"  # the file is called like a module that is loaded, such as json.py
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UnusableCommandError(f"{place} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # type hints are resolved by the module's name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _raised(f"importing {place}", error) from error
    return module


def _put_first(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _look_up(module: ModuleType, place: str, attribute: str) -> Any:
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            near = get_close_matches(
                part, [name for name in dir(value) if not name.startswith("_")], n=1
            )
            advice = f"; did you mean {near[0]!r}?" if near else ""
            raise UnusableCommandError(f"{place} has no attribute {attribute!r}{advice}")
        value = getattr(value, part)
    return value


def _instantiate(cls: type, text: str) -> Any:
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        raise UnusableCommandError(
            f"{text} cannot be made without arguments ({error}); make an instance in the module and name that"
        ) from error
    except ValueError:  # a class in C has no signature; trying it tells
        pass
    try:
        return cls()
    except Exception as error:
        raise _raised(f"{text}()", error) from error


def _raised(doing: str, error: Exception) -> click.ClickException:
    return click.ClickException(
        f"{doing} failed: {type(error).__name__}: {error} (--debug shows where)"
    )
