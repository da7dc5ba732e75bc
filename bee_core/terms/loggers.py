"""Loggers whose lines hold nothing that acts on a terminal, whatever handler writes them."""

from __future__ import annotations

import logging

from .printable import printable, printable_lines
from .tracebacks import traceback_of


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


def logger(name: str) -> logging.Logger:
    """A logger of bee: foreign text in its lines is made printable, tracebacks are indented.

    Args:
        name: ``bee`` and what the lines are about: ``bee.client``.
    """
    found = logging.getLogger(name)
    found.addFilter(_printable)  # no second time
    return found
