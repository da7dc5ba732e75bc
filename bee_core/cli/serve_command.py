"""``bee serve``: run a server. Finds what it is to serve, and says how its log is written."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import logging
import re
import sys
from datetime import datetime, timezone
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click
from click.core import ParameterSource

from .. import build_server
from ..server.server import Server
from .command_group import UnusableCommandError, debug_option
from .shared_options import config_option, load_configuration

if TYPE_CHECKING:
    from types import ModuleType

_NAMED = re.compile(r"([A-Za-z_][\w.]*)=(.+)", re.DOTALL)


@click.command()
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@config_option
@click.option(
    "--address",
    metavar="URL",
    help="Listen here instead of at the configuration's address,"
    " for example 127.0.0.1:0 for any free port.",
)
@click.option(
    "--json-logs",
    is_flag=True,
    help="Log one JSON object a line, with time, level, event and the event's fields.",
)
@debug_option
@click.pass_context
def serve(
    ctx: click.Context,
    targets: tuple[str, ...],
    config_path: str,
    address: str | None,
    json_logs: bool,
) -> None:
    """Serve objects and functions until SIGTERM or SIGINT.

    TARGET is module:attribute or file.py:attribute. The attribute is an instance, a class that is
    made without arguments, a function, or a bee_core.Server. name=module:attribute gives an object
    a name, so that its methods are called name.method.

    The first signal drains: no new calls, those in flight may end. A second one leaves at once.
    """
    found = [load_target(text) for text in targets]
    server = _ready_made(ctx, found, address) or _build(found, config_path, address)
    log_to_stderr(json_lines=json_logs)
    server.run()


def _ready_made(ctx: click.Context, targets: list[Target], address: str | None) -> Server | None:
    ready = next((target for target in targets if isinstance(target.value, Server)), None)
    if ready is None:
        return None
    if len(targets) > 1:
        raise UnusableCommandError(
            f"{ready.text} is a server of its own, so it must be the only TARGET;"
            " add the other objects to it in the module"
        )
    config_given = ctx.get_parameter_source("config_path") is ParameterSource.COMMANDLINE
    if address is not None or config_given:
        raise UnusableCommandError(
            f"{ready.text} is a server with a configuration of its own;"
            f" leave {'--config' if address is None else '--address'} away"
        )
    server: Server = ready.value
    return server


def _build(targets: list[Target], config_path: str, address: str | None) -> Server:
    config = load_configuration(config_path)
    if address is not None and config.server is not None:
        try:
            config = attrs.evolve(config, server=attrs.evolve(config.server, address=(address,)))
        except ValueError as error:
            raise UnusableCommandError(f"--address: {error}") from error
    server = build_server(config)
    for target in targets:
        _add(server, target)
    return server


def _add(server: Server, target: Target) -> None:
    try:
        server.add(target.value, target.name)
    except ValueError as error:
        raise UnusableCommandError(
            f"{target.text}: {error} (on the command line: name=module:attribute)"
        ) from error
    except TypeError as error:
        raise UnusableCommandError(f"{target.text}: {error}") from error


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
    """Import a TARGET. The current folder, or that of the file, comes first on ``sys.path``.

    Raises:
        UnusableCommandError: No such module, file or attribute, or a class that needs arguments.
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
        raise _raised(f"importing {place}", error) from error
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


def _instantiate(cls: type, text: str) -> Any:
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        raise UnusableCommandError(
            f"{text} cannot be made without arguments ({error});"
            " make an instance in the module and name that"
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


class _OperatorFormatter(logging.Formatter):
    """The message alone: what collects the lines adds the time. A warning has its level, too."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for programs.

    The fields are ``time`` (UTC), ``level``, ``event``, ``message``, ``logger``, ``pid``, then the
    event's own. The event of a line that is not one of bee's events is ``log``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the record holds."""
        time = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": getattr(record, "bee_event", "log"),
            "message": record.getMessage(),
            "logger": record.name,
            "pid": record.process,
        }
        for name, value in getattr(record, "bee_fields", {}).items():
            line.setdefault(name, value)
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to_stderr(*, json_lines: bool) -> None:
    """Send log lines to stderr: bee's from INFO on, all others' from WARNING on.

    An application that has set up logging itself keeps its handlers and levels. So call this after
    the application was imported. Only ``json_lines`` changes its handlers: what they write to
    streams becomes JSON too, because a reader of JSON could not take other lines.

    Args:
        json_lines: Write one JSON object a line.
    """
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_OperatorFormatter())
        root.addHandler(handler)
    if json_lines:
        for writer in root.handlers:
            if type(writer) is logging.StreamHandler:
                writer.setFormatter(JsonFormatter())
    bee = logging.getLogger("bee")
    if bee.level == logging.NOTSET:
        bee.setLevel(logging.INFO)
