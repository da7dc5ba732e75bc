"""How a request leaves its connection without a reply, and what becomes of the connection.

- ``cancel``: the request was interrupted or is late. The connection is closed.
- ``let_go``: nobody wants the reply any more. The connection is kept where that can be.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from ...wire.protocol import ClientProtocol
from .blocking_socket import CHUNK, BlockingSocket, SocketOwner
from .outcomes import encode_hello

if TYPE_CHECKING:
    import socket

    from ...terms.request import Request
    from .busy_poll import BusyPoll


class Owner(SocketOwner, Protocol):
    """What a blocking connection needs of its channel. ``connection`` is a BlockingConnection."""

    busy_poll: BusyPoll | None

    def release(self, connection: Any, usable: bool) -> None:
        """Take the connection back from its request. One that is not usable is closed."""

    def keep(self, connection: Any) -> None:
        """Take the connection back from a request that was given up, before its server answers."""


class Leaving(BlockingSocket):
    """A socket with the protocol and the request that are on it.

    Attributes:
        request: The request that owns it; None as long as it is free. The channel sets it together
            with the request's ``pending``.
        idle_since: When its last request left it.
    """

    __slots__ = (
        "_asked",
        "_id",
        "_protocol",
        "_said",
        "_served",
        "_until",
        "idle_since",
        "request",
    )

    def __init__(self, owner: Owner, sock: socket.socket) -> None:
        super().__init__(owner, sock)
        self._owner: Owner = owner
        self._protocol = ClientProtocol(encode_hello(owner.settings), owner.settings.max_body)
        self._served = False
        self._id = self._asked = 0
        self._until = 0.0
        # What the server has said already, where ``send`` of a derived class has waited for it.
        self._said: bytes | OSError | None = None
        self.request: Request | None = None
        self.idle_since = 0.0

    def _is_out(self) -> bool:
        """Whether the system has the whole request."""
        return 0 < self._id == self._protocol.last_id

    def cancel(self) -> None:
        """See :meth:`bee_core.interfaces.Pending.cancel`.

        It closes the connection: the reply may still come, and the next call would read it. A
        request that is not written yet gets no cancel frame: the server would take its bytes for
        the rest of the request.
        """
        if self.request is None:
            return
        if self._is_out():
            with suppress(OSError):  # broken: its end tells the server the same
                self._sock.send(self._protocol.cancel(self._id))
        self._owner.release(self, False)

    def let_go(self) -> None:
        """Give the request up as :meth:`cancel` does, and keep the connection where that can be.

        A ping goes out behind the cancel. Once its pong is there, the server has read both, and
        what still comes for the request is told by its id, and dropped. Not earlier: a server that
        hangs must not get the next request.
        """
        protocol = self._protocol
        if self.request is None:
            return
        if not self._is_out() or not protocol.usable:
            self.cancel()
            return
        data = protocol.cancel(self._id) + protocol.ping()
        try:
            sent = self._sock.send(data)
        except OSError as error:  # broken: its end tells the server the same
            if self._interrupts(error):
                raise
            sent = 0
        if sent < len(data):
            self._owner.release(self, False)
            return
        said, self._said = self._said, None
        if isinstance(said, bytes):
            protocol.receive(said)
        self._asked, self._until, self._served = protocol.last_id, 0.0, True
        self._owner.keep(self)

    def is_answering(self) -> bool | None:
        """Whether the server has answered since :meth:`let_go`; None: it is of no use any more."""
        protocol = self._protocol
        while self._asked and self.pollin.poll(0):
            try:
                data = self._sock.recv(CHUNK)
            except BlockingIOError:
                break
            except OSError as error:
                if self._interrupts(error):
                    raise
                return None
            if any(frame.id == self._asked for frame in protocol.receive(data)):
                self._asked = 0
            if not data or not protocol.usable:
                return None
        return not self._asked

    def close_unowned(self) -> None:
        """Close it, unless a request owns it."""
        if self.request is None:
            self.close()
