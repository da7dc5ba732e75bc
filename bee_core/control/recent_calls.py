"""Answers who asks a running process for its last calls, on a socket of this user's own.

The socket is a Unix socket in the folder of :mod:`.recent_folder`. One JSON object on one line asks
and one JSON object answers::

    {"want": "last", "service": "", "limit": 20}        want: last, slow, failed
    {"number": 4711}                                    one call

At a client the control plane's thread answers, at a server its loop. A process that was forked has
a socket of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
import time
from itertools import count
from typing import TYPE_CHECKING, Any

from ..contracts.flight_recorder import PERIOD
from ..terms.loggers import logger
from ..terms.printable import brief
from . import crash_dump, fork
from .recent_folder import default_folder, prepared, short_path, tidy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..contracts.flight_recorder import FlightRecorder, Kept

log = logger("bee.recent")

MOST_ASKED = 1000
"""Calls in one answer."""
_PATIENCE = 2.0
"""Seconds that one question and its answer may take."""
_AT_A_TIME = 4
_LONGEST_QUESTION = 4096
_numbers = count(1)


class RecentCalls:
    """The last calls of one client or server, for others to ask for. Thread-safe.

    Args:
        recorder: Has the calls.
        side: ``client`` or ``server``.
        name: The application's name, or the service's.
        running: The calls that have not ended, as :meth:`told` tells them; quick. From any thread.
    """

    def __init__(
        self,
        recorder: FlightRecorder,
        side: str,
        name: str,
        running: Callable[[], list[Kept]] = list,
    ) -> None:
        self.recorder = recorder
        self.side = side
        self.name = name
        self._running = running
        self._socket: socket.socket | None = None
        self._server: asyncio.AbstractServer | None = None
        self._path: Path | None = None
        self._asked = 0
        self._turning: asyncio.TimerHandle | None = None
        self._spawn: Callable[[Callable[[], Any]], object] | None = None
        crash_dump.watch(self)
        fork.watch(self)

    # What is told.

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """What is answered to a question."""
        if "number" in question:
            number = int(question["number"])
            kept = self.recorder.find(number)
            found = [one for one in self._running() if one.number == number]
            if kept is not None:
                found = [kept]
        else:
            limit = max(0, min(int(question.get("limit", 20)), MOST_ASKED))
            want, service = str(question.get("want", "last")), str(question.get("service", ""))
            found = self.recorder.recent(want, service)
            if want == "last":
                found += [one for one in self._running() if service in {"", one.service}]
            found = found[len(found) - min(limit, len(found)) :]
        return self.about() | {"calls": self.told(found)}

    def about(self) -> dict[str, Any]:
        """Who answers."""
        return {
            "pid": os.getpid(),
            "side": self.side,
            "name": self.name,
            "program": os.path.basename(sys.argv[0] if sys.argv else ""),  # noqa: PTH119
        }

    def told(self, calls: list[Kept]) -> list[dict[str, Any]]:
        """Calls for JSON. A call that runs has no end, and the error kind ``running``."""
        ahead = time.time() - self.recorder.clock()
        pid = os.getpid()
        return [self._object(one, ahead, pid) for one in calls]

    def _object(self, one: Kept, ahead: float, pid: int) -> dict[str, Any]:
        failed = bool(one.kind) and one.kind != RUNNING
        return {
            "id": f"{pid}-{base36(one.number)}",
            "side": "call" if self.side == "client" else "request",
            "state": one.kind if one.kind == RUNNING else "failed" if failed else "ok",
            "service": one.service,
            "method": one.method,
            "node" if self.side == "client" else "peer": one.where,
            "began": round(one.began + ahead, 6),
            "seconds": round(one.ended - one.began, 6),
            "attempts": one.attempts,
            "degraded": bool(one.fallback),
            "fallback": one.fallback,
            "deduplicated": one.deduplicated,
            "trace": one.trace,
            "steps": list(one.steps) or self._one_step(one),
            "error": {
                "kind": one.kind,
                "message": one.message,
                "executed": one.executed,
                "type": one.error_type,
            }
            if failed
            else None,
        }

    def _one_step(self, one: Kept) -> list[dict[str, Any]]:
        """The only step of an ordinary call."""
        if self.side != "client" or one.kind:
            return []
        return [
            {
                "kind": "attempt",
                "node": one.where,
                "seconds": round(one.ended - one.began, 6),
                "failure": None,
                "decision": "return the result",
            }
        ]

    # The socket.

    def serve_later(self, spawn: Callable[[Callable[[], Any]], object]) -> None:
        """Answer once there is something to ask for: see :attr:`FlightRecorder.listen`.

        Args:
            spawn: Runs a coroutine function on the control plane.
        """
        self._spawn = spawn
        self.recorder.listen = lambda: spawn(self.serve)

    async def serve(self) -> None:
        """Answer on the running loop, until this is cancelled."""
        if await self.open():
            try:
                await asyncio.Event().wait()
            finally:
                self.close()

    async def open(self) -> bool:
        """Answer on the running loop from now on.

        Returns:
            False where it cannot; a line in the log says why.
        """
        if self._server is not None or not hasattr(socket, "AF_UNIX"):
            return False
        sock: socket.socket | None = None
        try:
            folder = prepared(default_folder())
            tidy(folder)
            path = folder / f"{os.getpid()}-{next(_numbers)}.sock"
            with contextlib.suppress(FileNotFoundError):
                path.unlink()  # of a process that had this id before
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with short_path(path) as short:
                sock.bind(short)
            self._path, self._socket = path, sock
            self._server = await asyncio.start_unix_server(
                self._asked_by, sock=sock, limit=_LONGEST_QUESTION, backlog=_AT_A_TIME
            )
        except (OSError, asyncio.CancelledError) as error:
            if sock is not None:
                sock.close()
            self.close()
            if not isinstance(error, OSError):  # the client was closed just now
                raise
            log.info("nobody can ask this process for its last calls: %s", brief(error))
            return False
        self._turn()
        return True

    def _turn(self) -> None:
        self.recorder.turn()
        self._turning = asyncio.get_running_loop().call_later(PERIOD, self._turn)

    def close(self) -> None:
        """Answer no more. On the loop's thread; idempotent."""
        if self._turning is not None:
            self._turning.cancel()
            self._turning = None
        server, self._server, self._socket = self._server, None, None
        if server is not None:
            server.close()
        path, self._path = self._path, None
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink()

    def after_fork_in_child(self) -> None:
        """In a forked child: the calls and the socket are the parent's."""
        sock, self._socket, self._server, self._path = self._socket, None, None, None
        self._asked, self._turning = 0, None
        self.recorder.clear()
        if self._spawn is not None:
            self.serve_later(self._spawn)
        if sock is not None:
            # By its descriptor: the loop that has the socket is the parent's.
            with contextlib.suppress(OSError):
                os.close(sock.detach())

    async def _asked_by(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._asked += 1
        try:
            if self._asked <= _AT_A_TIME and _is_own(writer.get_extra_info("socket")):
                await asyncio.wait_for(self._exchange(reader, writer), _PATIENCE)
        except Exception:  # a question may be anything
            log.debug("a question for the last calls has no answer", exc_info=True)
        finally:
            self._asked -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = json.loads(await reader.readline())
        if not isinstance(question, dict):
            return
        writer.write(json.dumps(self.answer(question)).encode() + b"\n")
        await writer.drain()


RUNNING = "running"
"""The state of a call that has not ended."""


def base36(number: int) -> str:
    """A number as short as letters and digits make it; ``int(text, 36)`` reads it."""
    text = ""
    while number or not text:
        number, digit = divmod(number, 36)
        text = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + text
    return text


def _is_own(sock: Any) -> bool:
    """Whether a process of this user, or of root, asks. The folder lets in nobody else anyway."""
    credentials = getattr(socket, "SO_PEERCRED", None)  # Linux has it
    if credentials is None or sock is None:
        return True
    form = struct.Struct("3i")
    _, uid, _ = form.unpack(sock.getsockopt(socket.SOL_SOCKET, credentials, form.size))
    return uid in {0, os.geteuid()}
