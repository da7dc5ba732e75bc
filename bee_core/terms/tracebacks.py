"""Where an exception was raised, and its traceback as text that is fit for a log."""

from __future__ import annotations

import re
from traceback import TracebackException
from typing import TYPE_CHECKING, Any

from .printable import name_of, printable

if TYPE_CHECKING:
    from types import TracebackType

_LONGEST = 1024  # characters of an exception's text
_STACK_ENTRY = re.compile(r'[|+\s-]*  File "')


def place(file: str, line: int | None) -> str:
    """``/srv/p2c.py:12``, as much of it as is known."""
    return f"{file}:{line}" if file and line else file


def raised_at(error: BaseException, file: str = "") -> str:
    """The place that an exception was raised at, or the empty string.

    Args:
        error: The exception.
        file: The last line in this file counts, where there is one: what a plugin calls may raise
            deep inside a library, and the plugin is what has to change.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return place(error.filename, error.lineno)
    deepest = of_file = ""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith("<"):  # the importer, and methods that attrs has written
            deepest = place(code.co_filename, trace.tb_lineno)
            if code.co_filename == file:
                of_file = deepest
        trace = trace.tb_next
    return of_file or deepest


def traceback_of(error: BaseException) -> str:
    """The traceback of an exception, in which foreign text has no lines of its own. Never raises.

    An exception's text may be a caller's: its line ends and control characters are escaped.
    """
    try:
        trace = TracebackException.from_exception(error)
        _escape_notes(trace)
        return "".join(_escaped(part) for part in trace.format()).rstrip("\n")
    except Exception as failed:  # the exception's own properties may raise anything
        return (
            f"{name_of(error)} at {raised_at(error)}; "
            f"its traceback cannot be made ({name_of(failed)})"
        )


def _escape_notes(trace: TracebackException) -> None:
    """Each note on one line: the standard library splits them."""
    waiting: list[Any] = [trace]
    while waiting:
        part = waiting.pop()
        if part is None:
            continue
        if getattr(part, "__notes__", None):
            part.__notes__ = [printable(note, _LONGEST) for note in part.__notes__]
        waiting += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]


def _escaped(part: str) -> str:
    if _STACK_ENTRY.match(part):
        return "".join(f"{printable(line)}\n" for line in part.splitlines())
    bare = part.strip("\n")
    # A sentence between two exceptions stands between empty lines.
    around = "\n" if part.startswith("\n") else ""
    return f"{around}{printable(bare, _LONGEST)}\n{around}"
