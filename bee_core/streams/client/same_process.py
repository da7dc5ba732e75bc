"""How a repetition goes to the process that got the request first, and to no other.

A repetition always goes out on a new connection, once the hello-ack has shown whose it is. Several
processes may serve behind one address, and the system decides which one takes a connection. So a
few connections are tried. See ``docs/decisions/deduplication.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ...terms.failures import Failure

if TYPE_CHECKING:
    from ...terms.request import Request
    from .blocking_connection import BlockingConnection

_MOST_TRIES = 32
"""Connections for one repetition. Twice the workers find one of 16 with 87 percent."""


def tries(workers: int) -> int:
    """How many connections are made at most to find one process among several."""
    return min(2 * workers, _MOST_TRIES) if workers > 1 else 1


def another_answers() -> Failure:
    """The process that got the request is not found. Nothing was sent."""
    message = "another process answers at the address, and it cannot know whether the call ran"
    return Failure("unavailable", message, "no", "never", "none")


class Connecting(Protocol):
    """What :func:`connect_to` needs of a blocking channel."""

    def connect(self, request: Request, *, greeted: bool = False) -> BlockingConnection | Failure:
        """A new connection that the request owns; ``greeted``: the hello-ack is there."""

    def release(self, connection: BlockingConnection, usable: bool) -> None:
        """Take a connection back."""


def connect_to(channel: Connecting, request: Request, epoch: bytes) -> BlockingConnection | Failure:
    """A new connection to the process of an epoch; the request owns it.

    The connections to other processes stay open until the end, so that the next one goes elsewhere.
    """
    others: list[BlockingConnection] = []
    most = 1
    try:
        while len(others) < most:
            connection = channel.connect(request, greeted=True)
            if isinstance(connection, Failure):
                return connection
            ack = connection.ack
            if ack is not None and ack.epoch == epoch and ack.deduplication is not None:
                return connection
            others.append(connection)
            most = 1 if ack is None else tries(ack.workers)
        return another_answers()
    finally:
        for other in others:
            channel.release(other, False)
