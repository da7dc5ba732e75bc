"""The client's ways to one node, which a transport makes: the blocking one and the asyncio one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import asyncio

    from ..terms.failures import Failure, Outcome
    from ..terms.request import Request


class Pending(Protocol):
    """A request that was started on a blocking channel. Belongs to the thread that started it."""

    def wait(self, seconds: float | None = None) -> Outcome | None:
        """Block until the reply is complete or a bound of the request is reached.

        For a oneway request it does not block. Never raises for a failed attempt. An exception that
        comes from elsewhere (Ctrl-C) leaves the request under way: the caller cancels it.

        Args:
            seconds: Come back after so long at the latest, or None: not before the end. The client
                hands in what is left of the call's deadline, and gives a request up that has no
                outcome by then. It cannot end a thread's wait from outside: a wait that takes
                longer makes the call longer. (The waits of asyncio and of futures it can end.)

        Returns:
            The outcome; None when ``seconds`` are over and it is not there yet. Then the request
            goes on, and ``wait`` may be called again.
        """

    def fileno(self) -> int:
        """A descriptor that becomes readable when the reply or its end may be there.

        For ``select`` and ``poll``, after ``wait(0)`` has returned None: what the process has read
        already does not show. Readable does not promise that the reply is complete.
        """

    def cancel(self) -> None:
        """Give the request up instead of waiting: tell the server, release the connection.

        Never after ``wait`` has returned an outcome: the connection may be another call's by then.

        A class may define ``let_go()`` as well: the same for a request that is not wanted any more,
        as the loser of a race is not. Nothing is wrong with its connection, which may be kept.
        """


class Channel(Protocol):
    """The blocking way to one node. Made without I/O; connects when first used. Thread-safe.

    Once its node has left, a client refers to it weakly: a class with ``__slots__`` needs
    ``__weakref__`` among them.

    A channel may also define ``repeat(request)``: like ``start``, for a request that may have run.
    It sends it only to the process that ``request.where_sent`` names, marked as a repetition, and
    fails with ``executed`` no where it does not find that process. Only a channel that sets
    ``request.sent`` needs it.

    A channel may have ``connects``: whether a request that is started now has to wait for a new
    connection. A broadcast starts such requests on threads of their own, at the same time. Their
    pending replies belong to the thread that waits for them.
    """

    def start(self, request: Request) -> Pending | Failure:
        """Send a request within ``may_connect()`` and its write timeout.

        A oneway request only goes to a server that has accepted the connection: nobody would hear
        of a refusal later.

        It does not wait for the reply, unless the channel's settings are ``attended``.

        Before it returns a pending reply, ``request.pending`` is that reply. It is None again once
        ``wait`` has an outcome or the reply was cancelled. So the caller can cancel what it was not
        handed yet: an exception may come between any two lines. Where a channel does not set it,
        the client sets it during the wait. Then what an interruption meets inside of ``start`` is
        the channel's own to give up.

        The caller cancels: a request that is broken, interrupted or late is cancelled once, by
        whoever waits for it, through ``request.pending``.

        Returns:
            The pending reply, or the failure where nothing went out.
        """

    def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """Ask for the node's health within ``timeout`` seconds, as a new caller.

        A channel may also define ``ping_open(timeout)``, which asks on a connection that is open
        and not in use, and returns None where there is none. A node in doubt is asked in this way
        first: it may be full, and serve those that it knows.
        """

    def close(self) -> None:
        """Close all connections. Calls waiting on them end with a failure. Idempotent."""

    def retire(self) -> None:
        """The node has left the list: close what is idle now and the rest when its calls end."""

    def discard_after_fork(self) -> None:
        """In a forked child: close every descriptor and renew every lock.

        No byte goes on the wire.
        """


class AsyncPending(Protocol):
    """A request that was started on an asyncio channel."""

    reply: asyncio.Future[Outcome]
    """Resolves to the outcome when the reply is complete or a bound of the request is reached.

    A failed attempt is an outcome, not an exception.
    """

    def cancel(self) -> None:
        """Give the request up: tell the server. Idempotent; harmless once there is a reply."""


class AsyncChannel(Protocol):
    """The way to one node on one event loop. Made without I/O; connects when first used.

    Referred to weakly like :class:`Channel`. One that holds descriptors may define
    ``discard_after_fork()``, like :meth:`Channel.discard_after_fork`: called in a forked child
    whose parent's loop used it.
    """

    def start(self, request: Request) -> AsyncPending:
        """Send a request, or take it to be sent as soon as there is a connection. Does not wait."""

    async def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """Like :meth:`Channel.ping`."""

    async def close(self) -> None:
        """Like :meth:`Channel.close`."""

    def retire(self) -> None:
        """Like :meth:`Channel.retire`."""
