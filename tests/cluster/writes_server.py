"""A server whose writes are counted: ``writes_server.py CONFIG-AS-JSON LOG NAME``.

A line of its log is one handler that began, so it is also there for a write whose answer was lost.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
import time

import bee_core

WORK = 0.001
"""Seconds between the line of a write and its answer: a kill may come in between."""


class Writes:
    """Each method logs the write first. They differ in what runs them."""

    def __init__(self, log: str, name: str) -> None:
        # O_APPEND and one write: a line is whole or not there, and survives the process.
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._name = name

    def write(self, key: str) -> str:
        answer = self._ran(key)
        time.sleep(WORK)
        return answer

    async def write_async(self, key: str) -> str:
        answer = self._ran(key)
        await asyncio.sleep(WORK)
        return answer

    @bee_core.nonblocking
    def write_here(self, key: str) -> str:
        return self._ran(key)

    def _ran(self, key: str) -> str:
        """Log the write; the answer says who ran it."""
        if not key:  # writes that all look alike have their ids beside their arguments
            call = bee_core.current_call()
            assert call is not None
            key = str(call.metadata["id"])
        os.write(self._log, f"{key} {os.getpid()}\n".encode())
        return f"{key}@{self._name}"


def end_with_the_test() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    server = bee_core.build_server(json.loads(sys.argv[1]))
    server.add(Writes(sys.argv[2], sys.argv[3]))
    threading.Thread(target=end_with_the_test, daemon=True).start()
    server.run()
