"""The server's side of a connection: bytes in, requests to the endpoint, replies out."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from ...contracts.transport import Endpoint, ListenSettings, Peer
from ...errors import ProtocolError
from ...terms.causes import local
from ...terms.failures import Failure
from ...wire import frames, protocol
from ...wire.messages import error_fields
from ..batched_writer import BatchedWriter
from .inbound_call import OnewayCall, ServedCall

if TYPE_CHECKING:
    from ...wire.requests import RequestParser

log = logging.getLogger("bee.server")

_REQUEST, _CANCEL, _PING = frames.REQUEST, frames.CANCEL, frames.PING
LEAVING = "unavailable", "the server is shutting down"


class Owner(Protocol):
    """What a connection needs of its listener."""

    endpoint: Endpoint
    settings: ListenSettings
    loop: asyncio.AbstractEventLoop
    parser: RequestParser
    url: str
    draining: bool
    closing: bool

    def add(self, connection: ServedConnection) -> None:
        """Count a connection in, and refuse it if it is one too many."""

    def remove(self, connection: ServedConnection) -> None:
        """Count a connection out."""

    def sweep_soon(self) -> None:
        """Look at the connections' time limits soon."""


class ServedConnection(asyncio.Protocol):
    """One client's connection.

    Attributes:
        partial_since: Since when a frame, or the hello, is not complete; or None.
        paused_since: Since when the client leaves replies unread; or None.
        refused_since: Since when our half is closed; or None. Input is then thrown away.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._endpoint = owner.endpoint
        self._loop = owner.loop
        self.protocol = protocol.ServerProtocol(owner.settings.max_body)
        self._transport: Any = None
        self._peer: Peer | None = None
        self.service = owner.endpoint.ack.service
        self.clock = owner.endpoint.clock
        self._address = ""
        self._running: dict[int, ServedCall] = {}
        self._writer: Any = None
        self.partial_since: float | None = None
        self.paused_since: float | None = None
        self.refused_since: float | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = transport
        self._writer = BatchedWriter(self._loop, transport)
        name = transport.get_extra_info("peername")
        self._address = (
            f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name or self._owner.url)
        )
        self.partial_since = self._loop.time()
        self._owner.add(self)

    def data_received(self, data: bytes) -> None:  # noqa: PLR0912  # one pass over a chunk
        """Bytes came in."""
        state = self.protocol
        shut = self.refused_since is not None
        if shut:
            return
        decoder = state.decoder
        # All answers that are there at once leave in one write.
        self._writer.corked = True
        complete = state.receive(data)
        try:
            for frame in complete:
                if not state.check(frame):
                    continue  # to be dropped, as all frames are behind one that is not legal
                kind = frame.kind
                if kind == _REQUEST:
                    self._request(frame)
                elif kind == _CANCEL:
                    self._cancel(frame.id)
                elif kind == _PING:
                    draining = self._endpoint.draining
                    self.write(protocol.pong(frame.id, "draining" if draining else "serving"))
                else:
                    self._hello()
                if self.refused_since is not None:
                    return
            # Only now: the frames before the error count.
            error = state.error or decoder.error
            if error is not None:
                self.refuse(error.kind, error.message)
                return
        finally:
            self._writer.corked = False
            self._writer.flush()
        if not decoder.partial:
            # Before its hello a client has no right to be idle.
            if self._peer is not None:
                self.partial_since = None
        elif complete or self.partial_since is None:
            # A new frame has begun. One that goes on keeps its time: a slow sender gets no more.
            self.partial_since = self._loop.time()

    def eof_received(self) -> bool:
        """The client has closed its half: nobody waits for a reply any more.

        The connection goes, and what runs for it is cancelled.
        """
        return False

    def pause_writing(self) -> None:
        """The client does not read its replies. Take no more requests until it does."""
        self.paused_since = self._loop.time()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.paused_since = None
        if self.partial_since is not None:
            # Its time begins anew: meanwhile it was the server that did not read.
            self.partial_since = self._loop.time()
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:  # asyncio's signature
        """The connection is gone: nobody waits for its requests."""
        self._owner.remove(self)
        self._cancel_all()

    # Requests.

    def _hello(self) -> None:
        hello = self.protocol.hello
        assert hello is not None  # noqa: S101  # check() accepted a hello; narrows the type
        failure = self._endpoint.admit(hello)
        if failure is not None:
            log.info("refused %s: %s", self._address, failure.message)
            self.refuse(failure.kind, failure.message)
            return
        self._peer = Peer(
            self._address,
            hello.codec,
            hello.compressor,
            hello.max_body,
            self._transport.get_extra_info("peercert") or None,
        )
        self.write(self.protocol.accept(self._endpoint.ack))
        if self._owner.draining:
            # It came in before the drain, and its hello after the goaway for the others.
            self.write(self.protocol.leave())

    def _request(self, frame: frames.Frame) -> None:
        try:
            fields = self._owner.parser.parse(frame.fields)
        except ProtocolError as error:
            # The frames are intact, so only this request is refused (a newer client may have sent
            # an unknown field). The others on the connection go on.
            failure = local("protocol_error", error.message)
            self.write(frames.encode(frames.ERROR, frame.id, error_fields(failure)))
            return
        assert self._peer is not None  # noqa: S101  # the hello came first; narrows the type
        if fields.oneway:
            # Not among what runs for this client: it cannot be given up, and it goes on when the
            # client has left.
            call: ServedCall = OnewayCall(self, self._peer, frame, fields)
        else:
            call = self._running[frame.id] = ServedCall(self, self._peer, frame, fields)
        try:
            call.running = self._endpoint.begin(call)
        except Exception as error:
            # A plugin broke its contract. It costs this call and not the others here.
            log.exception("%s of %s failed inside the server", call.method, call.service)
            call.fail(
                Failure(
                    "remote_error",
                    "the server failed; its log says why",
                    "maybe",
                    "never",
                    "none",
                    error_type=type(error).__name__,
                )
            )

    def _cancel(self, id_: int) -> None:
        # Out of the running calls first, so that no answer is sent.
        call = self._running.pop(id_, None)
        if call is not None and call.running is not None:
            call.running.cancel()

    def _cancel_all(self) -> None:
        for id_ in tuple(self._running):
            self._cancel(id_)

    def finish(self, id_: int, answer: bytes) -> None:
        """Answer a request, unless the client gave it up."""
        if self._running.pop(id_, None) is None:
            return
        self.write(answer)
        if not self._running and self._owner.closing:
            self.close()

    # Writing and closing.

    def write(self, data: bytes) -> None:
        """Send with the other answers of this turn of the loop."""
        self._writer.write(data)

    def leave(self) -> None:
        """Tell the client to go elsewhere."""
        if self.refused_since is None and self.protocol.state == "open":
            self.write(self.protocol.leave())

    def refuse(self, kind: str, message: str) -> None:
        """Say why, close our half, and throw the rest of the input away for a while."""
        self.write(self.protocol.leave(kind, message))
        self._half_close()
        self._cancel_all()

    def _half_close(self) -> None:
        self.refused_since = self._loop.time()
        self._writer.corked = False
        self._writer.flush()
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        # A stream without halves (TLS of the loops) ends with the goaway, and the listener's sweep
        # closes it. Closing now would send a reset if the client still sends, and a reset destroys
        # the goaway in the client's buffer.
        self._owner.sweep_soon()

    def time_out(self, seconds: float) -> None:
        """The client began a frame, or a connection, and did not go on."""
        what = "a hello" if self._peer is None else "a frame"
        self.refuse(
            "protocol_error", f"{what} was not complete within read_timeout ({seconds:g} s)"
        )

    def close(self) -> None:
        """Close our half once all replies have left.

        The client's half is read until it is closed, or until the listener loses patience; see
        :mod:`.listener`.
        """
        if self.refused_since is not None:
            return
        if self._peer is None:
            # Its hello may be on its way with a request behind it. A refusal says that it did not
            # run.
            self.refuse(*LEAVING)
        else:
            self._half_close()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()
