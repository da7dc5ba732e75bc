"""The two processes of each contender, started and ended."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .contenders import CONTENDERS

if TYPE_CHECKING:
    from typing import IO, Self

START_SECONDS = 60
ROOT = Path(__file__).parent.parent


class ContenderFailed(Exception):
    """A contender's process ended, or did not answer in time, or a call failed."""


class Pair:
    """A server and a process of callers, as a context manager.

    Raises:
        ContenderFailed: It could not start.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # __exit__ closes it
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        try:
            server = self._start("serve", self.name)
            port = self._line(server, START_SECONDS).strip()
            self._callers = self._start("call", self.name, port, str(server.pid))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log.close()

    def run(self, load: str, seconds: float, rate: float = 0.0) -> dict[str, Any]:
        """Have the callers run a load.

        Raises:
            ContenderFailed: They could not.
        """
        order = {"load": load, "seconds": seconds, "rate": rate}
        assert self._callers.stdin is not None
        try:
            print(json.dumps(order), file=self._callers.stdin, flush=True)
        except BrokenPipeError:
            raise ContenderFailed(f"the process of callers has ended\n{self._said()}") from None
        result: dict[str, Any] = json.loads(self._line(self._callers, seconds * 3 + 60))
        if "error" in result:
            raise ContenderFailed(result["error"])
        return result

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env={**os.environ, **CONTENDERS[self.name].environment},
        )
        self._processes.append(process)
        return process

    def _line(self, process: subprocess.Popen[str], seconds: float) -> str:
        """The next line, which comes at once or not at all, so nothing is left in a buffer."""
        output: IO[str] | None = process.stdout
        assert output is not None
        ready, _, _ = select.select([output], [], [], seconds)
        line = output.readline() if ready else ""
        if not line:
            what = "ended" if ready else f"did not answer within {seconds:.0f} s"
            raise ContenderFailed(f"a process of {self.name} {what}\n{self._said()}")
        return line

    def _said(self) -> str:
        self._log.seek(0)
        return "".join(self._log.readlines()[-15:])
