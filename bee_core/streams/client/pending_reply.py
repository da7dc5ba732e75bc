"""A request under way on an asyncio channel, and how each of its waits ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from ...terms.causes import connect_timed_out, read_timed_out, write_timed_out

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from ...terms.failures import Failure, Outcome
    from ...terms.request import Request


class Owner(Protocol):
    """What a request needs of the connection that it is on, or the channel that connects for it."""

    def give_up(self, pending: PendingReply) -> None:
        """Nobody waits for this reply any more: keep nothing of it."""


class PendingReply(msgspec.Struct, eq=False):
    """A request under way; see :class:`bee_core.interfaces.AsyncPending`.

    Attributes:
        bound: What it waits for. Which of the request's timeouts bounds the wait.
        until: The end of the wait, a moment of the clock.
        full: ``until`` is the end of that timeout and not the call's deadline.
        since: When it began to wait for a connection; 0 if it has not.
        heard: How many chunks the connection had received when the request was sent.
    """

    reply: asyncio.Future[Outcome]
    request: Request
    until: float = 0.0
    bound: Literal["connect", "write", "read"] = "connect"
    full: bool = True
    since: float = 0.0
    id: int = 0
    connection: Owner | None = None
    heard: int = 0

    def wait_for(self, bound: Literal["connect", "write"], until: float) -> None:
        """Begin a wait of at most until ``until``, and not beyond the deadline."""
        self.bound = bound
        self.full = until <= self.request.deadline
        self.until = until if self.full else self.request.deadline

    def expire(self) -> None:
        """Settle: the wait is over."""
        request, full = self.request, self.full
        if self.bound == "connect":
            waited, configured = self.until - self.since, request.connect_timeout
            late = connect_timed_out(waited, full=full, waited=waited, configured=configured)
            self.settle(late)
        elif self.bound == "write":
            self.settle(write_timed_out(request.write_timeout, full=full))
        else:
            self.settle(read_timed_out(request.read_timeout, full=full))

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


def fail_all(pendings: Iterable[PendingReply], failure: Failure) -> None:
    """Settle all. Each gets a copy: a call adds its own notes to a failure."""
    for pending in pendings:
        pending.settle(failure.copy())
