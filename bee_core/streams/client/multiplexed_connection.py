"""An asyncio connection of stream transports, shared by many calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ...terms.causes import lost, refused
from ...terms.failures import Failure, Success
from ...terms.metadata import NOTHING
from ...wire import frames
from ...wire.protocol import ClientProtocol
from ..batched_writer import BatchedWriter
from ..deadline_timer import DeadlineTimer
from .liveness import Liveness
from .outcomes import (
    SENT,
    client_closed,
    encode_hello,
    outcome_here,
    outcome_of,
    passed_by,
    too_large,
    unreadable,
)
from .pending_reply import PendingReply, fail_all
from .pings import Pings
from .request_head import MADE, encode_head
from .transport_socket import abandon, end_of_stream

if TYPE_CHECKING:
    from ...contracts.transport import ChannelSettings
    from ...wire.messages import HelloAck, Status

_RESPONSE = frames.RESPONSE
_LINGER = 0.5  # seconds that a closed connection gets to hand over what was written before


class Owner(Protocol):
    """What a multiplexed connection needs of its channel."""

    settings: ChannelSettings
    loop: asyncio.AbstractEventLoop
    closed: bool

    def forget(self, connection: MultiplexedConnection) -> None:
        """It takes no new requests. Those on it may still be answered."""

    def greeted(self, connection: MultiplexedConnection, ack: HelloAck) -> None:
        """The server has answered the hello."""

    def forget_if_done(self, connection: MultiplexedConnection) -> None:
        """Close it if it stayed only for its last replies and has them."""

    def explained(self, error: Exception) -> Exception:
        """See :meth:`bee_core.streams.Dialer.explained`."""


class MultiplexedConnection(asyncio.Protocol):
    """One connection and the requests on it.

    Attributes:
        leaving: Set by the channel: close it once the last reply is there.
        closed: Resolves when the connection is gone.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.protocol = ClientProtocol(encode_hello(owner.settings), owner.settings.max_body)
        self._loop = owner.loop
        self._clock = owner.settings.clock
        self.transport: Any = None
        self._waiting: dict[int, PendingReply] = {}
        self._pings = Pings(self._loop)
        self._writer: Any = None
        self._backlog: list[PendingReply] = []
        self._paused = False
        self._timer = DeadlineTimer(self._loop, self._clock, self._sweep)
        self._end_of_stream: Any = None
        self._lingering: asyncio.TimerHandle | None = None
        self._used = 0.0
        self._max_idle = owner.settings.max_idle
        self._alive = Liveness(self._loop, self._ask, self._vanished)
        self._unheard = True
        self.leaving = False
        self.closed = self._loop.create_future()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self.transport = transport
        self._writer = BatchedWriter(self._loop, transport)
        self._used = self._clock()
        self._end_of_stream = end_of_stream(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        protocol = self.protocol
        waiting = self._waiting
        self._alive.heard += 1
        for frame in protocol.receive(data):
            pending = waiting.pop(frame.id, None)
            if pending is not None:
                # Written out, because each call has one: a plain response.
                if frame.kind == _RESPONSE and not frame.flags and not frame.fields:
                    reply = pending.reply
                    if not reply.done():
                        reply.set_result(Success(frame.body, NOTHING, protocol.epoch))
                else:
                    self._settle(pending, frame)
            else:
                self._pings.answer(frame)
        if protocol.goaway is not None or protocol.error is not None:
            self._wind_up()
            return
        if self._unheard and protocol.ack is not None:
            self._unheard = False
            self._owner.greeted(self, protocol.ack)
        if self._backlog and not self._paused:
            # The hello-ack may be what a oneway request waited for.
            self._send_backlog()
        if self.leaving:
            self._owner.forget_if_done(self)

    def pause_writing(self) -> None:
        """The server reads slower than we write. Requests wait here, and can be taken back."""
        self._paused = True

    def resume_writing(self) -> None:
        """The server has caught up."""
        self._paused = False
        self._send_backlog()

    def _send_backlog(self) -> None:
        backlog, self._backlog = self._backlog, []
        for pending in backlog:
            if not pending.reply.done():
                self.send(pending, self._clock())

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        if self._owner.closed:
            failure = client_closed(sent=True)
        else:
            reason = "the server closed it" if error is None else self._owner.explained(error)
            failure = lost(reason, greeted=self.protocol.ack is not None)
        self._end(failure)
        self._owner.forget(self)
        self._alive.close()
        if self._lingering is not None:
            self._lingering.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    # What the channel calls.

    @property
    def usable(self) -> bool:
        """Whether new requests may be sent on it."""
        transport = self.transport
        return transport is not None and self.protocol.usable and not transport.is_closing()

    @property
    def waiting(self) -> int:
        """How many requests wait for a reply, or to be sent."""
        return len(self._waiting) + len(self._backlog)

    def why_not(self) -> Failure:
        """Why a new connection takes no requests. Nothing was sent on it."""
        return passed_by(self.protocol) or refused(
            self.protocol.error or ConnectionResetError("the server closed the connection at once")
        )

    def fresh(self, now: float) -> bool:
        """Whether it takes requests, was not idle for too long, and has no end yet unnoticed."""
        return (
            self.protocol.usable
            and self.transport is not None
            and not self.transport.is_closing()
            and now - self._used <= self._max_idle
            and (bool(self._waiting) or not self._end_of_stream.poll(0))
        )

    def greet(self) -> None:
        """Say hello, unless it has been said."""
        if hello := self.protocol.greet():
            self._writer.write(hello)

    def send(self, pending: PendingReply, now: float) -> None:
        """Write a request with the others of this turn of the loop.

        It waits in the backlog while the server reads too slowly. A oneway request ends when it is
        written; on a new connection it waits for the hello-ack: no answer tells of a refusal.
        """
        request, protocol = pending.request, self.protocol
        if len(request.body) > protocol.peer_limit:
            # Refused here: the server would close the connection, with all that is on it.
            pending.settle(too_large(request, protocol.peer_limit))
            return
        pending.connection = self
        self._used = now
        if self._paused:
            self._hold(pending, "write", now + request.write_timeout)
            return
        oneway = request.oneway
        if oneway and protocol.ack is None:
            self.greet()
            # What is left of the time for connecting, if the call has waited for the connection.
            pending.since = pending.since or now
            self._hold(pending, "connect", pending.until or now + request.may_connect(now))
            return
        try:
            fields: bytes = request.head.made[MADE]
        except KeyError:
            encoded = encode_head(request.head)
            if isinstance(encoded, Failure):
                pending.settle(encoded)
                return
            fields = encoded
        head, body = protocol.request(request, fields, now)
        pending.id = id_ = protocol.last_id
        self._writer.write(head)
        if body is not None:
            self._writer.write(body)
        if oneway:
            # The flush of this turn's writes was scheduled before, so it comes first.
            self._loop.call_soon(pending.settle, SENT)
            return
        # wait_for() written out, because each call has one.
        pending.bound = "read"
        until = now + request.read_timeout
        if until > request.deadline:
            until, pending.full = request.deadline, False
        else:
            pending.full = True
        pending.until = until
        pending.heard = self._alive.heard
        self._waiting[id_] = pending
        if until < self._timer.next:
            self._timer.watch(until)

    def _hold(
        self, pending: PendingReply, bound: Literal["connect", "write"], until: float
    ) -> None:
        pending.wait_for(bound, until)
        self._backlog.append(pending)
        self._timer.watch(pending.until)

    def give_up(self, pending: PendingReply) -> None:
        """Tell the server that nobody waits for this reply any more."""
        if pending in self._backlog:
            self._backlog.remove(pending)
        elif self._waiting.pop(pending.id, None) is not None and self.usable:
            self._writer.write(self.protocol.cancel(pending.id))
            self._owner.forget_if_done(self)

    async def ping(self, timeout: float) -> Status | Failure:
        """Ask for the node's health."""
        if not self.usable:
            return self.why_not()
        self._writer.write(self.protocol.ping())
        return await self._pings.wait(self.protocol.last_id, timeout)

    def close(self) -> None:
        """Close the connection; all that waits ends. Idempotent: written bytes have their time."""
        if self.transport is None or self._lingering is not None:
            return
        if not self.transport.is_closing():
            for id_ in self._waiting:
                self._writer.write(self.protocol.cancel(id_))
        self._writer.flush()
        self._end(client_closed(sent=True))
        if self.transport.get_write_buffer_size() and not self.transport.is_closing():
            # Written bytes go out first, as from a socket of the system: oneway calls among them
            # have ended as sent.
            self.transport.close()
            self._lingering = self._loop.call_later(_LINGER, self.transport.abort)
        else:
            self.transport.abort()

    def abandon(self) -> None:
        """In a forked child: close the descriptor. The parent's connection is not touched."""
        abandon(self.transport)

    # Inside.

    def _settle(self, pending: PendingReply, frame: frames.Frame) -> None:
        settings = self._owner.settings
        epoch = self.protocol.epoch
        if not frame.flags:
            pending.settle(outcome_of(frame, settings, epoch))
        elif (outcome := outcome_here(frame, settings, epoch)) is not None:
            pending.settle(outcome)
        else:
            self._loop.run_in_executor(None, outcome_of, frame, settings, epoch).add_done_callback(
                lambda done: None if done.cancelled() else pending.settle(done.result())
            )

    def _wind_up(self) -> None:
        """The server said goaway, or what cannot be read."""
        protocol = self.protocol
        if (failure := passed_by(protocol)) is not None:
            # In a drain what the server accepted is still answered: the connection stays for that.
            for id_ in tuple(self._waiting):
                if (over := passed_by(protocol, id_)) is not None:
                    self._waiting.pop(id_).settle(over)
            backlog, self._backlog = self._backlog, []
            fail_all(backlog, failure)
            self._owner.forget(self)
            if not self._waiting:
                self._end(failure)
                self.transport.close()
        if protocol.error is not None:
            self._end(unreadable(protocol.error))
            self.transport.abort()

    def _end(self, failure: Failure) -> None:
        """End all that waits."""
        waiting, self._waiting = self._waiting, {}
        backlog, self._backlog = self._backlog, []
        fail_all(waiting.values(), failure)
        fail_all(backlog, failure.copy(executed="no"))
        self._pings.fail(failure)
        self._timer.close()

    def _ask(self) -> None:
        if self.usable:
            self._writer.write(self.protocol.ping())

    def _vanished(self) -> None:
        self._owner.forget(self)
        if not self.waiting:
            self.close()

    def _sweep(self, now: float) -> float | None:
        due = [
            pending for pending in (*self._waiting.values(), *self._backlog) if pending.until <= now
        ]
        for pending in due:
            if pending.bound == "read":
                self.give_up(pending)
                if pending.full:
                    self._alive.doubt(pending.heard)
            else:
                self._backlog.remove(pending)
            pending.expire()
        self._owner.forget_if_done(self)
        return min(
            (pending.until for pending in (*self._waiting.values(), *self._backlog)), default=None
        )
