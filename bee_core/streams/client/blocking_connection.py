"""A blocking connection: one request at a time on a socket, written and read by the calling thread.

The socket does not block. Each wait is a ``poll()`` with the time that is left.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Protocol

from ...terms.causes import (
    connect_timed_out,
    lost,
    not_sent,
    read_timed_out,
    refused,
    write_timed_out,
)
from ...terms.failures import Failure, HandshakeError, Outcome, Success
from ...wire.frames import Frame
from ...wire.protocol import ClientProtocol
from .busy_poll import BusyPoll, waiting
from .outcomes import (
    SENT,
    client_closed,
    encode_hello,
    health_of,
    outcome_of,
    passed_by,
    too_large,
    unreadable,
)

if TYPE_CHECKING:
    from ...contracts.transport import ChannelSettings
    from ...terms.request import Request
    from ...wire.messages import Status

_CHUNK = 64 * 1024
_LONG = 1_000_000.0  # seconds; poll() takes no more milliseconds, so a longer wait has several
_LONG_MILLISECONDS = int(_LONG * 1000)
_STALE = not_sent(ConnectionResetError("the connection ended while it was idle"), reused=True)


class Owner(Protocol):
    """What a blocking connection needs of its channel."""

    settings: ChannelSettings
    closed: bool  # the application closed the client; set before interrupt() is called
    busy_poll: BusyPoll | None

    def release(self, connection: BlockingConnection, usable: bool) -> None:
        """Take the connection back from a call. One that is not usable is closed."""


class BlockingConnection:
    """A socket to a node, with the request that is on it. Belongs to one thread at a time.

    A derived class may use ``_sock``, and ``_pollin``: the poll object that waits for input.
    """

    __slots__ = (
        "_clock",
        "_id",
        "_owner",
        "_protocol",
        "_request",
        "_served",
        "_sock",
        "_writing",
        "idle_since",
        "pollin",
    )

    def __init__(self, owner: Owner, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._owner = owner
        self._clock = owner.settings.clock
        self._protocol = ClientProtocol(encode_hello(owner.settings), owner.settings.max_body)
        self.pollin = select.poll()
        self.pollin.register(sock.fileno(), select.POLLIN)
        self._served = self._writing = False
        self._id = 0
        self._request: Request | None = None
        self.idle_since = 0.0

    def stale(self) -> bool:
        """Whether an idle connection is of no use any more.

        Nothing is due on it, so input can only be the end of the stream or a goaway.
        """
        return bool(self.pollin.poll(0))

    def greet(self, until: float, seconds: float, *, full: bool) -> Failure | None:
        """Say hello and wait for the hello-ack. After a failure the connection is of no use.

        Args:
            until: The end of the wait, a moment of the clock.
            seconds: The connect_timeout.
            full: ``until`` is the end of the connect_timeout and not the call's deadline.
        """
        protocol = self._protocol
        now = self._clock()
        failure = self._write(memoryview(protocol.greet()), now, until - now, until)
        while failure is None and protocol.ack is None:
            data = self._receive(until, until - self._clock())
            if data is None:
                return connect_timed_out(seconds, full=full)
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
        if self._served and self.stale():
            return _STALE
        now = self._clock()
        protocol = self._protocol
        if len(request.body) > protocol.peer_limit:
            # Refused here: the server would close the connection.
            return too_large(request, protocol.peer_limit)
        self._request = request
        head, body = protocol.request(request, now)
        self._id = protocol.last_id
        try:
            sent = self._sock.send(head) if body is None else self._sock.sendmsg((head, body))
        except BlockingIOError:
            sent = 0
        except OSError as error:
            return not_sent(error, reused=self._served)
        if body is None:
            if sent == len(head):
                return None  # nearly always: the system took all of it
            rest = memoryview(head)[sent:]
        elif sent == len(head) + len(body):
            return None
        elif sent >= len(head):
            rest = memoryview(body)[sent - len(head) :]
        else:
            rest = memoryview(head + body)[sent:]
        return self._write(rest, now, request.write_timeout, request.deadline)

    def _write(
        self, rest: memoryview, now: float, seconds: float, deadline: float
    ) -> Failure | None:
        """Write as the system takes it, within ``seconds`` from ``now`` and before the deadline."""
        # Set before `closed` is looked at. The channel sets `closed` before it calls interrupt(),
        # which looks at `_writing`: one of the two sees the other.
        self._writing = True
        if self._owner.closed:
            return not_sent(ConnectionAbortedError("the client was closed"), reused=False)
        until = min(now + seconds, deadline)
        pollout = select.poll()
        pollout.register(self._sock.fileno(), select.POLLOUT)
        while rest:
            left = until - self._clock()
            if left <= 0 or not pollout.poll(ceil(min(left, _LONG) * 1000)):
                return write_timed_out(seconds, full=now + seconds <= deadline)
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                return self._broken_while_writing(error)
        self._writing = False
        return None

    def _broken_while_writing(self, error: OSError) -> Failure:
        """A server that rejects a request before its end may have said why before it closed."""
        try:
            self._protocol.receive(self._sock.recv(_CHUNK))
        except HandshakeError as told:
            return refused(told)
        except OSError:
            pass  # it said nothing, so the error of the write is all there is
        return passed_by(self._protocol, self._id) or not_sent(error, reused=self._served)

    def wait(self) -> Outcome:
        """See :meth:`bee_core.interfaces.Pending.wait`."""
        request, protocol = self._request, self._protocol
        assert request is not None  # noqa: S101  # start() came before; narrows the type
        if request.oneway:
            self._served = True
            self._owner.release(self, protocol.usable)
            return SENT
        busy_poll = self._owner.busy_poll
        waiting.add(self)
        try:
            now = self._clock()
            left = request.deadline - now
            full = request.read_timeout <= left
            if full:
                left = request.read_timeout
            ready = (
                busy_poll is not None
                and busy_poll.worth_it
                and busy_poll.look(self.pollin.poll, self._clock, now, left)
            )
            data = self._receive(now + left, left, ready)
            answer: Outcome | Frame | None
            # Nearly always the first chunk is the whole reply and nothing else. Before the
            # hello-ack it cannot be.
            if (
                protocol.ack is not None
                and type(data) is bytes
                and (body := protocol.sole_response(self._id, data)) is not None
            ):
                answer = Success(body)
            else:
                answer = self._answer(self._id, now + left, data)
            if busy_poll is not None and not busy_poll.worth_it:
                busy_poll.waited(self._clock() - now)
            if type(answer) is Success:
                self._served = True
                self._owner.release(self, protocol.usable)
                return answer
            settings = self._owner.settings
            outcome = outcome_of(answer, settings) if isinstance(answer, Frame) else answer
        except BaseException:
            # Ctrl-C, while it waits or while it inflates. The reply may still come.
            self.cancel()
            raise
        finally:
            waiting.discard(self)
        if outcome is None:
            # The reply may still come, and the next call would read it.
            self.cancel()
            return read_timed_out(request.read_timeout, full=full)
        if isinstance(answer, Frame):
            # The server answered. After what is not bee's protocol the rest of the stream cannot be
            # trusted.
            self._served = True
            self._owner.release(
                self,
                protocol.usable
                and (isinstance(outcome, Success) or outcome.kind != "protocol_error"),
            )
        elif self._owner.closed:
            # interrupt() ended the wait. The way out is open: tell the server.
            self.cancel()
        else:
            self._owner.release(self, False)
        return outcome

    def _receive(self, until: float, left: float, ready: bool = False) -> bytes | OSError | None:
        """What the server says next.

        Args:
            until: The end of the wait, a moment of the clock.
            left: The same in seconds from now.
            ready: It is known that there is something to read.

        Returns:
            Bytes, none at the end of the stream; the error that ended it; None when time is up.
        """
        sock, poll = self._sock, self.pollin.poll
        while True:
            if not ready and (
                left <= 0 or not poll(ceil(left * 1000) if left < _LONG else _LONG_MILLISECONDS)
            ):
                if left <= _LONG:
                    return None
            else:
                try:
                    return sock.recv(_CHUNK)
                except BlockingIOError:
                    ready = False  # no byte of the stream: TLS may have read something of its own
                except OSError as error:
                    return error
            left = until - self._clock()

    def _answer(
        self, id_: int, until: float, data: bytes | OSError | None
    ) -> Frame | Failure | None:
        """The frame that answers an id, read on from ``data`` until ``until``.

        Returns:
            A failure when the connection failed; None when time is up.
        """
        protocol = self._protocol
        while data and not isinstance(data, OSError):
            for frame in protocol.receive(data):
                if frame.id == id_:  # an answer: receive() returns nothing else
                    return frame
            if protocol.error is not None:
                return unreadable(protocol.error)
            if (failure := passed_by(protocol, id_)) is not None:
                return failure
            data = self._receive(until, until - self._clock())
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

    def cancel(self) -> None:
        """See :meth:`bee_core.interfaces.Pending.cancel`.

        It closes the connection: the reply may still come, and the next call would read it.
        """
        if self._request is None:
            return
        self._request = None
        with suppress(OSError):  # broken: its end tells the server the same
            self._sock.send(self._protocol.cancel(self._id))
        self._owner.release(self, False)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def interrupt(self) -> None:
        """Wake the thread that waits on this connection. It sees the end of the stream."""
        with suppress(OSError):  # not connected any more: nothing waits
            # The way out stays open for the cancel frame, unless a thread is stuck in a write.
            self._sock.shutdown(socket.SHUT_RDWR if self._writing else socket.SHUT_RD)

    def abandon(self) -> None:
        """In a forked child: close the descriptor. The parent's connection is not touched."""
        if (fd := self._sock.detach()) >= 0:
            os.close(fd)
