"""A server of a cluster: ``cluster_program.py CONFIG-AS-JSON LOG``. Orders come on standard input, a line each: ``hang`` and ``work``."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading

import bee_core


class Work:
    """Answers, unless it was told to hang."""

    def __init__(self, log: str) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._working = threading.Event()
        self._working.set()
        self._release = threading.Event()

    def take_orders(self) -> None:
        for order in sys.stdin:
            if order == "hang\n":
                self._working.clear()
            elif order == "work\n":
                self._working.set()
                self._release.set()
            say(f"told to {order.strip()}")
        os._exit(0)  # who gives the orders has gone

    def echo(self, value):
        self._work()
        return value

    def write(self, key: str) -> str:
        """One write of one line, with O_APPEND: it is whole or not there, and survives the process."""
        self._work()
        os.write(self._log, f"{key}\n".encode())
        return key

    def hold(self, number: int) -> int:
        """Wait for the next ``work``; other calls are answered meanwhile."""
        self._release.clear()
        say(f"holding {number}")
        self._release.wait()
        return number

    def _work(self) -> None:
        # Most wait for nothing; what hangs is let go with the next "work".
        self._working.wait()


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    server = bee_core.build_server(json.loads(sys.argv[1]))
    work = Work(sys.argv[2])
    threading.Thread(target=work.take_orders, daemon=True).start()
    server.add(work)
    server.run()
    say("left")
