"""What all commands have in common when they end: every error is one line on stderr, and has an exit code."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ..errors import BeeError, ConfigError, PluginError

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED = 1
"""Exit code: the command was understood and did not succeed."""
UNUSABLE = 2
"""Exit code: the command or the configuration cannot be used as it is. click's own code for a wrong command."""
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""

DEBUG_KEY = "bee.debug"
"""Where a context notes that ``--debug`` was given."""


class UnusableCommandError(click.ClickException):
    """The words of a command do not make sense together, or name what is not there. Unlike click's ``UsageError`` it says all in its message."""

    exit_code = UNUSABLE


class CommandGroup(click.Group):
    """A group of commands that never shows a traceback unless ``--debug`` asks for it."""

    def run(self, args: Sequence[str] | None) -> int:
        """Run a command and return the exit code."""
        try:
            # Not standalone: click would answer Ctrl-C with "Aborted!" and 1, and a wrong command with three lines.
            code = super().main(
                list(sys.argv[1:] if args is None else args), prog_name="bee", standalone_mode=False
            )
        except (KeyboardInterrupt, click.Abort):
            return INTERRUPTED
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return UNUSABLE
        except Exception as error:
            click.echo(f"error: {one_line(error)}", err=True)
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
            if ctx.meta.get(DEBUG_KEY) and not isinstance(error, click.exceptions.Exit):
                traceback.print_exc()
            raise


def exit_code(error: Exception) -> int:
    """The exit code that an error means."""
    if isinstance(error, click.ClickException):
        return error.exit_code
    return UNUSABLE if isinstance(error, (ConfigError, PluginError)) else FAILED


def one_line(error: Exception) -> str:
    """An error as one line that says what to do."""
    text = _text(error)
    return " ".join(text.split())


def _text(error: Exception) -> str:
    if isinstance(error, click.UsageError):
        asked = error.ctx.command_path if error.ctx is not None else "bee"
        return f"{error.format_message().rstrip('.')} (see {asked} --help)"
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, ConfigError) and len(error.problems) > 1:
        return f"{error.problems[0]} (and {len(error.problems) - 1} more: bee check {error.problems[0].source or 'FILE'})"
    if isinstance(error, BeeError):
        return str(error)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}"
    return f"{type(error).__name__}: {error} (--debug shows where)"
