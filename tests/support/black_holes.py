"""Places on this machine that swallow packets, as behind a cut network."""

from __future__ import annotations

import contextlib
import socket


@contextlib.contextmanager
def black_hole(host="127.0.0.2"):
    """The address of a listener whose queue is full: nobody gets a connection, or a refusal."""
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.bind((host, 0))
        sock.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
        yield sock.getsockname()
