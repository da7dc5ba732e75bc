"""The blocking channel of stream transports: a pool of connections to one node."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from ...terms.causes import connect_timed_out, refused
from ...terms.failures import Failure
from .blocking_connection import GREETED_LATE, STALE
from .busy_poll import BusyPoll, usable_window
from .idle_pool import IdlePool
from .outcomes import client_closed
from .same_process import another_answers, connect_to
from .worker_shares import WorkerShares

MOST_GIVEN_UP = 4
"""Connections that are kept for requests that were given up, and whose server has not answered yet.
Each loser of a race leaves one; a server that hangs would collect them."""

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...contracts.transport import ChannelSettings
    from ...terms.node import Node
    from ...terms.request import Request
    from ...wire.messages import Status
    from ..byte_streams import Dialer
    from .blocking_connection import BlockingConnection


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
        self.given_up: deque[BlockingConnection] = deque()
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
                    connection = (not fresh and self._again(request)) or self.connect(request)
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
            failure = _too_late(request, seconds, allowed)
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
                return _too_late(request, seconds, allowed)
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
        given_up = self.given_up
        given_up.append(connection)
        # One step, as in release().
        connection.request = request.pending = None  # type: ignore[union-attr]  # it has one
        # Looked at after the append, as in IdlePool.give().
        while given_up and (self.closed or self.idle.closed or len(given_up) > MOST_GIVEN_UP):
            with suppress(IndexError):  # another thread took it
                given_up.popleft().close()

    def _again(self, request: Request) -> BlockingConnection | None:
        """A connection of a request that was given up, if its server has answered since."""
        connection: BlockingConnection | None = None
        try:
            for _ in range(len(self.given_up)):
                try:
                    connection = self.given_up.popleft()
                except IndexError:
                    return None
                answering = connection.request is None and connection.is_answering()
                if answering:
                    connection.request, request.pending = request, connection
                    return connection
                if answering is None:
                    connection.close()
                else:
                    self.given_up.append(connection)
        except BaseException:  # an interrupt: it has no owner, or the request
            if connection is not None and connection not in self.given_up:
                connection.close_unowned()
            raise
        return None

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
        connection = self.idle.take()
        if connection is None:
            return None
        if connection.request is not None:  # as in start(): another thread is about to let go
            self.idle.put_back(connection)
            return None
        idle_since = connection.idle_since
        answer: Status | Failure | None = None
        # Among the active ones, so that close() interrupts the wait.
        self.active.add(connection)
        try:
            if not self.closed:
                answer = connection.ping(timeout)
        finally:
            self.active.discard(connection)
            old: Sequence[BlockingConnection] = (connection,)
            if isinstance(answer, str):
                old = self.idle.give(connection, self.settings.clock())
                connection.idle_since = idle_since  # a server does not count pings as use either
            for each in old:
                each.close()
        return answer

    def close(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.close`."""
        self.closed = True
        self.retire()
        for connection in self.in_use():
            connection.interrupt()

    def retire(self) -> None:
        """The node has left: close idle connections now, and those in use when their call ends."""
        self.idle.closed = True
        for connection in (*self.idle.clear(), *self._given_up_ones()):
            connection.close()

    def _given_up_ones(self) -> list[BlockingConnection]:
        """Take them out."""
        taken, self.given_up = self.given_up, deque()
        return list(taken)

    def discard_after_fork(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.discard_after_fork`."""
        for connection in (*self.idle.clear(), *self.active, *self._given_up_ones()):
            connection.abandon()
        self.idle = IdlePool(self.settings.max_idle)
        self.active = set()


def _too_late(request: Request | None, seconds: float, allowed: float) -> Failure:
    """Why there is no connection after so many seconds, of those that were allowed."""
    if request is None:
        return connect_timed_out(allowed, full=seconds >= allowed)
    # Where another request of the call waits, the end of the wait says nothing of the node.
    waited = seconds if seconds < request.connect_within else 0.0
    return connect_timed_out(
        allowed,
        full=seconds >= allowed,
        waited=waited,
        configured=request.connect_timeout,
    )
