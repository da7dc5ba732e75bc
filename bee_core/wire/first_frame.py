"""The first frame of a stream: a hello, its answer, or something that is not of bee at all.

A stranger's first bytes are judged by the length of the frame that they would begin. No I/O happens
here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import MessageTooLarge
from . import frames

if TYPE_CHECKING:
    from ..errors import CallError

LENGTH = 4
"""Bytes of a frame's length, with which it begins."""
MAX_HELLO = 64 * 1024
"""Bytes that a hello and its answer may have, their length included. So a stranger cannot make a
peer keep more, and bytes of another protocol are recognised at once, whatever bodies may have."""
HTTP = frozenset(
    {b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC", b"PRI "}
)
"""How a request of HTTP begins, up to HTTP/2."""


def judge(start: bytes) -> CallError | None:
    """The error of a first frame, from as much of its length as is there; or None."""
    if len(start) < LENGTH or (length := int.from_bytes(start, "big")) <= MAX_HELLO - LENGTH:
        return None
    return frames.foreign(start) or MessageTooLarge(
        f"a first frame of {length + LENGTH} bytes, with at most {MAX_HELLO} allowed; "
        "nothing of it was read"
    )


def http_answer(message: str) -> bytes:
    """What a client of HTTP gets, so that its user can read it."""
    body = f"This is a server of bee, an RPC framework, and not of HTTP: {message}\n".encode()
    return (
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body
