"""What ``bee serve`` logs, and how: one line for each thing that an operator must know, on stderr."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any


class _OperatorFormatter(logging.Formatter):
    """The message alone, since whatever collects the lines adds the time; the level where it is more than news."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for programs: ``time`` (UTC), ``level``, ``event``, ``message``, ``logger``, ``pid``, then the event's own fields.

    The event of a line that is not one of bee's events is ``log``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the record holds."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
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


def log_to_stderr(*, json_lines: bool = False) -> None:
    """Send log lines to stderr: bee's from INFO on, all others' from WARNING on.

    An application that has set up logging itself keeps its own handlers and levels, unless JSON is asked for: then what it writes to streams becomes JSON too, since a
    reader of JSON could not take other lines. So call this after the application was imported.

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
