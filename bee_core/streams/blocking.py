"""The blocking channel of stream transports: one request at a time on a socket, written and read by the calling thread."""

from __future__ import annotations

import os
import select
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Literal

from .. import frames
from ..errors import CallError, MessageTooLarge, ProtocolError
from ..failures import (
    Failure,
    broken_peer,
    cancelled,
    connect_timed_out,
    local,
    lost,
    not_sent,
    passed_over,
    read_timed_out,
    refused,
    reported,
    write_timed_out,
)
from ..frames import Frame
from ..interfaces import Success
from ..messages import Hello, parse_error, parse_pong
from ..protocol import ClientProtocol
from .pool import IdlePool

if TYPE_CHECKING:
    import socket

    from ..interfaces import ChannelSettings, Outcome, Request
    from ..nodes import Node
    from .transport import StreamTransport

_CHUNK = 64 * 1024
_RESPONSE, _ERROR, _PONG = frames.RESPONSE, frames.ERROR, frames.PONG
_COMPRESSED = frames.COMPRESSED
_POLLIN, _POLLOUT = select.POLLIN, select.POLLOUT
_WAY_IN, _BOTH_WAYS = 0, 2  # SHUT_RD, SHUT_RDWR
_LONG = 1_000_000.0  # seconds; more milliseconds than that do not fit into poll(), so a longer wait is made of several
_LONG_MILLISECONDS = int(_LONG * 1000)


class BlockingConnection:
    """One socket to a node; the pending reply of the request that is on it. Belongs to one thread at a time."""

    __slots__ = ("_channel", "_clock", "_id", "_pollin", "_protocol", "_request", "_served", "_sock", "_writing", "idle_since")

    def __init__(self, channel: BlockingChannel, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._channel = channel
        self._clock = channel.settings.clock
        self._protocol = ClientProtocol(channel.hello, channel.settings.max_body)
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

    def send(self, request: Request) -> Failure | None:
        """Write a request. A failure means that the server cannot have seen the whole of it."""
        now = self._clock()
        protocol = self._protocol
        self._id = id_ = protocol.next_id()
        self._request = request
        if len(request.body) > protocol.peer_limit:
            return too_large(request, protocol.peer_limit)
        head, body = protocol.request(id_, request, now)
        return self._write(head, body, now, request.write_timeout, request.deadline)

    def _write(self, head: bytes, body: bytes | None, now: float, seconds: float, deadline: float) -> Failure | None:
        """Write within ``seconds`` from ``now``, and not beyond the deadline. Nearly always that is one system call and nothing else."""
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
                rest = memoryview(body)[sent - len(head) :] if sent >= len(head) else memoryview(head + body)[sent:]
        except BlockingIOError:
            rest = memoryview(head if body is None else head + body)
        except OSError as error:
            return not_sent(error, reused=self._served)
        self._writing = True
        if self._channel.closed:  # looked at after `_writing` was set, which interrupt() reads after `closed` was
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
        try:
            until = self._clock() + request.read_timeout
            full = until <= request.deadline
            if not full:
                until = request.deadline
            answer = self._answer(self._id, until)
            outcome = self._outcome(answer) if type(answer) is Frame else None
        except BaseException:
            # Ctrl-C, while it waits or while it inflates.
            self.cancel()
            raise
        if outcome is not None:
            self._served = True
            self._channel.release(self, self._protocol.usable and (type(outcome) is Success or outcome.kind != "protocol_error"))
            return outcome
        if answer is None:
            self.cancel()
            return read_timed_out(request.read_timeout, full=full)
        if self._channel.closed:
            self.cancel()
        else:
            self._channel.release(self, False)
        return answer  # type: ignore[return-value]  # a Failure

    def _answer(self, id_: int, until: float) -> Frame | Failure | None:
        """The frame that answers an id; None when the time is up."""
        protocol, sock, poll, clock = self._protocol, self._sock, self._pollin.poll, self._clock
        while True:
            left = until - clock()
            if left <= 0 or not poll(ceil(left * 1000) if left < _LONG else _LONG_MILLISECONDS):
                if left > _LONG:
                    continue
                return None
            try:
                data = sock.recv(_CHUNK)
            except BlockingIOError:
                continue
            except OSError as error:
                return self._gone(id_, error)
            if not data:
                return self._gone(id_, "the server closed it")
            for frame in protocol.receive(data):
                if frame.id == id_:  # only answers come this far
                    return frame
            if protocol.error is not None:
                return unreadable(protocol.error)
            if protocol.goaway is not None and id_ > protocol.goaway.last_id:
                return passed_over(protocol.goaway.message, kind=protocol.goaway.kind)

    def _gone(self, id_: int, error: OSError | str) -> Failure:
        if self._channel.closed:
            return cancelled("the client was closed", sent=True)
        goaway = self._protocol.goaway
        if goaway is not None and id_ > goaway.last_id:
            return passed_over(goaway.message, kind=goaway.kind)
        return lost(error)

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
        answer = self._answer(id_, until)
        if answer is None:
            return read_timed_out(timeout, full=True)
        if isinstance(answer, Failure):
            return answer
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


class BlockingChannel:
    """See :class:`bee_core.interfaces.Channel`."""

    def __init__(self, transport: StreamTransport, node: Node, settings: ChannelSettings) -> None:
        self.settings = settings
        self.closed = False
        self._clock = settings.clock
        self._transport = transport
        self._node = node
        self._idle = IdlePool()
        self._active: set[BlockingConnection] = set()
        self.hello = encode_hello(settings)

    def start(self, request: Request) -> BlockingConnection | Failure:
        """See :meth:`bee_core.interfaces.Channel.start`. A pooled connection that turns out to be broken while sending costs nothing: the next one is taken."""
        while True:
            connection = self._idle.take()
            if connection is None:
                dialed = self._dial(min(request.connect_timeout, request.deadline - self.settings.clock()), request.connect_timeout)
                if isinstance(dialed, Failure):
                    return dialed
                connection = dialed
            elif connection.stale():
                connection.close()
                continue
            self._active.add(connection)
            if self.closed:
                self.release(connection, False)
                return cancelled("the client was closed", sent=False)
            failure = connection.send(request)
            if failure is None:
                return connection
            self.release(connection, False)
            if not failure.unsent:
                return failure if not self._closed_meanwhile() else cancelled("the client was closed", sent=False)

    def _closed_meanwhile(self) -> bool:
        return self.closed

    def _dial(self, seconds: float, configured: float) -> BlockingConnection | Failure:
        if seconds <= 0:
            return connect_timed_out(0.0, full=False)
        try:
            return BlockingConnection(self, self._transport.dial(self._node.url, seconds))
        except TimeoutError:
            return connect_timed_out(configured, full=seconds >= configured)
        except (OSError, ValueError) as error:
            return refused(error)

    def release(self, connection: BlockingConnection, usable: bool) -> None:
        """Take a connection back from a call."""
        self._active.discard(connection)
        if not usable or self.closed:
            connection.close()
            return
        for old in self._idle.give(connection, self.settings.clock()):
            old.close()

    def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """See :meth:`bee_core.interfaces.Channel.ping`. On a connection of its own: it shows whether a new caller would get in."""
        dialed = self._dial(timeout, timeout)
        if isinstance(dialed, Failure):
            return dialed
        try:
            return dialed.ping(timeout)
        finally:
            dialed.close()

    def close(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.close`."""
        self.closed = True
        self._idle.closed = True
        for connection in self._idle.clear():
            connection.close()
        for connection in tuple(self._active):
            connection.interrupt()

    def retire(self) -> None:
        """The node has left the list: idle connections go now, those in use when their call ends."""
        self._idle.closed = True
        for connection in self._idle.clear():
            connection.close()

    def discard_after_fork(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.discard_after_fork`."""
        for connection in (*self._idle.clear(), *self._active):
            connection.abandon()
        self._idle = IdlePool()
        self._active = set()


def encode_hello(settings: ChannelSettings) -> bytes:
    """The hello frame of a channel's connections."""
    hello = Hello(settings.service, settings.codec, settings.compressor, settings.token, settings.max_body)
    return frames.encode(frames.HELLO, 0, hello.encode())


def inflate(settings: ChannelSettings, body: bytes) -> Outcome:
    """A compressed reply as an outcome. The handler ran, whatever is wrong with the bytes."""
    try:
        return Success(settings.decompress(body) if settings.decompress else _no_compressor())
    except MessageTooLarge as error:
        return Failure("message_too_large", error.message, "yes", "never", "none")
    except CallError as error:
        return Failure("protocol_error", error.message, "yes", "never", "node")


def _no_compressor() -> bytes:
    msg = "a compressed reply, and this client has no compressor"
    raise ProtocolError(msg)


def too_large(request: Request, limit: int) -> Failure:
    """A request that this server would not take; it said so in its hello-ack."""
    return local("message_too_large", f"a body of {len(request.body)} bytes is over the server's max_size ({limit} bytes)")


def unreadable(error: CallError) -> Failure:
    """The stream cannot be read on: a reply that is too large, or not bee's protocol."""
    if isinstance(error, MessageTooLarge):
        return reported("message_too_large", error.message, executed="maybe")
    return broken_peer(error)
