"""Clients and servers of other languages as objects that a test can use."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any

from support import processes
from support.patience import PATIENCE

# A short-lived program has no use for the optimizing compiler, nor for a collector with threads.
# Both would take the processor from the tests.
SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "interop"


class ForeignError(Exception):
    """What the other language's exception says."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(f"{said['code']}: {said['message']}")
        self.code = said["code"]
        self.executed = said["executed"]
        self.message = said["message"]
        self.path = said["path"]
        self.type = said["type"]
        self.application_code = said["applicationCode"]
        self.details = said["details"]
        self.retry_after_ms = said["retryAfter"]


class ForeignClient:
    """A process that runs a driver (``drive.mjs``, ``Drive.java``).

    Commands and answers are lines of JSON.
    """

    def __init__(self, command: list[str]) -> None:
        self._process = processes.start(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._numbers = count(1)
        self._answers: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def open(self, *urls: str, service: str = "calc", **options: Any) -> ForeignService:
        """A client of the other language. Times are milliseconds."""
        name = f"client {next(self._numbers)}"
        addresses = [url.removeprefix("tcp://") for url in urls]
        self.send(
            {
                "open": name,
                "addresses": addresses,
                "service": service,
                "options": {"timeout": 10_000, **options},
            }
        )[1].result(PATIENCE)
        return ForeignService(self, name)

    def send(self, command: dict[str, Any]) -> tuple[int, Future[Any]]:
        number = next(self._numbers)
        answer: Future[Any] = Future()
        with self._lock:
            self._answers[number] = answer
            self._process.stdin.write(json.dumps({"n": number, **command}) + "\n")
            self._process.stdin.flush()
        return number, answer

    def _read(self) -> None:
        for line in self._process.stdout:
            said = json.loads(line)
            answer = self._answers.pop(said["n"])
            if "error" in said:
                answer.set_exception(ForeignError(said["error"]))
            else:
                answer.set_result(said["result"])
        for answer in list(self._answers.values()):
            answer.set_exception(EOFError("the other language's program has ended"))

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._reader.join(PATIENCE)
            self._process.stdout.close()
            self._process.wait()


class ForeignService:
    """One client in that process, for one service."""

    def __init__(self, program: ForeignClient, name: str) -> None:
        self._program = program
        self._name = name

    def start(
        self, method: str, *args: Any, by_name: dict[str, Any] | None = None, **options: Any
    ) -> Future[Any]:
        number, answer = self._program.send(
            {
                "call": self._name,
                "method": method,
                "args": list(args) if by_name is None else by_name,
                "options": options,
            }
        )
        answer.abort = lambda: self._program.send({"abort": number})[1].result(PATIENCE)
        return answer

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        return self.start(method, *args, **options).result(PATIENCE)

    def error_of(self, method: str, *args: Any, **options: Any) -> ForeignError:
        error = self.start(method, *args, **options).exception(PATIENCE)
        assert isinstance(error, ForeignError), error
        return error

    def ping(self) -> str:
        return self._program.send({"ping": self._name})[1].result(PATIENCE)

    def close(self) -> None:
        self._program.send({"close": self._name})[1].result(PATIENCE)


class ForeignServer:
    """A server process of another language.

    Says ``listening on URL as ...`` when it serves, ``draining`` and ``gone`` when it leaves.
    """

    def __init__(self, command: list[str]) -> None:
        self.process = processes.start(command, stdout=subprocess.PIPE, text=True)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.url = self.expect("listening on ").split()[2]

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def expect(self, start: str) -> str:
        """The next line of its output, which has to begin so."""
        line = self._lines.get(timeout=PATIENCE)
        assert line.startswith(start), f"the server said {line!r}, not {start!r}"
        return line

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL. Nothing when it has ended."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self.process.stdout.close()
