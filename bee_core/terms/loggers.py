"""Loggers whose lines hold nothing that acts on a terminal, whatever handler writes them.

A handler that raises costs its line and nothing else. Those of the standard library say on stderr
what they raise, and where stderr is closed that raises as well: without a bound here it would end a
drain, or the watch of a registry.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .printable import printable, printable_lines
from .tracebacks import traceback_of

if TYPE_CHECKING:
    from collections.abc import Callable


class _Printable(logging.Filter):
    """Rewrites a record that holds what others made; most records stay as they are."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        try:
            text = record.getMessage()
        except Exception:  # a wrong format; the handler says so
            return True
        first, line_end, rest = text.partition("\n")
        shown = printable(first) + (f"\n{printable_lines(rest)}" if line_end else "")
        if shown != text:
            record.msg, record.args = shown, ()
        if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
            # What a formatter of the standard library prints instead of its own. What formats by
            # itself (Sentry) has the exception.
            record.exc_text = traceback_of(record.exc_info[1])
        return True


_printable = _Printable()
_interruptions: list[Callable[[BaseException], bool]] = []


def let_through(interruption: Callable[[BaseException], bool]) -> None:
    """Let exceptions out of loggers that are the caller's and no handler's.

    Args:
        interruption: Whether an exception is one: a handler of signals raised it.
    """
    _interruptions.append(interruption)


def _contained(handle: Callable[[logging.LogRecord], None]) -> Callable[[logging.LogRecord], None]:
    def contained(record: logging.LogRecord) -> None:
        try:
            handle(record)
        except Exception as error:
            if any(interruption(error) for interruption in _interruptions):
                raise

    return contained


def logger(name: str) -> logging.Logger:
    """A logger of bee: foreign text in its lines is made printable, tracebacks are indented.

    What a handler raises goes no further.

    Args:
        name: ``bee`` and what the lines are about: ``bee.client``.
    """
    found = logging.getLogger(name)
    found.addFilter(_printable)  # no second time
    if "handle" not in vars(found):
        vars(found)["handle"] = _contained(found.handle)
    return found
