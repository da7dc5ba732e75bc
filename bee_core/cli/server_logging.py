"""What ``bee serve`` logs, and how: one line for each thing that an operator must know, on stderr."""

from __future__ import annotations

import logging


class _OperatorFormatter(logging.Formatter):
    """The message alone, since whatever collects the lines adds the time; the level where it is more than news."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"


def log_to_stderr() -> None:
    """Send log lines to stderr: bee's from INFO on, all others' from WARNING on.

    An application that has set up logging itself keeps its own handlers and levels. So call this after the application was imported.
    """
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_OperatorFormatter())
        root.addHandler(handler)
    bee = logging.getLogger("bee")
    if bee.level == logging.NOTSET:
        bee.setLevel(logging.INFO)
