"""A ping of a blocking channel on a connection that is open already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...contracts.transport import ChannelSettings
    from ...terms.failures import Failure
    from ...wire.messages import Status
    from .blocking_connection import BlockingConnection


class Pooled(Protocol):
    """What :func:`ping_idle` needs of a blocking channel. ``idle`` is an IdlePool."""

    idle: Any
    active: set[BlockingConnection]
    closed: bool
    settings: ChannelSettings


def ping_idle(channel: Pooled, timeout: float) -> Status | Failure | None:
    """Ask on an idle connection; None where there is none.

    Args:
        channel: The channel.
        timeout: Seconds.
    """
    connection: BlockingConnection | None = channel.idle.take()
    if connection is None:
        return None
    if connection.request is not None:  # as in start(): another thread is about to let go
        channel.idle.put_back(connection)
        return None
    idle_since = connection.idle_since
    answer: Status | Failure | None = None
    # Among the active ones, so that close() interrupts the wait.
    channel.active.add(connection)
    try:
        if not channel.closed:
            answer = connection.ping(timeout)
    finally:
        channel.active.discard(connection)
        old: Sequence[BlockingConnection] = (connection,)
        if isinstance(answer, str):
            old = channel.idle.give(connection, channel.settings.clock())
            connection.idle_since = idle_since  # a server does not count pings as use either
        for each in old:
            each.close()
    return answer
