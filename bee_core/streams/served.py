"""The server's side of stream transports: connections in, requests to the endpoint, replies out."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Literal

from .. import frames, protocol
from ..errors import MessageTooLarge, ProtocolError
from ..failures import Failure, local
from ..interfaces import InboundCall, Peer
from ..messages import RequestParser, error_fields
from .batched_writer import BatchedWriter

if TYPE_CHECKING:
    import socket

    from ..interfaces import Endpoint, ListenSettings, Running
    from ..messages import RequestFields
    from .transport import Acceptor, StreamTransport

log = logging.getLogger("bee.server")

_REFUSAL_SECONDS = 1.0
"""How long a refused connection's input is read and thrown away. Closing at once would send a reset, and a reset destroys the refusal in the peer's buffer."""
_LINGER_SECONDS = 0.5
"""How long closing waits for the clients to take the last replies and close their half. An idle blocking client does not look at its sockets, so many will not."""
_REQUEST, _CANCEL, _PING = frames.REQUEST, frames.CANCEL, frames.PING
_COMPRESSED = frames.COMPRESSED


class ServedCall(InboundCall):
    """One request on a connection."""

    __slots__ = ("_connection", "id", "running")

    def __init__(self, connection: ServedConnection, caller: Peer, frame: frames.Frame, fields: RequestFields) -> None:
        # All of the base class's attributes are set here: one constructor less on the hot path.
        self._connection = connection
        self.id = frame.id
        self.form = frame.form
        self.body = frame.body
        self.compressed = bool(frame.flags & _COMPRESSED)
        self.method = fields.method
        self.granted = fields.time_left
        self._metadata = fields.metadata
        self.baggage = fields.baggage
        self.dedupe_key = fields.dedupe_key
        self.caller = caller
        self.peer = caller.address
        self.service = connection.service
        self._clock = connection.clock
        self.deadline = None
        self.cancelled = False
        self.running: Running | None = None

    def reply(self, body: bytes, compressed: bool) -> None:  # as the protocol class has it
        """Send the result."""
        self._connection.finish(self.id, protocol.response(self.id, body, compressed=compressed))

    def fail(self, failure: Failure) -> None:
        """Send an error."""
        self._connection.finish(self.id, frames.encode(frames.ERROR, self.id, error_fields(failure)))


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
        self._address = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name or self._listener.url)
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
            error = state.error or state.stream_error
            if error is not None:
                self._refuse("message_too_large" if isinstance(error, MessageTooLarge) else "protocol_error", error.message)
                return
        finally:
            self._writer.corked = False
            self._writer.flush()
        if not state.partial:
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
            self._refuse(failure.kind, failure.message)
            return
        self._peer = Peer(self._address, hello.codec, hello.compressor, hello.max_body)
        self.write(self._protocol.accept(self._endpoint.ack))
        if self._listener.draining:
            self.write(self._protocol.leave())

    def _request(self, frame: frames.Frame) -> None:
        try:
            fields = self._listener.parser.parse(frame.fields)
        except ProtocolError as error:
            # The frames are intact, so this request alone is refused (a field of a newer client, say), and the others on the connection go on.
            self.write(frames.encode(frames.ERROR, frame.id, error_fields(local("protocol_error", error.message))))
            return
        assert self._peer is not None  # noqa: S101  # the hello came first; narrows the type
        call = ServedCall(self, self._peer, frame, fields)
        self._running[frame.id] = call
        try:
            call.running = self._endpoint.begin(call)
        except Exception as error:
            # A plugin that breaks its contract costs this call and not the others of the connection.
            log.exception("%s of %s failed inside the server", call.method, call.service)
            call.fail(Failure("remote_error", "the server failed; its log says why", "maybe", "never", "none", error_type=type(error).__name__))

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
            self._listener.sweep_soon()
        else:
            self._transport.close()

    def time_out(self, seconds: float) -> None:
        """The client began a frame, or a connection, and did not go on."""
        what = "a hello" if self._peer is None else "a frame"
        self._refuse("protocol_error", f"{what} was not complete within read_timeout ({seconds:g} s)")

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return not self._running

    def close(self) -> None:
        """Close our half once what was written has left, and read on until the client closes its half or the listener loses patience (see ``_REFUSAL_SECONDS``)."""
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


class StreamListener:
    """One open door with its connections; see :class:`bee_core.interfaces.Listener`."""

    def __init__(self, endpoint: Endpoint, settings: ListenSettings) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.parser = RequestParser()
        self.draining = False
        self.closing = False
        self.url = ""
        self._acceptor: Acceptor | None = None
        self._connections: set[ServedConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._gone = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    async def open(self, transport: StreamTransport, url: str, sock: socket.socket | None = None) -> None:
        """Begin to accept, on a socket that is there already or on a new one."""
        shared = {} if sock is None else {"sock": sock}
        self._acceptor = await transport.accept(url, lambda: ServedConnection(self), self.settings.backlog, **shared)
        self.url = self._acceptor.url

    def add(self, connection: ServedConnection) -> tuple[str, str] | None:
        """Count a connection in; returns why it is refused, where it is."""
        count = len(self._connections)
        self._connections.add(connection)
        self._gone.clear()
        self.sweep_soon()
        if self.draining:
            return "unavailable", "the server is shutting down"
        if count >= self.settings.max_connections:
            return "overloaded", f"the server has {count} connections, its max_conn_size is {self.settings.max_connections}"
        return None

    def remove(self, connection: ServedConnection) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        if not self._connections:
            self._gone.set()

    def sweep_soon(self) -> None:
        """Look at the connections' time limits from time to time, as long as there are any."""
        if self._timer is None:
            interval = min(_REFUSAL_SECONDS, self.settings.read_timeout, self.settings.write_timeout) / 4
            self._timer = self.loop.call_later(interval, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self.loop.time()
        for connection in tuple(self._connections):
            if connection.refused_since is not None:
                if now - connection.refused_since > _REFUSAL_SECONDS:
                    connection.abort()
            elif connection.paused_since is not None:
                if now - connection.paused_since > self.settings.write_timeout:
                    connection.abort()
            elif connection.partial_since is not None and now - connection.partial_since > self.settings.read_timeout:
                connection.time_out(self.settings.read_timeout)
        if self._connections:
            self.sweep_soon()

    def stop_accepting(self) -> None:
        """See :meth:`bee_core.interfaces.Listener.stop_accepting`."""
        if self._acceptor is not None:
            self._acceptor.close()

    async def drain(self) -> None:
        """See :meth:`bee_core.interfaces.Listener.drain`."""
        self.draining = True
        for connection in tuple(self._connections):
            connection.leave()

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Listener.close`."""
        self.stop_accepting()
        self.closing = self.draining = True
        for connection in tuple(self._connections):
            connection.close()
        if self._connections:
            await asyncio.wait((asyncio.ensure_future(self._gone.wait()),), timeout=_LINGER_SECONDS)
        for connection in tuple(self._connections):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
