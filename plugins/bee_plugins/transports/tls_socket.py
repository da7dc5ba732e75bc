"""The blocking client's end of a TLS connection."""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bee_core.streams import BlockingConnection
from bee_plugins.transports.tls_errors import turned_away

if TYPE_CHECKING:
    from bee_core.streams import Owner

_RECORD = 16 * 1024
"""The most that a TLS record carries. A read of that many bytes takes a whole record, so nothing stays behind in OpenSSL where a poll of the socket cannot see it."""


class TlsSocket(ssl.SSLSocket):
    """A TLS socket that behaves like a plain one that does not block: what OpenSSL has to wait for is a ``BlockingIOError``, and an alert of the peer says what it means.

    Attributes:
        readiness: The poll object by which its owner waits to read. It waits to write instead while OpenSSL has to, to read on: an answer to a change of keys.
    """

    readiness: Any = None
    _turned = False

    def recv(self, buflen: int = _RECORD, flags: int = 0) -> bytes:
        """As much as one record has; nothing at the end of the stream."""
        if self._turned:
            self._turned = False
            self.readiness.modify(self.fileno(), select.POLLIN)
        try:
            return super().recv(min(buflen, _RECORD), flags)
        except ssl.SSLWantReadError:
            raise BlockingIOError from None
        except ssl.SSLWantWriteError:
            if self.readiness is not None:
                self._turned = True
                self.readiness.modify(self.fileno(), select.POLLOUT)
            raise BlockingIOError from None
        except ssl.SSLError as error:
            told = turned_away(error)
            if told is error:
                raise
            raise told from error

    def send(self, data: Any, flags: int = 0) -> int:
        """All of it, or a ``BlockingIOError``: then some of it may have left, and the same bytes have to be sent again, for OpenSSL to go on where it stopped."""
        try:
            return super().send(data, flags)
        except ssl.SSLWantWriteError:
            raise BlockingIOError from None

    def sendmsg(self, buffers: Any, *_: Any) -> int:  # type: ignore[override]  # the base class has none
        """One after the other, without joining them."""
        sent = 0
        for buffer in buffers:
            try:
                sent += self.send(buffer)
            except BlockingIOError:  # noqa: PERF203  what was sent counts
                if not sent:
                    raise
                break
        return sent

    def shutdown(self, how: int) -> None:
        """End the connection below. The base class's would let go of the encryption, and what another thread then sends would go out in clear."""
        socket.socket.shutdown(self, how)

    def close(self) -> None:
        """Say goodbye if that does not have to wait, and close."""
        with suppress(OSError, ValueError):
            self.unwrap()
        super().close()


class TlsConnection(BlockingConnection):
    """See :class:`BlockingConnection`."""

    __slots__ = ()

    def __init__(self, owner: Owner, sock: socket.socket) -> None:
        super().__init__(owner, sock)
        sock.readiness = self._pollin  # type: ignore[attr-defined]  # a TlsSocket

    def stale(self) -> bool:
        """Whether the server has ended an idle connection. What shows up may also be TLS's own business, such as a ticket for a later session, which OpenSSL deals with."""
        if not self._pollin.poll(0):
            return False
        try:
            self._sock.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
