"""An asyncio connection of stream transports, shared by many calls."""

from __future__ import annotations

import asyncio
import os
import select
from typing import TYPE_CHECKING, Any, Literal

from ..contracts.size_rule import HEAVY
from ..errors import ProtocolError
from ..terms.failures import (
    Failure,
    Success,
    broken_peer,
    cancelled,
    connect_timed_out,
    lost,
    passed_over,
    read_timed_out,
    refused,
    write_timed_out,
)
from ..wire import frames
from ..wire.messages import parse_error, parse_pong
from ..wire.protocol import ClientProtocol
from .batched_writer import BatchedWriter
from .deadline_timer import DeadlineTimer
from .replies import SENT, encode_hello, inflate, too_large, unreadable

if TYPE_CHECKING:
    from ..terms.failures import Outcome
    from ..terms.request import Request
    from .multiplexed_channel import MultiplexedChannel

_RDHUP: int = getattr(
    select, "POLLRDHUP", 0
)  # Linux; elsewhere the end of a stream shows as POLLHUP, which is always reported
_RESPONSE, _ERROR = frames.RESPONSE, frames.ERROR
_LINGER = 0.5  # seconds that a closed connection gets to hand over what was written before


class PendingReply:
    """A request under way; see :class:`bee_core.interfaces.AsyncPending`."""

    __slots__ = ("bound", "connection", "full", "id", "reply", "request", "until")

    def __init__(self, reply: asyncio.Future[Outcome], request: Request) -> None:
        self.reply = reply
        self.request = request
        self.until = 0.0
        self.bound: Literal["connect", "write", "read"] = "connect"
        self.full = True
        self.id = 0
        self.connection: MultiplexedConnection | None = None

    def cancel(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncPending.cancel`."""
        if self.connection is not None:
            self.connection.give_up(self)
        if not self.reply.done():
            self.reply.cancel()

    def settle(self, outcome: Outcome) -> None:
        """Resolve the reply, unless nobody waits for it any more."""
        if not self.reply.done():
            self.reply.set_result(outcome)


class MultiplexedConnection(asyncio.Protocol):
    """One connection and the requests on it."""

    def __init__(self, channel: MultiplexedChannel) -> None:
        self._channel = channel
        self._protocol = ClientProtocol(encode_hello(channel.settings), channel.settings.max_body)
        self._loop = channel.loop
        self._clock = channel.settings.clock
        self._transport: Any = None
        self._waiting: dict[int, PendingReply] = {}
        self._pings: dict[int, asyncio.Future[Any]] = {}
        self._writer: Any = None
        self._backlog: list[PendingReply] = []
        self._paused = False
        self._timer = DeadlineTimer(self._loop, self._clock, self._sweep)
        self._end_of_stream = select.poll()
        self._lingering: asyncio.TimerHandle | None = None
        self.leaving = False
        self.closed = self._loop.create_future()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = transport
        self._writer = BatchedWriter(self._loop, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            self._end_of_stream.register(sock.fileno(), _RDHUP)

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        protocol = self._protocol
        waiting = self._waiting
        for frame in protocol.receive(data):
            pending = waiting.pop(frame.id, None)
            if pending is not None:
                if frame.kind == _RESPONSE and not frame.flags:
                    reply = pending.reply
                    if not reply.done():
                        reply.set_result(Success(frame.body))
                else:
                    self._settle(pending, frame)
            elif (ping := self._pings.pop(frame.id, None)) is not None and not ping.done():
                ping.set_result(frame)
        if protocol.error is not None:
            self._end(unreadable(protocol.error))
            self._transport.abort()
        elif protocol.goaway is not None:
            self._on_goaway()
        else:
            if self._backlog and not self._paused:
                self._send_backlog()
            if self.leaving:
                self._channel.forget_if_done(self)

    def pause_writing(self) -> None:
        """The peer reads slower than we write: requests wait here, where they can still be taken back."""
        self._paused = True

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._paused = False
        self._send_backlog()

    def _send_backlog(self) -> None:
        backlog, self._backlog = self._backlog, []
        for pending in backlog:
            if not pending.reply.done():
                self.send(pending)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._end(
            cancelled("the client was closed", sent=True)
            if self._channel.closed
            else self._lost(error)
        )
        self._channel.forget(self)
        if self._lingering is not None:
            self._lingering.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    # What the channel calls.

    @property
    def usable(self) -> bool:
        """Whether new requests may be sent on it."""
        return (
            self._transport is not None
            and self._protocol.usable
            and not self._transport.is_closing()
        )

    @property
    def waiting(self) -> int:
        """How many requests wait for a reply, or to be sent."""
        return len(self._waiting) + len(self._backlog)

    @property
    def idle(self) -> bool:
        """Whether nothing waits for a reply."""
        return not self._waiting and not self._backlog

    def why_not(self) -> Failure:
        """Why a connection that has just been made takes no requests. Nothing was sent on it."""
        goaway = self._protocol.goaway
        if goaway is not None:
            return passed_over(goaway.message, kind=goaway.kind)
        return refused(
            self._protocol.error or ConnectionResetError("the server closed the connection at once")
        )

    def stale(self) -> bool:
        """Whether the server has ended an idle connection, which a loop that was busy elsewhere has had no chance to notice. A request on it would be lost."""
        return not self._waiting and bool(self._end_of_stream.poll(0))

    def send(self, pending: PendingReply) -> None:
        """Put a request on the wire with the others of this iteration of the loop, or in line when the peer reads too slowly."""
        request, protocol = pending.request, self._protocol
        if len(request.body) > protocol.peer_limit:
            pending.settle(too_large(request, protocol.peer_limit))
            return
        now = self._clock()
        pending.connection = self
        if self._paused:
            self._hold(pending, "write", now + request.write_timeout)
            return
        if request.oneway:
            self._send_oneway(pending, now)
            return
        pending.id = id_ = protocol.next_id()
        pending.bound = "read"
        until = now + request.read_timeout
        if until > request.deadline:
            until, pending.full = request.deadline, False
        else:
            pending.full = True
        pending.until = until
        self._waiting[id_] = pending
        head, body = protocol.request(id_, request, now)
        self._writer.write(head)
        if body is not None:
            self._writer.write(body)
        if until < self._timer.next:
            self._timer.watch(until)

    def _hold(
        self, pending: PendingReply, bound: Literal["connect", "write"], until: float
    ) -> None:
        pending.bound = bound
        pending.full = until <= pending.request.deadline
        pending.until = until if pending.full else pending.request.deadline
        self._backlog.append(pending)
        self._timer.watch(pending.until)

    def _send_oneway(self, pending: PendingReply, now: float) -> None:
        """A oneway request is over once it is written, and waits until the server has accepted the connection: nobody would hear of a refusal later."""
        request, protocol = pending.request, self._protocol
        if protocol.ack is None:
            if hello := protocol.greet():
                self._writer.write(hello)
            # The rest of the time for connecting, where the call has waited for the connection itself.
            self._hold(pending, "connect", pending.until or now + request.connect_timeout)
            return
        head, body = protocol.request(protocol.next_id(), request, now)
        self._writer.write(head)
        if body is not None:
            self._writer.write(body)
        self._loop.call_soon(
            pending.settle, SENT
        )  # behind the flush of this turn's writes, which was scheduled before

    def give_up(self, pending: PendingReply) -> None:
        """Tell the server that nobody waits for this reply any more."""
        if self._waiting.pop(pending.id, None) is not None and self.usable:
            self._writer.write(self._protocol.cancel(pending.id))
            self._channel.forget_if_done(self)

    async def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """Ask for the node's health."""
        if not self.usable:
            return self.why_not()
        id_ = self._protocol.next_id()
        answer = self._pings[id_] = self._loop.create_future()
        self._writer.write(self._protocol.ping(id_))
        try:
            frame = await asyncio.wait_for(answer, timeout)
            return frame if isinstance(frame, Failure) else parse_pong(frame.fields)
        except (TimeoutError, asyncio.TimeoutError):
            return read_timed_out(timeout, full=True)
        except ProtocolError as error:
            return broken_peer(error)
        finally:
            self._pings.pop(id_, None)

    def close(self) -> None:
        """Let go of the connection; what waits ends. Idempotent: what is still on its way out has its time."""
        if self._transport is None or self._lingering is not None:
            return
        if not self._transport.is_closing():
            for id_ in self._waiting:
                self._writer.write(self._protocol.cancel(id_))
        self._writer.flush()
        self._end(cancelled("the client was closed", sent=True))
        if self._transport.get_write_buffer_size() and not self._transport.is_closing():
            # What was handed over goes out first, as from a socket of the system: oneway calls among it have been said to be sent.
            self._transport.close()
            self._lingering = self._loop.call_later(_LINGER, self._transport.abort)
        else:
            self._transport.abort()

    def abandon(self) -> None:
        """In a forked child: let go of the descriptor, without a word to the transport, whose loop is the parent's."""
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        sock = getattr(sock, "_sock", sock)  # asyncio's wrapper has no detach()
        if sock is not None and (fd := sock.detach()) >= 0:
            os.close(fd)

    # Inside.

    def _settle(self, pending: PendingReply, frame: frames.Frame) -> None:
        if frame.kind == _RESPONSE:
            if len(frame.body) >= HEAVY:
                inflating = self._loop.run_in_executor(
                    None, inflate, self._channel.settings, frame.body
                )
                inflating.add_done_callback(
                    lambda done: None if done.cancelled() else pending.settle(done.result())
                )
            else:
                pending.settle(inflate(self._channel.settings, frame.body))
        elif frame.kind == _ERROR:
            try:
                pending.settle(parse_error(frame.fields))
            except ProtocolError as error:
                pending.settle(broken_peer(error))
        else:
            pending.settle(broken_peer(ProtocolError("a pong where a response was due")))

    def _on_goaway(self) -> None:
        goaway = self._protocol.goaway
        assert goaway is not None  # noqa: S101  # the caller looked; narrows the type
        for id_ in [id_ for id_ in self._waiting if id_ > goaway.last_id]:
            self._waiting.pop(id_).settle(passed_over(goaway.message, kind=goaway.kind))
        backlog, self._backlog = self._backlog, []
        for pending in backlog:
            pending.settle(passed_over(goaway.message, kind=goaway.kind))
        self._channel.forget(self)
        if not self._waiting:
            for ping in self._pings.values():
                if not ping.done():
                    ping.set_result(passed_over(goaway.message, kind=goaway.kind))
            self._transport.close()

    def _lost(self, error: Exception | None) -> Failure:
        reason = "the server closed it" if error is None else self._channel.explained(error)
        return lost(reason, greeted=self._protocol.ack is not None)

    def _end(self, failure: Failure) -> None:
        waiting, self._waiting = self._waiting, {}
        backlog, self._backlog = self._backlog, []
        goaway = self._protocol.goaway
        for pending in waiting.values():
            pending.settle(
                passed_over(goaway.message, kind=goaway.kind)
                if goaway is not None and pending.id > goaway.last_id
                else failure.copy()
            )
        for pending in backlog:
            pending.settle(failure.copy(executed="no"))
        for ping in self._pings.values():
            if not ping.done():
                ping.set_result(failure)
        self._timer.close()

    def _sweep(self, now: float) -> float | None:
        due = [
            pending for pending in (*self._waiting.values(), *self._backlog) if pending.until <= now
        ]
        for pending in due:
            if pending.bound == "write":
                self._backlog.remove(pending)
                pending.settle(write_timed_out(pending.request.write_timeout, full=pending.full))
            elif pending.bound == "connect":
                self._backlog.remove(pending)
                pending.settle(
                    connect_timed_out(pending.request.connect_timeout, full=pending.full)
                )
            else:
                self.give_up(pending)
                pending.settle(read_timed_out(pending.request.read_timeout, full=pending.full))
        self._channel.forget_if_done(self)
        return min(
            (pending.until for pending in (*self._waiting.values(), *self._backlog)), default=None
        )
