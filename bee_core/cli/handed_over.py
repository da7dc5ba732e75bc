"""What ``bee serve --reload`` hands to the process that serves: sockets that listen, and its life.

The watching process keeps the sockets open. So clients that connect while the server starts again
wait, and port 0 stays the same port. A pipe whose writing end only the watching process has tells
the serving one when that has gone.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Mapping  # noqa: TC003  attrs reads the annotations

import attrs

VARIABLE = "BEE_HANDED_OVER"


@attrs.frozen
class HandedOver:
    """Sockets that are bound and listen, by the url that the configuration has for them."""

    sockets: Mapping[str, socket.socket]


def hand_over(sockets: Mapping[str, socket.socket], life: int) -> str:
    """The value of :data:`VARIABLE` for a process that inherits these descriptors."""
    return json.dumps(
        {"life": life, "sockets": {url: sock.fileno() for url, sock in sockets.items()}}
    )


def take_over() -> HandedOver | None:
    """What this process was handed, or None; once. When its parent has gone, it drains and ends."""
    text = os.environ.pop(VARIABLE, None)  # programs that a handler starts are handed nothing
    if text is None:
        return None
    found = json.loads(text)
    threading.Thread(
        target=_leave_with_parent, args=(found["life"],), name="bee-reload-parent", daemon=True
    ).start()
    return HandedOver(
        {url: socket.socket(fileno=number) for url, number in found["sockets"].items()}
    )


def _leave_with_parent(life: int) -> None:
    os.read(life, 1)  # nobody writes to it
    os.kill(os.getpid(), signal.SIGTERM)
