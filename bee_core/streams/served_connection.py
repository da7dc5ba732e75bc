"""The server's side of a connection: bytes in, requests to the endpoint, replies out."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Literal

from ..contracts.transport import Peer
from ..errors import MessageTooLarge, ProtocolError
from ..terms.failures import Failure, local
from ..wire import frames, protocol
from ..wire.messages import error_fields
from .batched_writer import BatchedWriter
from .served_call import OnewayCall, ServedCall

if TYPE_CHECKING:
    from .stream_listener import StreamListener

log = logging.getLogger("bee.server")

_REQUEST, _CANCEL, _PING = frames.REQUEST, frames.CANCEL, frames.PING


class ServedConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, listener: StreamListener) -> None:
        self._listener = listener
        self._endpoint = listener.endpoint
        self._loop = listener.loop
        self._protocol = protocol.ServerProtocol(listener.settings.max_body)
        self._transport: Any = None
        self._peer: Peer | None = None
        self.service = listener.endpoint.ack.service
        self.clock = listener.endpoint.clock
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
            f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name or self._listener.url)
        )
        self.partial_since = self._loop.time()
        failure = self._listener.add(self)
        if failure is not None:
            self._refuse(failure[0], failure[1])

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        state = self._protocol
        shut = self.refused_since is not None
        if shut:
            return
        decoder = state.decoder
        self._writer.corked = True
        complete = state.receive(data)
        try:
            for frame in complete:
                if not state.check(frame):
                    if state.error is not None:
                        break
                    continue
                kind = frame.kind
                if kind == _REQUEST:
                    self._request(frame)
                elif kind == _CANCEL:
                    self._cancel(frame.id)
                elif kind == _PING:
                    self.write(protocol.pong(frame.id, self._status()))
                else:
                    self._hello()
                if self.refused_since is not None:
                    return
            error = state.error or decoder.error
            if error is not None:
                self._refuse(
                    "message_too_large" if isinstance(error, MessageTooLarge) else "protocol_error",
                    error.message,
                )
                return
        finally:
            self._writer.corked = False
            self._writer.flush()
        if not decoder.partial:
            if self._peer is not None:
                self.partial_since = None
        elif complete or self.partial_since is None:
            self.partial_since = self._loop.time()

    def eof_received(self) -> bool:
        """The client has closed its side: nobody waits for a reply any more, and what runs for it is cancelled as the connection goes."""
        return False

    def pause_writing(self) -> None:
        """The client does not read its replies: take no more requests from it until it does."""
        self.paused_since = self._loop.time()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again. A frame that it had begun gets its time anew: meanwhile it was us who did not read."""
        self.paused_since = None
        if self.partial_since is not None:
            self.partial_since = self._loop.time()
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:  # asyncio's signature
        """The connection is gone: nobody waits for what it asked for."""
        self._listener.remove(self)
        running, self._running = self._running, {}
        for call in running.values():
            if call.running is not None:
                call.running.cancel()

    # Requests.

    def _hello(self) -> None:
        hello = self._protocol.hello
        assert hello is not None  # noqa: S101  # check() accepted a hello; narrows the type
        failure = self._endpoint.admit(hello)
        if failure is not None:
            log.info("refused %s: %s", self._address, failure.message)
            self._refuse(failure.kind, failure.message)
            return
        self._peer = Peer(
            self._address,
            hello.codec,
            hello.compressor,
            hello.max_body,
            self._transport.get_extra_info("peercert") or None,
        )
        self.write(self._protocol.accept(self._endpoint.ack))
        if self._listener.draining:
            self.write(self._protocol.leave())

    def _request(self, frame: frames.Frame) -> None:
        try:
            fields = self._listener.parser.parse(frame.fields)
        except ProtocolError as error:
            # The frames are intact, so this request alone is refused (a field of a newer client, say), and the others on the connection go on.
            self.write(
                frames.encode(
                    frames.ERROR, frame.id, error_fields(local("protocol_error", error.message))
                )
            )
            return
        assert self._peer is not None  # noqa: S101  # the hello came first; narrows the type
        if fields.oneway:
            call: ServedCall = OnewayCall(
                self, self._peer, frame, fields
            )  # not among what runs for this client: it cannot be given up, and goes on when the client has gone
        else:
            call = self._running[frame.id] = ServedCall(self, self._peer, frame, fields)
        try:
            call.running = self._endpoint.begin(call)
        except Exception as error:
            # A plugin that breaks its contract costs this call and not the others of the connection.
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
        call = self._running.pop(id_, None)
        if call is not None and call.running is not None:
            call.running.cancel()

    def _status(self) -> Literal["serving", "draining"]:
        return "draining" if self._endpoint.draining else "serving"

    def finish(self, id_: int, answer: bytes) -> None:
        """Answer a request, unless it was given up."""
        if self._running.pop(id_, None) is None:
            return
        self.write(answer)
        if not self._running and self._listener.closing:
            self.close()

    # Writing and closing.

    def write(self, data: bytes) -> None:
        """Send with the other answers of this turn."""
        self._writer.write(data)

    def leave(self) -> None:
        """Tell the client to go elsewhere."""
        if self.refused_since is None and self._protocol.state == "open":
            self.write(self._protocol.leave())

    def _refuse(self, kind: str, message: str) -> None:
        """Say why, close our half, and throw the rest of the input away for a while."""
        self._writer.corked = False
        self.write(self._protocol.leave(kind, message))
        self._writer.flush()
        self.refused_since = self._loop.time()
        running, self._running = self._running, {}
        for call in running.values():
            if call.running is not None:
                call.running.cancel()
        self._half_close()

    def _half_close(self) -> None:
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        # Where a stream has no halves (the loops' TLS), the goaway alone is the end, and the rest comes with the listener's sweep: closing now would meet what the client
        # is still sending with a reset.
        self._listener.sweep_soon()

    def time_out(self, seconds: float) -> None:
        """The client began a frame, or a connection, and did not go on."""
        what = "a hello" if self._peer is None else "a frame"
        self._refuse(
            "protocol_error", f"{what} was not complete within read_timeout ({seconds:g} s)"
        )

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return not self._running

    def close(self) -> None:
        """Close our half once what was written has left, and read on until the client closes its half or the listener loses patience (see :mod:`.stream_listener`)."""
        if self.refused_since is not None:
            return
        if self._peer is None:
            # Its hello may be under way with a request behind it, which must not be left in doubt.
            self._refuse("unavailable", "the server is shutting down")
            return
        self.refused_since = self._loop.time()
        self._writer.corked = False
        self._writer.flush()
        self._half_close()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()
