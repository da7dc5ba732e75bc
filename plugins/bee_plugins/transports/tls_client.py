"""The client's side of TLS: its blocking sockets, and what the errors of a handshake mean."""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import suppress
from typing import Any

from bee_core.interfaces import HandshakeError
from bee_core.streams import BlockingConnection, Owner

_RECORD = 16 * 1024
"""The most bytes that a TLS record carries.

A read of so many bytes takes a whole record. So no byte stays in OpenSSL, where a poll of the
socket does not see it.
"""

_NOT_TLS = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "UNKNOWN_PROTOCOL",
        "HTTP_REQUEST",
        "RECORD_LAYER_FAILURE",
        "PACKET_LENGTH_TOO_LONG",
        "BAD_RECORD_TYPE",
    }
)
_EXPIRED, _NOT_YET_VALID, _HOSTNAME, _IP_ADDRESS = 10, 9, 62, 64
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
_OF_OUR_CERTIFICATE = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR")


class TlsSocket(ssl.SSLSocket):
    """A TLS socket that behaves like a plain non-blocking one.

    When OpenSSL has to wait, it raises ``BlockingIOError``. When the peer sends an alert, the error
    says what the alert means.

    Attributes:
        readiness: The poll object with which its owner waits to read. To read on, OpenSSL may have
            to write first (its answer to a change of keys). Until then this poll waits to write.
    """

    readiness: Any = None
    _turned = False

    def recv(self, buflen: int = _RECORD, flags: int = 0) -> bytes:
        """At most the bytes of one record; nothing at the end of the stream."""
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
        """Send all of it.

        Raises:
            BlockingIOError: Some of it may have left. The caller sends the same bytes again, and
                OpenSSL goes on where it stopped.
        """
        try:
            return super().send(data, flags)
        except ssl.SSLWantWriteError:
            raise BlockingIOError from None

    def sendmsg(self, buffers: Any, *_: Any) -> int:  # type: ignore[override]  # new here
        """Send the buffers one after another, without joining them."""
        sent = 0
        for buffer in buffers:
            try:
                sent += self.send(buffer)
            except BlockingIOError:  # noqa: PERF203  # what was sent counts
                if not sent:
                    raise
                break
        return sent

    def shutdown(self, how: int) -> None:
        """End the connection of the plain socket.

        The method of the base class would drop the encryption. What another thread sends after that
        would go out in clear text.
        """
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
        sock.readiness = self.pollin  # type: ignore[attr-defined]  # a TlsSocket

    def stale(self) -> bool:
        """Whether the server has ended an idle connection.

        The socket may also be readable for TLS itself, such as a ticket for a later session.
        OpenSSL handles that.
        """
        if not self.pollin.poll(0):
            return False
        try:
            self._sock.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


def explained(error: Exception) -> Exception:
    """A :class:`~bee_core.interfaces.HandshakeError` if the handshake failed for good.

    Any other error is returned unchanged.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return HandshakeError(_of_verification(error))
    if not isinstance(error, ssl.SSLError) or isinstance(
        error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)
    ):
        return error
    reason = error.reason or ""
    if "ALERT" in reason:
        return _of_alert(reason)
    if reason in _NOT_TLS:
        return HandshakeError(
            "the server does not speak TLS there; write tcp:// in the address, or let the server"
            " listen on tls://"
        )
    return HandshakeError(f"the TLS handshake failed: {words(reason) or error}")


def turned_away(error: Exception) -> Exception:
    """A HandshakeError if the server says that it does not want this client's certificate.

    For an error of a connection whose handshake is over on this side. Any other error is returned
    unchanged: a damaged record, for example, may come after the server has run a request.
    """
    found = explained(error)
    return found if isinstance(found, HandshakeError) and found.rejected else error


def words(reason: str) -> str:
    """OpenSSL's name of an error, such as ``BAD_RECORD_TYPE``, in words."""
    return reason.lower().replace("_", " ")


def _of_alert(reason: str) -> HandshakeError:
    """The peer's alert says why it does not want this client.

    A server that asks for a certificate and gets none says ``handshake failure`` in TLS 1.2, and
    ``certificate required`` in TLS 1.3.
    """
    said = words(reason.partition("ALERT_")[2])
    if any(part in reason for part in _OF_OUR_CERTIFICATE):
        return HandshakeError(
            f"the server does not accept this client's certificate ({said}): it must come from an"
            " authority that the server knows, and be valid; state cert and key in the options of"
            " the transport tls",
            rejected=True,
        )
    if "HANDSHAKE_FAILURE" in reason:
        return HandshakeError(
            "the server refused the TLS handshake; where it asks for a certificate, state cert and"
            " key in the options of the transport tls",
            rejected=True,
        )
    if "PROTOCOL_VERSION" in reason:
        return HandshakeError(
            "the server speaks no version of TLS that this client takes; compare min_version on"
            " both sides"
        )
    return HandshakeError(f"the server ended the TLS handshake: {said}")


def _of_verification(error: ssl.SSLCertVerificationError) -> str:
    said = error.verify_message.rstrip(".")
    if error.verify_code == _EXPIRED:
        return (
            "the server's certificate, or that of an authority above it, has expired; renew it, and"
            " let the server's cert have the new chain"
        )
    if error.verify_code == _NOT_YET_VALID:
        return (
            "the server's certificate, or that of an authority above it, is not valid yet; compare"
            " the clocks of both machines"
        )
    if error.verify_code in {_HOSTNAME, _IP_ADDRESS}:
        return (
            f"{said[:1].lower()}{said[1:]}; dial a name that it is for, or state that name as"
            " server_hostname in the options of the transport tls"
        )
    if error.verify_code in _UNKNOWN_ISSUER:
        return (
            "the server's certificate comes from an authority that this client does not know"
            f" ({said}); state it as ca in the options of the transport tls"
        )
    return f"the server's certificate is not accepted: {said}"
