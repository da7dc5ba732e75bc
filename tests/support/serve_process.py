"""``bee serve --json-logs`` in a process of its own: its log is read as events."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path

from support.patience import PATIENCE
from support.warm import nursery

APP = """
import os, signal, threading, time
import bee_core

class Service:
    def add(self, a: int, b: int) -> int:
        return a + b
    def pid(self) -> int:
        return os.getpid()
    def pause(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds
    def hang(self) -> None:
        threading.Event().wait()
    @bee_core.nonblocking
    def block(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds
"""


class ServeProcess:
    """One ``bee serve``.

    Args:
        folder: Where its files are written.
        rpc: What stands under ``bee.rpc``.
        env: Beside this process's own variables.
        application: What stands under ``bee.application``.
        words: Further options of the command.
    """

    def __init__(
        self,
        folder: Path,
        rpc: dict,
        env: dict[str, str] | None = None,
        application: dict | None = None,
        words: tuple[str, ...] = (),
    ) -> None:
        (folder / "app.py").write_text(APP)
        config = folder / "serve.yml"
        config.write_text(json.dumps({"bee": {"application": application or {}, "rpc": rpc}}))
        self.process = nursery.start(
            [
                *("-m", "bee_core", "serve", "app.py:Service", "--config", str(config)),
                *("--json-logs", *words),
            ],
            cwd=folder,
            env={**os.environ, **(env or {})},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                try:
                    self.events.append(json.loads(line))
                except ValueError:
                    self.events.append({"event": "not json", "message": line})
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, event: str, count: int = 1) -> dict:
        """The ``count``-th line of this event."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: self._ended or len(self.all(event)) >= count, PATIENCE
            ), f"no {event}: {self.events}"
            found = self.all(event)
        assert len(found) >= count, f"it ended without {event}: {self.events}"
        return found[count - 1]

    def all(self, event: str) -> list[dict]:
        return [line for line in self.events if line["event"] == event]

    @property
    def names(self) -> list[str]:
        return [line["event"] for line in self.events]

    def url(self) -> str:
        return self.wait_for("listening")["url"]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        self.process.stderr.close()


def children(pid: int) -> list[int]:
    """The child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until_gone(pids: list[int]) -> None:
    """Wait until none of the processes is there."""
    until = time.monotonic() + PATIENCE
    while alive := [pid for pid in pids if _alive(pid)]:
        assert time.monotonic() < until, f"still there: {alive}"
        time.sleep(0.005)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
