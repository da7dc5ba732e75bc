"""What the transports ``tcp`` and ``unix`` share: their options and what they do with sockets."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from bee_core.options import Seconds, validator
from bee_core.streams import BUSY_POLL_WINDOW, StreamTransport

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

LONGEST = 0.01
"""Seconds: the largest window. A thread that looks for longer only wastes the processor."""


@attrs.frozen
class SocketOptions:
    """Options of ``tcp`` and ``unix``. Only clients use them.

    Attributes:
        busy_poll: Seconds. A blocking call looks for its reply for so long before it sleeps, if its
            thread calls alone and replies come that fast. 0 turns it off. It costs about as much of
            the processor as waking up does, and halves the time of a fast call.
    """

    busy_poll: Seconds = attrs.field(
        default=BUSY_POLL_WINDOW,
        validator=validator(
            lambda value: (
                "" if 0 <= value <= LONGEST else f"0 for none, or a window of at most {LONGEST:g} s"
            )
        ),
    )


class SocketTransport(StreamTransport):
    """A transport whose plain sockets may be polled for a reply."""

    def __init__(self, options: SocketOptions | None = None) -> None:
        self.busy_poll = (options or SocketOptions()).busy_poll


@contextmanager
def closed_on_error(sock: socket.socket) -> Iterator[None]:
    """Close the socket if the block raises."""
    try:
        yield
    except BaseException:
        sock.close()
        raise
