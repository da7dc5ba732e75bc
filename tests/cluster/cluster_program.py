"""A server of a cluster: ``cluster_program.py CONFIG-AS-JSON LOG``.

Orders come on standard input, a line each: ``hang`` and ``work``.

``--clock=SECONDS`` moves the clock of the whole process.
``--id=ID`` gives it an id that others may have too.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time

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
        """One write of one line, with O_APPEND.

        It is whole or not there, and survives the process.
        """
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


def move_clock(seconds: float) -> None:
    """The wall clock is wrong, as every module of this process reads it.

    The monotonic clock is not.
    """
    real = time.time
    time.time = lambda: real() + seconds
    time.time_ns = lambda: int(time.time() * 1e9)


def take_id(id_: str) -> None:
    """Ids are random; this one is not."""
    from bee_core.server import announcement

    announcement.instance_id = lambda service: id_


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    for option in sys.argv[3:]:
        name, _, value = option.partition("=")
        if name == "--clock":
            move_clock(float(value))
        elif name == "--id":
            take_id(value)
    server = bee_core.build_server(json.loads(sys.argv[1]))
    work = Work(sys.argv[2])
    threading.Thread(target=work.take_orders, daemon=True).start()
    server.add(work)
    server.run()
    say("left")
