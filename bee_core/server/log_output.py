"""How log lines look and where they go: for ``bee serve``, and for programs that set up nothing."""

from __future__ import annotations

import contextlib
import json
import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..terms.printable import printable, printable_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = ("debug", "info", "warning", "error")
_TALKATIVE = ("httpx", "httpcore", "kazoo", "urllib3", "asyncio", "watchfiles")
"""Libraries of bee's own plugins that write a line for each request at INFO."""


class PlainFormatter(logging.Formatter):
    """Lines for people: time (local, with its offset), level, logger, message.

    ::

        2026-11-28T22:47:25.123+0100 INFO bee.server: listening on tcp://127.0.0.1:9000

    Only a line of the log begins with a time. Further lines of a message and of a traceback are
    indented, and what acts on a terminal is escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The lines of a record."""
        time = datetime.fromtimestamp(record.created).astimezone()
        head = f"{time:%Y-%m-%dT%H:%M:%S}.{record.msecs:03.0f}{time:%z}"
        first, line_end, rest = record.getMessage().partition("\n")
        lines = [f"{head} {record.levelname} {printable(record.name)}: {printable(first)}"]
        if line_end:
            lines.append(_indented(rest))
        text = record.exc_text
        if not text and record.exc_info and record.exc_info[0] is not None:
            text = self.formatException(record.exc_info)
        if text:
            lines.append(_indented(text))
        return "\n".join(lines)


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
        if record.exc_text:
            line["traceback"] = record.exc_text
        elif record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=printable)


def _indented(text: str) -> str:
    """Lines below a log line; those that bee's own loggers indented are not indented again."""
    lines = text.split("\n")
    if all(line.startswith("  ") and printable(line, len(line)) == line for line in lines):
        return text
    return printable_lines(text)


def log_to_stderr(*, json_lines: bool, level: str | None) -> None:
    """Send log lines to stderr: those of bee, of the application and of libraries, from INFO on.

    An application that has set up logging itself keeps its handlers and levels. So call this after
    the application was imported. Only ``json_lines`` changes its handlers: what they write to
    streams becomes JSON too, because a reader of JSON could not take other lines. And a ``level``
    that is stated counts for bee's own lines.

    Args:
        json_lines: Write one JSON object a line.
        level: One of :data:`LEVELS`, or None for INFO.
    """
    root = logging.getLogger()
    number = getattr(logging, (level or "info").upper())
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(PlainFormatter())
        root.addHandler(handler)
        root.setLevel(number)
        for name in _TALKATIVE:
            quiet = logging.getLogger(name)
            if quiet.level == logging.NOTSET:
                quiet.setLevel(max(number, logging.WARNING))
    if json_lines:
        for writer in root.handlers:
            if type(writer) is logging.StreamHandler:
                writer.setFormatter(JsonFormatter())
    bee = logging.getLogger("bee")
    if level is not None or bee.level == logging.NOTSET:
        bee.setLevel(number)


@contextlib.contextmanager
def shown_when_nobody_listens() -> Iterator[None]:
    """While the block runs, bee's lines from INFO on go to stderr if logging is not configured.

    Logging that is configured stays as it is, also when that happens inside the block.
    """
    bee, root = logging.getLogger("bee"), logging.getLogger()
    if bee.hasHandlers():
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter())
    handler.addFilter(lambda _record: not root.handlers)
    bee.addHandler(handler)
    before = bee.level
    if before == logging.NOTSET:
        bee.setLevel(logging.INFO)
    try:
        yield
    finally:
        bee.removeHandler(handler)
        bee.setLevel(before)
