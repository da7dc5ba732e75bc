"""A blocking connection: one request at a time on a socket, written and read by the calling thread.

The socket does not block. Each wait is a ``poll()`` with the time that is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ProtocolError
from ...terms.causes import (
    connect_timed_out,
    lost,
    not_sent,
    read_timed_out,
    refused,
)
from ...terms.failures import Failure, HandshakeError, Outcome, Success
from ...terms.metadata import NOTHING
from ...wire.frames import Frame
from ...wire.messages import LOAD_SIZE, parse_answer
from .blocking_socket import CHUNK
from .busy_poll import waiting
from .leaving import Leaving
from .outcomes import (
    SENT,
    client_closed,
    health_of,
    outcome_of,
    passed_by,
    too_large,
    unreadable,
)
from .request_head import MADE, encode_head

if TYPE_CHECKING:
    import socket

    from ...terms.request import Request
    from ...wire.messages import HelloAck, Status
    from .leaving import Owner

_LARGE_CHUNK = 256 * 1024
"""Bytes that are read at once of a reply that did not come in one chunk. A read takes 10 µs beside
its copy; a chunk that is larger still takes more memory at once."""
GREETED_LATE = connect_timed_out(0.0, full=False)
"""No hello-ack came in time; who greeted knows whose time it was."""
STALE = not_sent(ConnectionResetError("the connection ended while it was idle"), reused=True)


class BlockingConnection(Leaving):
    """A socket to a node, with the request that is on it. Belongs to one thread at a time.

    What becomes of a request without a reply is in :class:`.leaving.Leaving`.
    """

    __slots__ = ("_full",)

    def __init__(self, owner: Owner, sock: socket.socket) -> None:
        super().__init__(owner, sock)
        self._full = False

    @property
    def ack(self) -> HelloAck | None:
        """What the server has said of itself."""
        return self._protocol.ack

    def stale(self) -> bool:
        """Whether an idle connection is of no use any more.

        Nothing is due on it, so input can only be the end of the stream or a goaway.
        """
        return bool(self.pollin.poll(0))

    def greet(self, until: float) -> Failure | None:
        """Say hello and wait for the hello-ack. After a failure the connection is of no use.

        Args:
            until: The end of the wait, a moment of the clock. What comes then is
                :data:`GREETED_LATE`.
        """
        protocol = self._protocol
        now = self._clock()
        failure = self._write(memoryview(protocol.greet()), now, until - now, until)
        while failure is None and protocol.ack is None:
            data = self._receive(until, until - self._clock())
            if data is None:
                return GREETED_LATE
            if isinstance(data, OSError):
                return refused(data)
            if not data:
                early = "the server closed the connection before it answered the hello"
                return refused(ConnectionResetError(early))
            protocol.receive(data)
            if protocol.error is not None:
                # Only the hello went out, so it is certain that nothing ran.
                return unreadable(protocol.error).copy(executed="no")
            failure = passed_by(protocol)
        return failure

    def send(self, request: Request) -> Failure | None:
        """Write a request. After a failure it is certain that the server cannot have run it."""
        now = self._clock()
        if self._served and (now - self.idle_since > self._owner.settings.max_idle or self.stale()):
            return STALE
        encoded = self._encode(request, now)
        if isinstance(encoded, Failure):
            return encoded
        head, body = encoded
        try:
            sent = self._sock.send(head) if body is None else self._sock.sendmsg((head, body))
        except BlockingIOError:
            sent = 0
        except OSError as error:
            if self._interrupts(error):
                raise
            return not_sent(error, reused=self._served)
        if sent == len(head) and body is None:
            self._id = self._protocol.last_id
            return None  # nearly always: the system took all of it
        return self._write_rest(request, head, body, sent, now)

    def _encode(self, request: Request, now: float) -> tuple[bytes, bytes | None] | Failure:
        """The bytes of a request, see :meth:`ClientProtocol.request`; a failure where it has none.

        Its id is the protocol's ``last_id`` from now on. ``_id`` becomes the same once it is out.
        """
        protocol = self._protocol
        if len(request.body) > protocol.peer_limit:
            # Refused here: the server would close the connection.
            return too_large(request, protocol.peer_limit)
        try:
            fields: bytes = request.head.made[MADE]
        except KeyError:
            encoded = encode_head(request.head)
            if isinstance(encoded, Failure):
                return encoded
            fields = encoded
        return protocol.request(request, fields, now)

    def _write_rest(
        self, request: Request, head: bytes, body: bytes | None, sent: int, now: float
    ) -> Failure | None:
        """Write what the system did not take at once."""
        if body is None:
            rest = memoryview(head)[sent:]
        elif sent >= len(head):
            rest = memoryview(body)[sent - len(head) :]
        else:
            rest = memoryview(head + body)[sent:]
        if rest and (failure := self._write(rest, now, request.write_timeout, request.deadline)):
            return failure
        self._id = self._protocol.last_id
        return None

    def _broken_while_writing(self, error: OSError) -> Failure:
        """A server that rejects a request before its end may have said why before it closed."""
        try:
            self._protocol.receive(self._sock.recv(CHUNK))
        except HandshakeError as told:
            return refused(told)
        except OSError:
            pass  # it said nothing, so the error of the write is all there is
        protocol = self._protocol
        return passed_by(protocol, protocol.last_id) or not_sent(error, reused=self._served)

    def wait(self, seconds: float | None = None) -> Outcome | None:
        """See :meth:`bee_core.interfaces.Pending.wait`."""
        request, protocol = self.request, self._protocol
        assert request is not None  # noqa: S101  # start() came before; narrows the type
        if request.oneway:
            self._served = True
            self._owner.release(self, protocol.usable)
            return SENT
        busy_poll = self._owner.busy_poll
        try:
            waiting.add(self)
            now = self._clock()
            left = request.deadline - now
            full = request.read_timeout <= left
            if full:
                left = request.read_timeout
            until = now + left
            # The usual wait lasts to the request's own end, so it is the only one.
            parted = self._until or not (seconds is None or 0.0 < left <= seconds)
            if parted:
                left, full, until = self._part(seconds, now, left, full)
            if self._said is None:
                ready = (
                    busy_poll is not None
                    and busy_poll.worth_it
                    and busy_poll.look(self.pollin.poll, self._clock, now, left)
                ) or (parted and seconds is not None and left <= 0 and bool(self.pollin.poll(0)))
                data = self._receive(until, left, ready)
            else:
                data, self._said, busy_poll = self._said, None, None
            answer: Outcome | Frame | None
            # Nearly always the first chunk is the whole reply and nothing else. Before the
            # hello-ack it cannot be.
            if (
                protocol.ack is not None
                and type(data) is bytes
                and (body := protocol.sole_response(self._id, data)) is not None
            ):
                answer = Success(body, NOTHING, protocol.epoch)
            else:
                answer = self._with_load(data) or self._answer(self._id, until, data)
            if busy_poll is not None and not busy_poll.worth_it:
                busy_poll.waited(self._clock() - now)
        finally:
            waiting.discard(self)
        if type(answer) is Success:
            self._served = True
            if self._until:
                self._until = 0.0
            self._owner.release(self, protocol.usable)
            return answer
        if answer is None and until < self._until:
            return None
        self._until = 0.0
        return self._ended(answer, request, full)

    def _with_load(self, data: bytes | OSError | None) -> Success | None:
        """The reply, where a chunk is all of it, and it also says how busy the server is."""
        protocol = self._protocol
        if protocol.ack is None or type(data) is not bytes or not self._owner.settings.load_wanted:
            return None
        found = protocol.sole_answer(self._id, data, LOAD_SIZE)
        if found is None:
            return None
        try:
            metadata, load = parse_answer(found[0])
        except ProtocolError:
            return None  # it is read the long way, which says what is wrong
        return Success(found[1], metadata, protocol.epoch, load)

    def _part(
        self, seconds: float | None, now: float, left: float, full: bool
    ) -> tuple[float, bool, float]:
        """One of several waits for a reply: ``left``, ``full`` and ``until`` for :meth:`wait`.

        The bound of the request counts from its first wait.
        """
        if self._until:
            left, full = self._until - now, self._full
        else:
            self._until, self._full = now + left, full
        if seconds is None or seconds >= left:
            return left, full, self._until
        return seconds, full, now + seconds

    def _ended(self, answer: Outcome | Frame | None, request: Request, full: bool) -> Outcome:
        """The outcome of a request that did not simply succeed."""
        protocol = self._protocol
        if answer is None:
            # The reply may still come, and the next call would read it.
            self.cancel()
            return read_timed_out(request.read_timeout, full=full)
        if isinstance(answer, Frame):
            outcome = outcome_of(answer, self._owner.settings, protocol.epoch)
            # The server answered. After what is not bee's protocol the rest of the stream cannot be
            # trusted.
            self._served = True
            self._owner.release(
                self,
                protocol.usable
                and (isinstance(outcome, Success) or outcome.kind != "protocol_error"),
            )
            return outcome
        if self._owner.closed:
            # interrupt() ended the wait. The way out is open: tell the server.
            self.cancel()
        else:
            self._owner.release(self, False)
        return answer

    def _answer(
        self, id_: int, until: float, data: bytes | OSError | None
    ) -> Frame | Failure | None:
        """The frame that answers an id, read on from ``data``; a failure; None after ``until``."""
        protocol = self._protocol
        while data and not isinstance(data, OSError):
            for frame in protocol.receive(data):
                if frame.id == id_:  # an answer: receive() returns nothing else
                    return frame
            if protocol.error is not None:
                return unreadable(protocol.error)
            if (failure := passed_by(protocol, id_)) is not None:
                return failure
            # More is there already, most likely, where one read did not take all.
            left = until - self._clock()
            data = self._receive(until, left, len(data) >= CHUNK and left > 0, _LARGE_CHUNK)
        if data is None:
            return None
        if self._owner.closed:
            return client_closed(sent=True)
        return lost(data or "the server closed it", greeted=protocol.ack is not None)

    def ping(self, timeout: float) -> Status | Failure:
        """Ask for the node's health on this connection."""
        now = self._clock()
        until = now + timeout
        failure = self._write(memoryview(self._protocol.ping()), now, timeout, until)
        if failure is not None:
            return failure
        data = self._receive(until, until - self._clock())
        answer = self._answer(self._protocol.last_id, until, data)
        if answer is None:
            return read_timed_out(timeout, full=True)
        return answer if isinstance(answer, Failure) else health_of(answer)
