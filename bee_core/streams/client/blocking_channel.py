"""The blocking channel of stream transports: a pool of connections to one node."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from ...terms.causes import connect_timed_out, refused
from ...terms.failures import Failure
from .blocking_connection import GREETED_LATE, STALE
from .blocking_ping import ping_idle
from .busy_poll import BusyPoll, usable_window
from .given_up import MOST_GIVEN_UP, GivenUp
from .outcomes import client_closed, connected_late
from .same_process import another_answers, connect_to
from .worker_shares import WorkerShares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...contracts.transport import ChannelSettings
    from ...terms.node import Node
    from ...terms.request import Request
    from ...wire.messages import Status
    from ..byte_streams import Dialer
    from .blocking_connection import BlockingConnection


class IdlePool:
    """A stack of idle connections: last in, first out, so that few stay in use and the rest age.

    Thread-safe without a lock: each step is one operation of a deque. The caller closes what it
    returns.

    Args:
        max_idle: Seconds. A connection that is idle for longer is closed, so that those of a burst
            of calls do not stay for ever. One is kept: the next call looks at its age.

    Attributes:
        closed: Keep no connection any more.
    """

    __slots__ = ("_idle", "_max_idle", "closed")

    def __init__(self, max_idle: float) -> None:
        self._idle: deque[BlockingConnection] = deque()
        self._max_idle = max_idle
        self.closed = False

    def take(self) -> BlockingConnection | None:
        """The connection that was used last, or None."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def give(self, connection: BlockingConnection, now: float) -> list[BlockingConnection]:
        """Put a connection back. Returns the connections to close."""
        connection.idle_since = now
        idle = self._idle
        idle.append(connection)
        if self.closed:  # whoever closes sets it and then clears: one of the two takes it out
            return self.clear()
        try:
            if len(idle) > 1 and now - idle[0].idle_since > self._max_idle:
                oldest = idle.popleft()
                if now - oldest.idle_since > self._max_idle:
                    return [oldest]
                # Another thread took the oldest one meanwhile, so this one is younger.
                idle.append(oldest)
        except IndexError:
            pass  # other threads took all of them
        return []

    def put_back(self, connection: BlockingConnection) -> None:
        """Put a connection back that is not for the caller: the next one finds others first."""
        self._idle.appendleft(connection)

    def remove(self, connection: BlockingConnection) -> None:
        """Take one connection out, if it is there."""
        with suppress(ValueError):
            self._idle.remove(connection)

    @property
    def connections(self) -> tuple[BlockingConnection, ...]:
        """Those that are there now."""
        return tuple(self._idle.copy())  # see BlockingChannel.in_use

    def clear(self) -> list[BlockingConnection]:
        """Take all connections out. The caller closes them."""
        taken = []
        while (connection := self.take()) is not None:
            taken.append(connection)
        return taken


class BlockingChannel:
    """See :class:`bee_core.interfaces.Channel`.

    Attributes:
        settings: See there.
        closed: The application has closed the client.
        idle, active: Connections that are free, and those of requests.
        given_up: Those whose request was given up, until the server shows that it listens.
        busy_poll: How a thread looks for its reply.
    """

    def __init__(self, dialer: Dialer, node: Node, settings: ChannelSettings) -> None:
        self.settings = settings
        self.closed = False
        self._dialer = dialer
        self._node = node
        self.idle = IdlePool(settings.max_idle)
        self.active: set[BlockingConnection] = set()
        self.given_up = GivenUp()
        self._shares = WorkerShares()
        self._remembers = False  # the server its answers, as its last hello-ack said
        window = usable_window(dialer.busy_poll)
        self.busy_poll = BusyPoll(window) if window > 0 else None

    @property
    def connects(self) -> bool:
        """See :class:`bee_core.interfaces.Channel`."""
        return not self.idle.connections

    def start(self, request: Request) -> BlockingConnection | Failure:
        """See :meth:`bee_core.interfaces.Channel.start`."""
        connection: BlockingConnection | Failure | None = None
        fresh = False
        try:
            while True:
                connection = None
                if not fresh:
                    connection = self.idle.take()
                if connection is not None and connection.request is None:
                    connection.request, request.pending = request, connection
                else:
                    if connection is not None:
                        # Another thread is about to let go of it, or was interrupted just then.
                        self.idle.put_back(connection)
                        connection = None
                    given_up = self.given_up
                    connection = (not fresh and given_up.take(request)) or self.connect(request)
                    if isinstance(connection, Failure):
                        return connection
                self.active.add(connection)
                # Looked at after the connection was added. close() sets `closed` before it looks at
                # the active connections, so one of the two sees the other.
                failure = client_closed(sent=False) if self.closed else connection.send(request)
                if failure is None:
                    return connection
                self.release(connection, False)
                request.sent = None  # it went nowhere
                if not failure.unsent:
                    return self._unless_closed(failure)
                # A pooled connection ended while it was idle. The server cannot have seen the
                # request, so the next connection is tried for free: the next idle one if this one
                # was known to be of no use, and a new one if it broke under the request.
                fresh = failure is not STALE
        except BaseException:
            # An interrupt, say. What has an owner is in request.pending, where the caller finds it.
            if connection is not None and not isinstance(connection, Failure):
                connection.close_unowned()
            raise

    def repeat(self, request: Request) -> BlockingConnection | Failure:
        """Send a request once more, to the process that got it first; see :meth:`start`.

        A channel defines it whose requests note where they went; see
        :class:`bee_core.terms.request.Sent`.
        """
        sent = request.where_sent
        if sent is None:
            return another_answers()
        connection: BlockingConnection | Failure | None = None
        try:
            connection = connect_to(self, request, sent.epoch)
            if isinstance(connection, Failure):
                return self._unless_closed(connection)
            failure = client_closed(sent=False) if self.closed else connection.send(request)
            if failure is None:
                return connection
            self.release(connection, False)
            return self._unless_closed(failure)
        except BaseException:
            if connection is not None and not isinstance(connection, Failure):
                connection.close_unowned()
            raise

    def connect(self, request: Request, *, greeted: bool = False) -> BlockingConnection | Failure:
        """A new connection that the request owns; ``greeted``: the hello-ack is there."""
        if self.closed:
            return client_closed(sent=False)
        now = self.settings.clock()
        allowed = request.may_connect(now)
        seconds = min(allowed, request.connect_within, request.deadline - now)
        connection = self._dial(seconds, allowed, request)
        if isinstance(connection, Failure) or not (greeted or self._waits_for_ack(request)):
            return connection
        self.active.add(connection)
        until = now + seconds
        failure = connection.greet(until)
        if failure is GREETED_LATE:
            failure = connected_late(request, seconds, allowed)
        if failure is None:
            self._learn(connection)
            return connection
        self.release(connection, False)
        return self._unless_closed(failure)

    def _waits_for_ack(self, request: Request) -> bool:
        """Whether a request goes out on a new connection only once the server has accepted it.

        A oneway call does: no answer would report a later refusal. So does a call that must not run
        twice, if the server remembers its answers: the call must know which process has it.
        """
        if not self._remembers:
            for known in (*self.idle.connections, *self.in_use()):
                self._learn(known)
        return request.oneway or (self._remembers and not request.idempotent)

    def _learn(self, connection: BlockingConnection) -> None:
        """Know whether the server remembers its answers."""
        ack = connection.ack
        if ack is not None:
            self._remembers = ack.deduplication is not None

    def _unless_closed(self, failure: Failure) -> Failure:
        return client_closed(sent=False) if self.closed else failure

    def _dial(
        self, seconds: float, allowed: float, request: Request | None = None
    ) -> BlockingConnection | Failure:
        """A new connection; the request owns it where one is given."""
        if seconds <= 0:
            return connect_timed_out(0.0, full=False)
        sock = None
        try:
            sock = self._dialer.dial(self._node.url, seconds)
            connection = self._dialer.connection(self, sock)
            if request is not None:
                if self.settings.token is not None and self.settings.clock() >= request.deadline:
                    connection.close()  # the function of the token took the time of the call
                    return connect_timed_out(allowed, full=False)
                connection.request, request.pending = request, connection
            return connection  # noqa: TRY300  an exception may come here as well
        except BaseException as error:
            if sock is not None:
                sock.close()
            if self.settings.interrupts(error):
                raise
            if isinstance(error, TimeoutError):
                return connected_late(request, seconds, allowed)
            if isinstance(error, (OSError, ValueError)):
                return refused(error)
            raise

    def release(self, connection: BlockingConnection, usable: bool) -> None:
        """Take a connection back from the request that owns it.

        It stays the request's until it is in the pool or closed, so an exception at any line leaves
        it with one owner: the request's ``cancel`` then takes it out of the pool again.
        """
        self.active.discard(connection)
        request = connection.request
        old: Sequence[BlockingConnection] = ()
        try:
            if usable and not self.closed:
                now = self.settings.clock()
                if now < self._shares.look_at or not self._is_surplus(connection, now):
                    old = self.idle.give(connection, now)
                else:
                    connection.close()
            else:
                self._learn(connection)
                self.idle.remove(connection)
                connection.close()
            # One step: from here on it is free, and another thread may have it.
            connection.request = request.pending = None  # type: ignore[union-attr]  # it has one
        finally:
            if old:
                for each in old:
                    each.close()

    def keep(self, connection: BlockingConnection) -> None:
        """Take a connection back from a request that was given up; see :meth:`release`.

        It is used again once its server has shown that it is at work.
        """
        self.active.discard(connection)
        request = connection.request
        connection.idle_since = self.settings.clock()
        self.given_up.append(connection)
        # One step, as in release().
        connection.request = request.pending = None  # type: ignore[union-attr]  # it has one
        # Looked at after the append, as in IdlePool.give().
        self.given_up.close_all_but(0 if self.closed or self.idle.closed else MOST_GIVEN_UP)

    def in_use(self) -> set[BlockingConnection]:
        """The active connections of now.

        A copy is one step for other threads. ``tuple(self.active)`` is not: before CPython 3.12 the
        allocation of a tuple may collect garbage in the middle of it, and so let others run.
        """
        return self.active.copy()

    def _is_surplus(self, connection: BlockingConnection, now: float) -> bool:
        """Whether a connection goes to a worker process that has more than its share of them."""
        connections = connection, *self.in_use(), *self.idle.connections
        return self._shares.is_surplus(connection, connections, now)

    def ping(self, timeout: float) -> Status | Failure:
        """See :meth:`bee_core.interfaces.Channel.ping`.

        It uses a connection of its own, so it shows whether a new caller would be accepted.
        """
        dialed: BlockingConnection | Failure | None = None
        try:
            dialed = self._dial(timeout, timeout)
            return dialed if isinstance(dialed, Failure) else dialed.ping(timeout)
        finally:
            if dialed is not None and not isinstance(dialed, Failure):
                dialed.close()

    def ping_open(self, timeout: float) -> Status | Failure | None:
        """See :meth:`bee_core.interfaces.Channel.ping`: it may define this as well."""
        return ping_idle(self, timeout)

    def close(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.close`."""
        self.closed = True
        self.retire()
        for connection in self.in_use():
            connection.interrupt()

    def retire(self) -> None:
        """The node has left: close idle connections now, and those in use when their call ends."""
        self.idle.closed = True
        for connection in self.idle.clear():
            connection.close()
        self.given_up.close_all_but(0)

    def discard_after_fork(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.discard_after_fork`."""
        for connection in (*self.idle.clear(), *self.active, *self.given_up):
            connection.abandon()
        self.given_up = GivenUp()
        self.idle = IdlePool(self.settings.max_idle)
        self.active = set()
