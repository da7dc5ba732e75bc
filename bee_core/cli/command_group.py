"""The command ``bee``: it loads the command that is asked for, and reports each error.

A client, a server and a table each take longer to import than ``bee --help`` takes to print. So
each command imports all that it needs at the head of its module, and the module is imported when
the command is asked for. The list of commands says in one line what each does.

Every error is one line on stderr and has an exit code. ``--debug`` adds the traceback.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from .. import __version__
from ..errors import BeeError, ConfigError, PluginError, RemoteError
from ..terms.printable import name_of, printable, printable_lines, text_of

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

FAILED = 1
"""Exit code: the command was understood and did not succeed."""
UNUSABLE = 2
"""Exit code: the command or the configuration cannot be used. click has the same code."""
DOUBTFUL = 3
"""Exit code of what shows nodes: they are known, and may be out of date."""
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as in shells."""

_LONGEST_ERROR = 4000  # characters
_DEBUG_KEY = "bee.debug"  # where a context notes that --debug was given


class UnusableCommandError(click.ClickException):
    """The words of a command make no sense together, or one names what is not there.

    Unlike click's ``UsageError`` it says all in its message.
    """

    exit_code = UNUSABLE


COMMANDS = {
    "bench": ("bench.bench_command", "Call a method over and over and say how fast it is."),
    "breaking": ("breaking_command", "Say which changes of a service break its callers."),
    "call": ("call_command", "Call a method and print the result as JSON."),
    "check": ("check_command", "Say what is wrong with a configuration, all of it."),
    "completion": ("completion", "Print what makes a shell complete bee's words."),
    "demo": ("demo.demo_command", "Kill one of three servers while calls go on."),
    "describe": ("describe_commands", "Say what a service or a method takes and gives."),
    "diff": ("diff_command", "Say what differs between two configurations."),
    "explain": ("explain_command", "Say what would happen to a call, and why."),
    "health": ("health_command", "Say whether a service or an address serves, for probes."),
    "methods": ("describe_commands", "List the methods of a service, a line each."),
    "nodes": ("list_commands", "List the nodes of a service, and which of them fit."),
    "plugins": ("list_commands", "List the plugins that are installed."),
    "recent": ("recent_command", "Show the last calls of processes that run."),
    "schema": ("schema_command", "Print the JSON Schema of the configuration, for editors."),
    "serve": ("serve_command", "Serve objects and functions until SIGTERM or SIGINT."),
    "services": ("list_commands", "List the services that a client can call."),
    "simulate": ("simulate_command", "Say what a configuration would do in trouble."),
    "stub": ("stub_command", "Write the asyncio or blocking twin of an interface."),
}
"""By name: the module that has the command under this name, and what the command does."""


class CommandGroup(click.Group):
    """The group of :data:`COMMANDS`. It shows a traceback only when ``--debug`` asks for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__package__}.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, without importing them, and the options."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands for the help, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def run(self, args: Sequence[str] | None) -> int:
        """Run a command and return the exit code."""
        try:
            # Not standalone: click would answer Ctrl-C with "Aborted!" and 1, and a wrong command
            # with three lines.
            code = super().main(
                list(sys.argv[1:] if args is None else args), prog_name="bee", standalone_mode=False
            )
        except (KeyboardInterrupt, click.Abort):
            return INTERRUPTED
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return UNUSABLE
        except Exception as error:
            click.echo(f"error: {printable(one_line(error), _LONGEST_ERROR)}", err=True)
            return exit_code(error)
        return code if isinstance(code, int) else 0

    def main(
        self, args: Sequence[str] | None = None, *ignored: Any, **also_ignored: Any
    ) -> NoReturn:
        """As click's: ends the process. For ``click.testing.CliRunner``, which calls it."""
        sys.exit(self.run(args))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # Not left to click, which prints an empty line, also where there is no terminal.
            raise click.exceptions.Exit(INTERRUPTED) from None
        except Exception as error:
            # Here and not where the line is printed: only here the options are known.
            if ctx.meta.get(_DEBUG_KEY) and not isinstance(error, click.exceptions.Exit):
                import traceback  # half as dear as click itself, and seldom asked for

                click.echo(printable_lines(traceback.format_exc()), err=True)
            raise


def debug_option(function: F) -> F:
    """Add ``--debug``. The command does not get it; the group of commands looks it up."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_note_debug,
        help="Show the traceback of an error.",
    )(function)


def _note_debug(ctx: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        ctx.meta[_DEBUG_KEY] = True


def debug_given(ctx: click.Context) -> bool:
    """Whether ``--debug`` was given, before or behind the name of the command."""
    return bool(ctx.meta.get(_DEBUG_KEY))


def exit_code(error: Exception) -> int:
    """The exit code that an error means."""
    if isinstance(error, click.ClickException):
        return error.exit_code
    return UNUSABLE if isinstance(error, (ConfigError, PluginError)) else FAILED


def one_line(error: Exception) -> str:
    """An error as one line that says what to do."""
    return " ".join(_text(error).split())


def _text(error: Exception) -> str:
    if isinstance(error, click.UsageError):
        asked = error.ctx.command_path if error.ctx is not None else "bee"
        return f"{error.format_message().rstrip('.')} (see {asked} --help)"
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, ConfigError) and len(error.problems) > 1:
        more = f"{len(error.problems) - 1} more: bee check {_file_of(error)}"
        return f"{error.problems[0]} (and {more})"
    if isinstance(error, RemoteError) and error.details is not None:
        return f"{error}; details: {_details(error)}"
    if isinstance(error, BeeError):
        return str(error)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}"
    return f"{name_of(error)}: {text_of(error)} (--debug shows where)"


def _file_of(error: ConfigError) -> str:
    """The file that the command was given, which may include the one that is wrong."""
    read = next(iter(error.files), None)
    if read is None:
        return error.problems[0].source or "FILE"
    folder = os.getcwd() + os.sep  # noqa: PTH109  # a text is wanted
    return read.removeprefix(folder)


def _details(error: RemoteError) -> str:
    from .output import encode  # with msgspec, which few errors need

    return encode(error.details)


def _show_version(context: click.Context) -> NoReturn:
    from .native_parts import native_parts

    click.echo(f"bee, version {__version__} ({native_parts()})")
    context.exit()


@click.group(cls=CommandGroup, context_settings={"max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _option, given: _show_version(context) if given else None,
    help="Show the version, and whether each native part is used (native or pure), and exit.",
)
@debug_option
def bee() -> None:
    """Call and run services. One YAML file says how; each word in it is the name of a plugin."""
    # A configuration may name functions of the application (the fallback ``function``). The folder
    # stands at the end of the path: what lies in it must not hide what is installed.
    if (folder := os.getcwd()) not in sys.path:  # noqa: PTH109  # a text is wanted
        sys.path.append(folder)
