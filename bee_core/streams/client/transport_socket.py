"""The socket under an asyncio transport: what asyncio itself does not offer."""

from __future__ import annotations

import os
import select
from typing import Any

# Linux. Elsewhere the end of a stream shows as POLLHUP, which is always reported.
_RDHUP: int = getattr(select, "POLLRDHUP", 0)


def end_of_stream(transport: Any) -> select.poll:
    """A poll object that reports when the other end has closed its half; empty without a socket."""
    poll = select.poll()
    sock = transport.get_extra_info("socket")
    if sock is not None:
        poll.register(sock.fileno(), _RDHUP)
    return poll


def abandon(transport: Any) -> None:
    """In a forked child: close the descriptor. The transport's loop is the parent's."""
    sock = None if transport is None else transport.get_extra_info("socket")
    sock = getattr(sock, "_sock", sock)  # asyncio's wrapper has no detach()
    if sock is not None and (fd := sock.detach()) >= 0:
        os.close(fd)
