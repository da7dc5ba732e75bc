"""Whether the blocking exchange of this process is the native one or the one in Python.

The native function is compiled where bee is installed, if there is a compiler. ``BEE_NATIVE=0``
in the environment leaves it aside, ``BEE_NATIVE=1`` makes it an error that it is missing. Both are
read when this module is imported, that is with the first transport.
``docs/decisions/native-exchange.md`` says more.
"""

from __future__ import annotations

import os
import socket
from importlib import import_module
from typing import Any, Literal, Protocol

STALE = -1
"""The result of an exchange that sent nothing, because the idle connection showed something."""
_API = 1  # as in _exchange.c
_SOCKET = socket.socket


class Exchange(Protocol):
    """The native function; the head of ``_exchange.c`` says what it does."""

    def __call__(
        self,
        fd: int,
        written: bytearray,
        check: bool,
        request: bytes,
        milliseconds: int,
        look: float,
        /,
    ) -> bytes | int | None:
        """Send, and wait for what comes first.

        Raises:
            OSError: As the system says it.
        """


def load(wanted: str) -> Exchange | None:
    """The native function, or None where it is not wanted or not there.

    Args:
        wanted: ``0`` for no, ``1`` for an error without it, anything else for what there is.

    Raises:
        ImportError: It is wanted and cannot be used. The message says what to do.
    """
    if wanted == "0":
        return None
    try:
        module: Any = import_module(f"{__package__}._exchange")
        if getattr(module, "API", 0) != _API:
            raise ImportError("it was built from other sources")
    except ImportError as error:
        if wanted == "1":
            raise ImportError(
                f"BEE_NATIVE=1 asks for the native exchange, and there is none ({error}): install a"
                " C compiler and Python's headers, and then bee again, or unset BEE_NATIVE"
            ) from error
        return None
    found: Exchange = module.exchange
    return found


exchange = load(os.environ.get("BEE_NATIVE", ""))
"""The native function, or None."""
PATH: Literal["native", "pure"] = "pure" if exchange is None else "native"
"""Which path the blocking calls of this process take."""


def is_plain(sock: socket.socket) -> bool:
    """Whether the native function may use a socket: it is one of Python's own, and no other.

    A TLS socket keeps bytes of its own. Those of gevent and eventlet wait on a loop, which the
    function would stop.
    """
    return type(sock) is _SOCKET is socket.socket and _SOCKET.__module__ == "socket"
