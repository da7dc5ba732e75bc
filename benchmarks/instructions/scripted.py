"""The other end of what is counted: it does the same in each run, whatever the clock says.

How many frames arrive in one chunk decides what a call costs. Between two real processes that
depends on which is faster just now. So a client under valgrind talks to ``Answering``, which
waits until every call of a batch has been sent and answers them all at once. A server under
valgrind gets from ``Replay`` what a client has really sent, a batch at a time.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from bee_core.wire import frames, protocol
from bee_core.wire.messages import HelloAck

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

CHUNK = 1 << 18
TIMEOUT = 1200
"""Seconds. A program under valgrind takes one to two minutes; on a busy machine ten."""
_LENGTH = 4


def split(stream: bytearray) -> Iterator[bytes]:
    """Take whole frames off the front of what has arrived."""
    while len(stream) >= _LENGTH:
        end = _LENGTH + int.from_bytes(stream[:_LENGTH], "big")
        if len(stream) < end:
            return
        frame = bytes(stream[:end])
        del stream[:end]
        yield frame


def kind_of(frame: bytes) -> int:
    """The kind of a frame."""
    return frame[5]


class Answering:
    """A server for one client that echoes the record, ``batch`` answers at a time.

    Args:
        batch: Calls that are in flight at a time.
        patience: Seconds that it waits for the client.

    Attributes:
        port: Where it listens on 127.0.0.1.
        received: Every frame that came, once the client has gone.
    """

    def __init__(self, batch: int, patience: float = TIMEOUT) -> None:
        self._batch = batch
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(patience)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.port: int = self._listener.getsockname()[1]
        self.received: list[bytes] = []
        self._thread.start()

    def close(self) -> None:
        """Wait until the client has gone."""
        self._thread.join(TIMEOUT)
        self._listener.close()

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except TimeoutError:
            return  # the client has failed, and says why
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = bytearray()
            waiting: list[bytes] = []
            while chunk := connection.recv(CHUNK):
                stream += chunk
                for frame in split(stream):
                    self.received.append(frame)
                    waiting += self._answer(connection, frame)
                if len(waiting) == self._batch:
                    connection.sendall(b"".join(waiting))
                    waiting.clear()

    def _answer(self, connection: socket.socket, frame: bytes) -> list[bytes]:
        """The answer to a request. A hello is answered at once."""
        if kind_of(frame) == frames.HELLO:
            ack = HelloAck("echo", "1.0.0", bytes(16))
            connection.sendall(frames.encode(frames.HELLO_ACK, 0, ack.encode()))
        if kind_of(frame) != frames.REQUEST:
            return []
        (decoded,) = frames.FrameDecoder(1 << 21).feed(frame)
        return [protocol.response(decoded.id, decoded.body[1:-1], compressed=False)]


class Replay:
    """Sends again what a client has sent, as a context manager.

    Args:
        port: Where the server listens on 127.0.0.1.
        recorded: The frames of ``Answering.received``.
    """

    def __init__(self, port: int, recorded: list[bytes]) -> None:
        self._hello = b"".join(frame for frame in recorded if kind_of(frame) == frames.HELLO)
        self._requests = [frame for frame in recorded if kind_of(frame) == frames.REQUEST]
        self._stream = bytearray()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, calls: int, batch: int) -> None:
        """Send the next calls, ``batch`` at a time, and wait for the answers of each batch.

        Raises:
            ValueError: Not so many are left.
            ConnectionError: The server has hung up.
        """
        if len(self._requests) < calls:
            raise ValueError(f"{len(self._requests)} recorded calls are left, {calls} are wanted")
        for _ in range(0, calls, batch):
            part, self._requests = self._requests[:batch], self._requests[batch:]
            self._socket.sendall(self._hello + b"".join(part))
            self._hello = b""
            missing = len(part)
            while missing:
                chunk = self._socket.recv(CHUNK)
                if not chunk:
                    raise ConnectionError("the server has hung up")
                self._stream += chunk
                missing -= sum(kind_of(one) == frames.RESPONSE for one in split(self._stream))
