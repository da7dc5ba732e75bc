"""A blocking connection of stream transports: one request at a time on a socket, written and read by the calling thread."""

from __future__ import annotations

import os
import select
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Literal

from ..errors import ProtocolError
from ..terms.failures import (
    Failure,
    HandshakeError,
    Success,
    broken_peer,
    cancelled,
    connect_timed_out,
    lost,
    not_sent,
    passed_over,
    read_timed_out,
    refused,
    write_timed_out,
)
from ..wire import frames
from ..wire.frames import Frame
from ..wire.messages import parse_error, parse_pong
from ..wire.protocol import ClientProtocol
from .busy_poll import waiting
from .replies import SENT, encode_hello, inflate, too_large, unreadable

if TYPE_CHECKING:
    import socket

    from ..terms.failures import Outcome
    from ..terms.request import Request
    from .blocking_channel import BlockingChannel
    from .busy_poll import BusyPoll

_CHUNK = 64 * 1024
_RESPONSE, _ERROR, _PONG = frames.RESPONSE, frames.ERROR, frames.PONG
_COMPRESSED = frames.COMPRESSED
_POLLIN, _POLLOUT = select.POLLIN, select.POLLOUT
_WAY_IN, _BOTH_WAYS = 0, 2  # SHUT_RD, SHUT_RDWR
_LONG = 1_000_000.0  # seconds; more milliseconds than that do not fit into poll(), so a longer wait is made of several
_LONG_MILLISECONDS = int(_LONG * 1000)


class BlockingConnection:
    """One socket to a node; the pending reply of the request that is on it. Belongs to one thread at a time."""

    __slots__ = (
        "_channel",
        "_clock",
        "_id",
        "_pollin",
        "_protocol",
        "_request",
        "_served",
        "_sock",
        "_writing",
        "idle_since",
    )

    def __init__(self, channel: BlockingChannel, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._channel = channel
        self._clock = channel.settings.clock
        self._protocol = ClientProtocol(encode_hello(channel.settings), channel.settings.max_body)
        self._pollin = select.poll()
        self._pollin.register(sock.fileno(), _POLLIN)
        self._served = False
        self._writing = False
        self._id = 0
        self._request: Request | None = None
        self.idle_since = 0.0

    def stale(self) -> bool:
        """Whether something shows up on an idle connection: the end of the stream or a goaway. Either way it is of no use."""
        return bool(self._pollin.poll(0))

    def greet(self, until: float, seconds: float, *, full: bool) -> Failure | None:
        """Say hello, and wait for the server's answer to it. A failure means that this connection is of no use; nothing ran on it.

        Args:
            until: How long, a moment of the clock.
            seconds: The connect_timeout.
            full: Whether ``until`` is the end of the connect_timeout, and not the call's deadline.
        """
        protocol, sock = self._protocol, self._sock
        now = self._clock()
        failure = self._write(protocol.greet(), None, now, until - now, until)
        if failure is not None:
            return failure
        while protocol.ack is None:
            left = until - self._clock()
            if left <= 0:
                return connect_timed_out(seconds, full=full)
            if not self._pollin.poll(ceil(min(left, _LONG) * 1000)):
                continue
            try:
                data = sock.recv(_CHUNK)
            except BlockingIOError:
                continue
            except OSError as error:
                return refused(error)
            if not data:
                return refused(
                    ConnectionResetError(
                        "the server closed the connection before it answered the hello"
                    )
                )
            protocol.receive(data)
            if protocol.error is not None:
                return unreadable(protocol.error).copy(executed="no")
            if protocol.goaway is not None:
                return passed_over(protocol.goaway.message, kind=protocol.goaway.kind)
        return None

    def send(self, request: Request) -> Failure | None:
        """Write a request. A failure means that the server cannot have seen the whole of it."""
        now = self._clock()
        protocol = self._protocol
        self._id = id_ = protocol.next_id()
        self._request = request
        if len(request.body) > protocol.peer_limit:
            return too_large(request, protocol.peer_limit)
        head, body = protocol.request(id_, request, now)
        if body is None:
            # What _write does first, without the call: nearly always that is all.
            try:
                sent = self._sock.send(head)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                return not_sent(error, reused=self._served)
            if sent == len(head):
                return None
            return self._write_rest(
                memoryview(head)[sent:], now, request.write_timeout, request.deadline
            )
        return self._write(head, body, now, request.write_timeout, request.deadline)

    def _write(
        self, head: bytes, body: bytes | None, now: float, seconds: float, deadline: float
    ) -> Failure | None:
        """Write within ``seconds`` from ``now``, and not beyond the deadline."""
        try:
            if body is None:
                sent = self._sock.send(head)
                if sent == len(head):
                    return None
                rest = memoryview(head)[sent:]
            else:
                sent = self._sock.sendmsg((head, body))
                if sent == len(head) + len(body):
                    return None
                rest = (
                    memoryview(body)[sent - len(head) :]
                    if sent >= len(head)
                    else memoryview(head + body)[sent:]
                )
        except BlockingIOError:
            rest = memoryview(head if body is None else head + body)
        except OSError as error:
            return not_sent(error, reused=self._served)
        return self._write_rest(rest, now, seconds, deadline)

    def _write_rest(
        self, rest: memoryview, now: float, seconds: float, deadline: float
    ) -> Failure | None:
        """Go on as the system takes more."""
        self._writing = True
        if (
            self._channel.closed
        ):  # looked at after `_writing` was set, which interrupt() reads after `closed` was
            return not_sent(ConnectionAbortedError("the client was closed"), reused=False)
        until = min(now + seconds, deadline)
        pollout = select.poll()
        pollout.register(self._sock.fileno(), _POLLOUT)
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
        """A server that refuses the rest of a request may have said why before it hung up."""
        try:
            self._protocol.receive(self._sock.recv(_CHUNK))
        except HandshakeError as told:
            return refused(told)
        except OSError:
            return not_sent(error, reused=self._served)
        goaway = self._protocol.goaway
        if goaway is not None and self._id > goaway.last_id:
            return passed_over(goaway.message, kind=goaway.kind)
        return not_sent(error, reused=self._served)

    def wait(self) -> Outcome:
        """See :meth:`bee_core.interfaces.Pending.wait`."""
        request = self._request
        assert request is not None  # noqa: S101  # start() came before; narrows the type
        if request.oneway:
            self._served = True
            self._channel.release(self, self._protocol.usable)
            return SENT
        busy_poll = self._channel.busy_poll
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
                and self._look(busy_poll, now + min(busy_poll.window, left))
            )
            answer = self._answer(self._id, now + left, left, ready=ready)
            if busy_poll is not None and not busy_poll.worth_it:
                if len(waiting) == 1:
                    busy_poll.slept(self._clock() - now)
                else:
                    busy_poll.crowded()
            if type(answer) is Success:
                self._served = True
                self._channel.release(self, self._protocol.usable)
                return answer
            outcome = self._outcome(answer) if type(answer) is Frame else None
        except BaseException:
            # Ctrl-C, while it waits or while it inflates.
            self.cancel()
            raise
        finally:
            waiting.discard(self)
        if outcome is not None:
            self._served = True
            self._channel.release(
                self,
                self._protocol.usable
                and (type(outcome) is Success or outcome.kind != "protocol_error"),
            )
            return outcome
        if answer is None:
            self.cancel()
            return read_timed_out(request.read_timeout, full=full)
        if self._channel.closed:
            self.cancel()
        else:
            self._channel.release(self, False)
        return answer  # type: ignore[return-value]  # a Failure

    def _look(self, busy_poll: BusyPoll, until: float) -> bool:
        """Look for the reply without sleeping, as long as no other thread waits for one; whether there is something to read."""
        poll, clock = self._pollin.poll, self._clock
        while len(waiting) == 1:
            if poll(0):
                busy_poll.found()
                return True
            if clock() >= until:
                busy_poll.missed()
                return False
        busy_poll.crowded()
        return False

    def _answer(
        self, id_: int, until: float, left: float, *, ready: bool = False
    ) -> Frame | Success | Failure | None:
        """The frame that answers an id, of a plain response what it comes to; None when the time is up: at ``until``, ``left`` seconds from now.

        ``ready`` says that something is known to have come.
        """
        protocol, sock, poll = self._protocol, self._sock, self._pollin.poll
        while True:
            if ready:
                ready = False
            elif left <= 0 or not poll(ceil(left * 1000) if left < _LONG else _LONG_MILLISECONDS):
                if left > _LONG:
                    left = until - self._clock()
                    continue
                return None
            try:
                data = sock.recv(_CHUNK)
            except BlockingIOError:
                left = until - self._clock()
                continue
            except OSError as error:
                return self._gone(id_, error)
            if not data:
                return self._gone(id_, "the server closed it")
            if protocol.ack is not None and (body := protocol.sole_response(id_, data)) is not None:
                return Success(body)
            for frame in protocol.receive(data):
                if frame.id == id_:  # only answers come this far
                    return frame
            if protocol.error is not None:
                return unreadable(protocol.error)
            if protocol.goaway is not None and id_ > protocol.goaway.last_id:
                return passed_over(protocol.goaway.message, kind=protocol.goaway.kind)
            left = until - self._clock()

    def _gone(self, id_: int, error: OSError | str) -> Failure:
        if self._channel.closed:
            return cancelled("the client was closed", sent=True)
        goaway = self._protocol.goaway
        if goaway is not None and id_ > goaway.last_id:
            return passed_over(goaway.message, kind=goaway.kind)
        return lost(error, greeted=self._protocol.ack is not None)

    def _outcome(self, frame: Frame) -> Outcome:
        if frame.kind == _RESPONSE:
            body = frame.body
            if frame.flags & _COMPRESSED:
                return inflate(self._channel.settings, body)
            return Success(body)
        try:
            return parse_error(frame.fields)
        except ProtocolError as error:
            return broken_peer(error)

    def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """Ask for the node's health on this connection."""
        id_ = self._protocol.next_id()
        now = self._clock()
        until = now + timeout
        failure = self._write(self._protocol.ping(id_), None, now, timeout, until)
        if failure is not None:
            return failure
        answer = self._answer(id_, until, until - self._clock())
        if answer is None:
            return read_timed_out(timeout, full=True)
        if isinstance(answer, Failure):
            return answer
        if isinstance(answer, Success):
            return broken_peer(ProtocolError("a response where a pong was due"))
        try:
            return parse_pong(answer.fields)
        except ProtocolError as error:
            return broken_peer(error)

    def cancel(self) -> None:
        """See :meth:`bee_core.interfaces.Pending.cancel`. The connection is closed: a reply may still come, and it would be read as the next call's."""
        if self._request is None:
            return
        self._request = None
        with suppress(OSError):  # broken: its end tells the server the same
            self._sock.send(self._protocol.cancel(self._id))
        self._channel.release(self, False)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def interrupt(self) -> None:
        """Wake the thread that waits on this connection: it sees the end of the stream."""
        with suppress(OSError):  # not connected any more: nothing waits
            # The way out stays open for the cancel frame, except where a thread is stuck in it.
            self._sock.shutdown(_BOTH_WAYS if self._writing else _WAY_IN)

    def abandon(self) -> None:
        """In a forked child: let go of the descriptor; the parent's connection is not touched."""
        fd = self._sock.detach()
        if fd >= 0:
            os.close(fd)
