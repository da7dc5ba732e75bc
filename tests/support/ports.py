"""Ports that stay free until a test's server takes them."""

from __future__ import annotations

import os
import re
import socket
from itertools import count
from random import SystemRandom

_FIRST, _WORKERS, _MANY = 20_000, 6, 2_000
_cursor = count(SystemRandom().randrange(_MANY))


def fixed_port() -> int:
    """A free port that the system gives to nobody by itself.

    So it is still free when a server starts on it, or starts again. Each worker of the tests has
    ports of its own, and takes them by turns.
    """
    worker = re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or "0"
    first = _FIRST + int(worker) % _WORKERS * _MANY
    for _ in range(_MANY):
        port = first + next(_cursor) % _MANY
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port")


def fixed_address() -> str:
    """``127.0.0.1`` with such a port."""
    return f"127.0.0.1:{fixed_port()}"
