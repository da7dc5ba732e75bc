"""A server on its own: ``serving_program.py CONFIG-AS-JSON LOG``.

Says what it does on standard output.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading

import bee_core


class Process:
    """Writes that are logged before they are answered, and calls that wait."""

    def __init__(self, log: str) -> None:
        # O_APPEND and one write: a line is whole or not there, and survives the process.
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._line = threading.Lock()

    def pid(self) -> int:
        return os.getpid()

    def echo(self, value):
        return value

    def write(self, key: str) -> str:
        os.write(self._log, f"{key}\n".encode())
        return key

    async def write_async(self, key: str) -> str:
        return self.write(key)

    @bee_core.nonblocking
    def write_here(self, key: str) -> str:
        return self.write(key)

    def hold(self, answer: int) -> int:
        """Say so, and wait for a line on standard input."""
        _say(f"holding {answer}")
        with self._line:
            sys.stdin.buffer.raw.read(1)
        _say(f"released {answer}")
        return answer

    def hang(self) -> None:
        _say("hanging")
        threading.Event().wait()

    @bee_core.nonblocking
    def hang_the_loop(self) -> None:
        _say("hanging the loop")
        threading.Event().wait()

    @bee_core.nonblocking
    def flood(self) -> None:
        """Write more than a pipe holds."""
        sys.stdout.write("x" * 1_000_000)


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    server = bee_core.build_server(json.loads(sys.argv[1]))
    server.add(Process(sys.argv[2]))
    server.run()
    _say("left")
