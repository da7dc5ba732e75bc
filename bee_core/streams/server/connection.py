"""The server's side of a connection: bytes in, requests to the endpoint, replies out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from ...contracts.endpoint import Endpoint, Peer
from ...contracts.memory_bound import FREE
from ...errors import ProtocolError
from ...terms.causes import local
from ...wire import frames, protocol
from ...wire.messages import error_fields
from ..batched_writer import BATCH, LARGE, BatchedWriter
from .inbound_call import OnewayCall, ServedCall
from .intake import TURN, Intake
from .intake import Owner as IntakeOwner
from .remembered_call import RememberedCall

if TYPE_CHECKING:
    import asyncio

    from ...contracts.transport import ListenSettings
    from ...terms.failures import Load
    from ...wire.requests import RequestParser
    from .connection_lines import ConnectionLines

_REQUEST, _CANCEL, _PING = frames.REQUEST, frames.CANCEL, frames.PING
LEAVING = "unavailable", "the server is shutting down"


class Owner(IntakeOwner, Protocol):
    """What a connection needs of its listener."""

    endpoint: Endpoint
    settings: ListenSettings
    parser: RequestParser
    lines: ConnectionLines
    url: str
    draining: bool
    closing: bool
    crowded: bool

    def add(self, connection: ServedConnection) -> None:
        """Count a connection in, and refuse it if it is one too many."""

    def remove(self, connection: ServedConnection) -> None:
        """Count a connection out."""

    def sweep_soon(self) -> None:
        """Look at the connections' time limits soon."""


class ServedConnection(Intake):
    """One client's connection.

    When it takes frames and when not is in :mod:`.intake`.
    """

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self._owner: Owner = owner
        self._endpoint = owner.endpoint
        self.protocol = protocol.ServerProtocol(owner.settings.max_body)
        self._peer: Peer | None = None
        self._call_type: type[ServedCall] = ServedCall
        self.service = owner.endpoint.ack.service
        self.clock = owner.endpoint.clock
        self._running: dict[int, ServedCall] = {}
        self._idle = (0, self._loop.time())

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = transport
        self._writer = BatchedWriter(self._loop, transport)
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple):
            self.host = name[0]
            self.address = f"{name[0]}:{name[1]}"
        else:
            self.address = str(name or self._owner.url)
        self.partial_since = self._loop.time()
        self._owner.add(self)

    def data_received(self, data: bytes) -> None:  # noqa: PLR0912  # one pass over a chunk
        """Bytes came in."""
        shut = self.refused_since is not None  # mypy does not see that a frame may change it
        if shut:
            return
        state = self.protocol
        decoder = state.decoder
        complete = state.receive(data)
        if self._booked:
            self._booked_came(complete)
        if self._kept or len(complete) > TURN:
            complete = self._some_of(complete)
        rest = iter(complete)
        # A request waits for those before it, whose handlers may begin here: its time goes on.
        clock = self.clock
        late = self._loop.time() - self._kept_since if self._kept_since else 0.0
        began = clock() - late
        # Answers that are there at once leave together.
        writer = self._writer
        writer.corked = True
        try:
            for frame in rest:
                id_, is_request = frame.id, frame.kind == _REQUEST
                if is_request and state.last_id < id_ <= state.most_id:
                    state.last_id = id_  # the hot path: what check() does, without the call
                elif not state.check(frame):
                    continue  # to be dropped, as all frames are behind one that is not legal
                if is_request:
                    self._request(frame, clock() - began)
                else:
                    self._control(frame)
                if self.refused_since is not None:
                    return
                if len(writer.out) >= BATCH or writer.size > LARGE:
                    self._flush()
                if self.full:
                    self._keep([*rest, *self._kept])
            if self._kept:
                self._go_on_soon()
                return
            # Only now: the frames before the error count.
            error = state.error or decoder.error
            if error is not None:
                self.refuse(error.kind, error.message)
                return
        finally:
            writer.corked = False
            writer.flush()
        if decoder.partial:
            self._await_rest(begun=bool(complete))
        elif self._peer is not None:  # before its hello a client has no right to be idle
            self.partial_since = None

    def _booked_came(self, complete: list[frames.Frame]) -> None:
        """Once the booked frame has come, it is counted as a request."""
        if complete:
            self._unbook()

    def _await_rest(self, *, begun: bool) -> None:
        """A part of a frame has come; ``begun``: together with the end of the one before."""
        if begun or self.partial_since is None:
            # A new frame has begun. One that goes on keeps its time: a slow sender gets no more.
            self.partial_since = self._loop.time()
        decoder = self.protocol.decoder
        if decoder.held > FREE and not self._booked:
            self._book(decoder.needed)

    def eof_received(self) -> bool:
        """The client has closed its half: nobody waits for a reply any more.

        The connection goes, and what runs for it is cancelled.
        """
        return False

    def connection_lost(self, error: Exception | None) -> None:  # asyncio's signature
        """The connection is gone: nobody waits for its requests."""
        self.refused_since = self._loop.time()
        self._owner.remove(self)
        self._forget_unread()
        self._cancel_all()
        self._let_go()
        if self._peer is not None and self._peer.line is not None:
            self._endpoint.numbers.remove(self._peer.line)

    @property
    def descriptor(self) -> int:
        """The socket's, or -1 where there is none."""
        sock = self._transport.get_extra_info("socket")
        return -1 if sock is None else int(sock.fileno())

    def _control(self, frame: frames.Frame) -> None:
        if frame.kind == _CANCEL:
            self._cancel(frame.id)
        elif frame.kind == _PING:
            draining = self._endpoint.draining
            self.write(protocol.pong(frame.id, "draining" if draining else "serving"))
        else:
            self._hello()

    # Requests.

    def _hello(self) -> None:
        hello = self.protocol.hello
        assert hello is not None  # noqa: S101  # check() accepted a hello; narrows the type
        failure = self._endpoint.admit(hello)
        if failure is not None:
            self._owner.lines.refused(self.address, self.host, failure.message)
            self.refuse(failure.kind, failure.message)
            return
        ack, line = self._endpoint.ack, None
        if ack.deduplication is not None:
            line = self._endpoint.numbers.add()
            told = ack.deduplication._replace(connection=line.number)
            ack = attrs.evolve(ack, deduplication=told)
            self._call_type = RememberedCall
        self._peer = Peer(
            self.address,
            hello.codec,
            hello.compressor,
            hello.max_body,
            self._transport.get_extra_info("peercert") or None,
            self._endpoint.identity(hello),
            load_wanted=hello.load_wanted,
            line=line,
        )
        self.write(self.protocol.accept(ack))
        if self._owner.draining:
            # It came in before the drain, and its hello after the goaway for the others.
            self.write(self.protocol.leave())

    def _request(self, frame: frames.Frame, late: float) -> None:
        try:
            fields = self._owner.parser.parse(frame.fields)
        except ProtocolError as error:
            # The frames are intact, so only this request is refused (a newer client may have sent
            # an unknown field). The others on the connection go on.
            failure = local("protocol_error", error.message)
            self.write(frames.encode(frames.ERROR, frame.id, error_fields(failure)))
            return
        peer: Peer = self._peer  # type: ignore[assignment]  # the hello came first
        if fields.oneway:
            # Not among what runs for this client: it cannot be given up, and it goes on when the
            # client has left.
            call: ServedCall = OnewayCall(self, peer, frame, fields)
        else:
            call = self._running[frame.id] = self._call_type(self, peer, frame, fields)
        granted = fields.time_left
        if granted is not None:
            call.granted = granted - late if granted > late else 0.0
        size = len(frame.body) + len(frame.fields)
        if size > FREE:
            call.held = size
            self.memory.take(size)
            self._look_up()
        call.running = running = self._endpoint.begin(call)
        if running is None and call.held:
            call.let_go()

    def _cancel(self, id_: int) -> None:
        # Out of the running calls first, so that no answer is sent.
        call = self._running.pop(id_, None)
        if call is not None and call.running is not None:
            call.running.cancel()

    def _cancel_all(self) -> None:
        for id_ in tuple(self._running):
            if self._running[id_].outlives:
                del self._running[id_]  # no answer is sent; the server remembers it
            else:
                self._cancel(id_)

    def finish(self, id_: int, answer: bytes) -> None:
        """Answer a request, unless the client gave it up."""
        running = self._running
        if id_ not in running:
            return
        # Written first: an answer that cannot be written leaves room for another one.
        if self.paused_since is not None:
            self._leaves_unread(len(answer))
        self._writer.write(answer)
        del running[id_]
        if not running and self._owner.closing:
            self.close()

    def crowded(self) -> None:
        """See :class:`.inbound_call.Owner`."""
        self._owner.crowded = True

    def load(self) -> Load:
        """How busy the server is."""
        return self._endpoint.load()

    # Writing and closing.

    def write(self, data: bytes) -> None:
        """Send with the other answers of this turn of the loop."""
        if self.paused_since is not None:
            self._leaves_unread(len(data))
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
        self._let_go()
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

    def idle_for(self, now: float) -> float:
        """Seconds without a request, as far as the listener's sweeps have seen it.

        They look often enough, and a request costs nothing here.
        """
        last_id, since = self._idle
        if self._running or self.partial_since is not None or last_id != self.protocol.last_id:
            self._idle = self.protocol.last_id, now
            return 0.0
        return now - since

    def retire(self, seconds: float) -> None:
        """Close an idle connection. The goaway says that a request on its way did not run."""
        self.write(self.protocol.leave(message=f"the connection was idle for {seconds:g} s"))
        self._half_close()

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
