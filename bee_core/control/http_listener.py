"""A small HTTP/1.1 listener for metrics and probes. Any event loop; no threads.

Each connection has one request and one answer, and then ends. All of it is bounded: the bytes and
the time of a request, the time of an answer, and the connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

import attrs

from ..terms.printable import brief

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Ask = Callable[[str, str], Awaitable["Answer"]]
    """Takes the path and the header ``Accept``."""

MOST_HEAD = 8192
"""Bytes of a request with all its headers: what most servers of HTTP take."""
MOST_CONNECTIONS = 64
"""Open at a time: a few collectors, a probe, and people. For one more the oldest that has not asked
yet is cut off, so that who connects and says nothing keeps no probe out. Where all have asked, one
more gets 503."""
_MOST_REFUSALS = 64
"""Connections above the bound that may be open to read their 503; others are cut off."""
HEAD_SECONDS = 5.0
"""From the connection to the end of its request."""
ANSWER_SECONDS = 10.0
"""From the request to its answer, which is as long as Prometheus waits; and as long again for the
caller to read it."""
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_PLAIN = "text/plain; charset=utf-8"


@attrs.frozen
class Answer:
    """What is answered: a status of :data:`_PHRASES`, the body, and its media type."""

    status: int
    body: bytes = b""
    kind: str = _PLAIN

    def encode(self, *, head_only: bool = False) -> bytes:
        """The bytes on the wire."""
        allow = "Allow: GET, HEAD\r\n" if self.status == 405 else ""
        head = (
            f"HTTP/1.1 {self.status} {_PHRASES[self.status]}\r\n"
            f"Content-Type: {self.kind}\r\nContent-Length: {len(self.body)}\r\n{allow}"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        return head.encode("latin-1", "replace") + (b"" if head_only else self.body)


@attrs.frozen
class Asked:
    """A request that can be answered."""

    path: str
    accept: str
    head_only: bool


def read_request(head: bytes) -> Asked | Answer:
    """Read a request: its line and its headers, without the blank line at their end.

    Returns:
        What is asked, or the answer to what cannot be read.
    """
    first, *headers = head.split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1.") or not first.isascii():
        return Answer(400, b"this is not a request of HTTP/1.1\n")
    if words[0] not in {b"GET", b"HEAD"}:
        return Answer(405, b"only GET and HEAD are answered here\n")
    accept = []
    for line in headers:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            return Answer(400, b"a header cannot be read\n")
        if name.lower() == b"accept":
            accept.append(value.strip().decode("latin-1"))
    path = words[1].partition(b"?")[0].decode()
    return Asked(path, ",".join(accept), words[0] == b"HEAD")


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes any free one.

    Raises:
        OSError: The address is taken, or is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    dual = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(
        (host, port), family=family, backlog=MOST_CONNECTIONS, dualstack_ipv6=dual
    )


class HttpListener:
    """Answers at one address, on the loop that opened it.

    Args:
        sock: A socket that listens; it is closed with the listener.
        ask: Makes the answers.
    """

    def __init__(self, sock: socket.socket, ask: Ask) -> None:
        self.sock = sock
        self.ask = ask
        self._server: asyncio.AbstractServer | None = None
        self.connections: dict[_Connection, None] = {}  # the oldest first

    async def open(self) -> None:
        """Begin to accept, on the running loop."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self, loop), sock=self.sock)

    def close(self) -> None:
        """Accept no more, and cut off who is connected. On the listener's loop. Idempotent."""
        if self._server is not None:
            self._server.close()
        self.sock.close()
        for connection in tuple(self.connections):
            connection.abort()

    def discard_after_fork(self) -> None:
        """In a forked child: let go of the sockets, which go on in the parent."""
        sockets = [one.sock for one in self.connections]
        descriptors = [sock.fileno() for sock in (self.sock, *sockets) if sock is not None]
        # Not closed: copies of the parent's objects would close the number's next owner.
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in descriptors:
            if descriptor >= 0:
                os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)


class _Connection(asyncio.Protocol):
    def __init__(self, listener: HttpListener, loop: asyncio.AbstractEventLoop) -> None:
        self._listener = listener
        self._loop = loop
        self._head = bytearray()
        self.has_asked = self._at_end = False
        self._task: asyncio.Task[None] | None = None
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self.sock: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.sock = transport.get_extra_info("socket")
        others = self._listener.connections
        count = len(others)
        if count >= MOST_CONNECTIONS:
            silent = next((one for one in others if not one.has_asked), None)
            if silent is not None:
                silent.abort()
                count = 0
        others[self] = None
        if count >= MOST_CONNECTIONS + _MOST_REFUSALS:
            self.abort()
        elif count >= MOST_CONNECTIONS:
            self._send(Answer(503, b"too many connections\n"))
        else:
            self._end_within(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        if self.has_asked:
            return  # a body, or a second request
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if max(end, len(self._head) if end < 0 else 0) > MOST_HEAD:
            self._send(Answer(431, b"the request is too long\n"))
        elif end >= 0:
            asked = read_request(bytes(self._head[:end]))
            if isinstance(asked, Answer):
                self._send(asked)
            else:
                self.has_asked = True
                self._end_within(2 * ANSWER_SECONDS)  # the task has a bound of its own
                self._task = self._loop.create_task(self._answer(asked))

    def eof_received(self) -> bool:
        """Who half-closes after the request still gets the answer."""
        self._at_end = True
        return self._task is not None and not self._task.done()

    def connection_lost(self, error: Exception | None) -> None:
        self._listener.connections.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    async def _answer(self, asked: Asked) -> None:
        answer = Answer(404, b"there are /metrics, /healthz and /readyz\n")
        try:
            answer = await asyncio.wait_for(
                self._listener.ask(asked.path, asked.accept), ANSWER_SECONDS
            )
        except (TimeoutError, asyncio.TimeoutError):
            answer = Answer(503, f"no answer within {ANSWER_SECONDS:g} s\n".encode())
        except Exception as error:
            answer = Answer(500, f"{brief(error)}\n".encode(errors="replace"))
        self._send(answer, ANSWER_SECONDS, head_only=asked.head_only)

    def _send(self, answer: Answer, within: float = 1.0, *, head_only: bool = False) -> None:
        """Answer, and throw away what else comes until the caller has read it and closes.

        Closing at once would send a reset, and a reset might destroy the answer.
        """
        self.has_asked = True
        if self._transport.is_closing():
            return
        self._transport.write(answer.encode(head_only=head_only))
        if self._at_end:
            self._transport.close()
        else:
            with contextlib.suppress(OSError):
                self._transport.write_eof()
        self._end_within(within)

    def _end_within(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self.abort)

    def abort(self) -> None:
        """Cut off the caller."""
        self._listener.connections.pop(self, None)
        self._transport.abort()
