"""The lines that a server writes to its log: one for each thing that an operator must know.

Each has a text for people. For programs it has the name of the event and its fields, which
``bee serve --json-logs`` prints. They are attributes of the log record, so that any handler can use
them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..terms.loggers import logger

if TYPE_CHECKING:
    from ..config.server_model import ServerConfig

log = logger("bee.server")


def say(event: str, text: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Write one line.

    Args:
        event: A short name that stays the same whatever the text becomes: ``listening``,
            ``registered``, ``draining`` …
        text: For people.
        level: Of the logging module.
        fields: What the text says, for programs. Values that JSON can carry.
    """
    log.log(level, "%s", text, extra={"bee_event": event, "bee_fields": fields})


def say_faults(settings: ServerConfig) -> None:
    """Write which faults the configuration injects, if it injects any."""
    faults = list(map(str, settings.faults))
    if faults:
        say(
            "faults_injected",
            f"FAULTS ARE INJECTED into the requests of {settings.name}: {'; '.join(faults)}",
            level=logging.WARNING,
            service=settings.name,
            faults=faults,
        )


def say_hung(threads: list[str]) -> None:
    """Write that handlers hang in these threads when a server leaves."""
    say(
        "hung_handlers",
        f"{len(threads)} handlers still hang in threads and end with the process: "
        f"{', '.join(threads)}",
        level=logging.WARNING,
        threads=threads,
    )


def say_cancelled(count: int, seconds: float) -> None:
    """Write how many requests a server that leaves has cancelled after ``drain_timeout``."""
    say(
        "drain_timeout",
        f"drain_timeout ({seconds:g} s) is over: {count} requests were cancelled",
        level=logging.WARNING,
        cancelled=count,
    )
