"""What a process writes when it crashes: its last calls, into a file that the log names.

======================================================== =========================================
the process ends by                                      written by
======================================================== =========================================
an exception that nobody caught                          the hook of ``sys.excepthook`` here
an exception out of ``Server.run()``, or of a worker     the server
a second signal, or a drain that hangs                   the server
SIGKILL, a crash of the interpreter, ``os._exit()``      nobody: no code of ours runs then
======================================================== =========================================

Nothing is written where nothing was called, and the newest files replace the oldest.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from ..terms.loggers import logger
from ..terms.printable import brief
from .recent_folder import default_folder, write_dump

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

log = logger("bee.recent")

_NO_CRASH = (KeyboardInterrupt, SystemExit)


class Source(Protocol):
    """A client or a server with its last calls."""

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """See :meth:`bee_core.control.recent_calls.RecentCalls.answer`."""


_sources: WeakSet[Source] = WeakSet()
_state: dict[str, Any] = {"before": None, "written": None}


def watch(source: Source) -> None:
    """Write its calls when this process crashes."""
    _sources.add(source)
    if _state["before"] is None:
        _state["before"], sys.excepthook = sys.excepthook, _uncaught


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    try:
        _state["before"](kind, error, trace)
    finally:
        crashed(error)


def crashed(error: BaseException) -> None:
    """This process ends by an exception: write its last calls. Once for each; never raises."""
    if isinstance(error, _NO_CRASH) or _state["written"] is error:
        return
    _state["written"] = error
    dump(brief(error))


def dump(reason: str) -> Path | None:
    """Write the last calls of all clients and servers of this process. Never raises.

    Args:
        reason: Why, for people.

    Returns:
        The file; None where there is nothing to write, or no place for it.
    """
    try:
        found = [_all_of(source) for source in tuple(_sources)]
        found = [one for one in found if any(one[want] for want in _WANTED)]
        if not found:
            return None
        now = time.time()
        content = {"reason": reason, "pid": os.getpid(), "at": now, "processes": found}
        name = f"{os.getpid()}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}-{now % 1:.6f}"
        path = write_dump(default_folder(), name, json.dumps(content).encode())
    except Exception as error:  # a process that crashes has its own error to tell
        with contextlib.suppress(Exception):
            log.warning("the last calls could not be written: %s", brief(error))
        return None
    log.error("%s: the last calls are in %s; see them with: bee recent %s", reason, path, path)
    return path


_WANTED = ("last", "failed", "slow")


def _all_of(source: Source) -> dict[str, Any]:
    answers = {want: source.answer({"want": want, "limit": 1000}) for want in _WANTED}
    about = {name: value for name, value in answers["last"].items() if name != "calls"}
    return about | {want: answer["calls"] for want, answer in answers.items()}
