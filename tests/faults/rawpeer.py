"""A peer that speaks the wire by hand, so that it can speak it wrongly."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from bee_core.terms.addresses import parse
from bee_core.wire import frames
from bee_core.wire.frames import FrameDecoder
from bee_core.wire.messages import Goaway, Hello, HelloAck, error_fields, parse_error
from bee_core.wire.requests import request_fields, time_left_field
from support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.terms.failures import Failure


def hello(service: str = "calc", codec: str = "json", compressor: str | None = "gzip") -> bytes:
    return frames.encode(frames.HELLO, 0, Hello(service, codec, compressor).encode())


def request(
    id_: int, method: str, body: bytes, *, flags: int = 0, time_left: float | None = None
) -> bytes:
    fields = request_fields(method) + (b"" if time_left is None else time_left_field(time_left))
    return frames.encode(frames.REQUEST, id_, fields, body, flags)


class RawClient:
    """A socket to a server."""

    def __init__(self, url: str) -> None:
        address = parse(url)
        self.sock = socket.create_connection((address.host, address.port), PATIENCE)
        self._decoder = FrameDecoder(1 << 26)
        self._frames: list[Any] = []

    def send(self, *parts: bytes) -> None:
        self.sock.sendall(b"".join(parts))

    def next(self) -> Any:
        """The next frame, or None at the end of the stream."""
        while not self._frames:
            data = self.sock.recv(65536)
            if not data:
                return None
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def expect(self, kind: int) -> Any:
        """The next frame of a kind, whatever comes before it."""
        while (frame := self.next()) is not None:
            if frame.kind == kind:
                return frame
        raise AssertionError(f"the stream ended before a frame of kind {kind}")

    def goaway(self) -> Goaway:
        return Goaway.parse(self.expect(frames.GOAWAY).fields)

    def failure(self) -> Failure:
        return parse_error(self.expect(frames.ERROR).fields)

    def closed_within(self, seconds: float) -> bool:
        """Whether the server ends the connection in that time."""
        until = time.monotonic() + seconds
        try:
            while (left := until - time.monotonic()) > 0:
                self.sock.settimeout(left)
                if not self.sock.recv(65536):
                    return True
        except TimeoutError:
            return False
        except OSError:
            return True
        return False

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def send_mutated_frames(url: str) -> None:
    """Say 200 times what a client says, each time with some bytes changed."""
    rng = random.Random(8)
    whole = hello() + request(1, "add", b"[1,2]", time_left=5) + frames.encode(frames.PING, 2)
    for _ in range(200):
        mutated = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        with RawClient(url) as peer:
            peer.send(bytes(mutated))


class RawServer:
    """Accepts connections and lets ``answer(send, frame)`` deal with each request.

    The hello is answered properly.
    """

    def __init__(self, answer: Callable[[Callable[[bytes], None], Any], None]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._socks: list[socket.socket] = []
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._socks.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        decoder = FrameDecoder(1 << 26)
        try:
            while data := sock.recv(65536):
                for frame in decoder.feed(data):
                    if frame.kind == frames.HELLO:
                        sock.sendall(
                            frames.encode(
                                frames.HELLO_ACK, 0, HelloAck("calc", "1.0.0", b"12345678").encode()
                            )
                        )
                    elif frame.kind == frames.REQUEST:
                        self._answer(sock.sendall, frame)
        except OSError:
            return

    def hang_up(self) -> None:
        """End every connection; some may have ended already."""
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join()
        for sock in self._socks:
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


__all__ = ["RawClient", "RawServer", "error_fields", "hello", "request"]
