"""How a server lets go of its clients: what is in flight may end, then everything is closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .log_lines import say_cancelled, say_hung

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..contracts.transport import Listener
    from .endpoint import ServiceEndpoint

_HUNG_HANDLER_SECONDS = 0.1
"""How long a server that leaves waits for handler threads: those that work have been given up."""


async def drain(listeners: Sequence[Listener], endpoint: ServiceEndpoint, timeout: float) -> int:
    """Accept nothing more, tell clients to go, and wait for what is in flight.

    Args:
        listeners: Of the server.
        endpoint: Of the server; it says already that it drains.
        timeout: Seconds that requests may take. The rest is cancelled.

    Returns:
        How many were cancelled.
    """
    # A listening socket that closes resets the connections that wait behind it, and their
    # clients could not know whether anything ran. A few turns of the loop let them in, to be
    # refused properly; asyncio's own loop takes four.
    for _ in range(4):
        await asyncio.sleep(0)
    for listener in listeners:
        listener.stop_accepting()
        await listener.drain()
    if await endpoint.flight.wait_quiet(timeout):
        return 0
    given_up = endpoint.flight.give_up_rest()
    say_cancelled(given_up, timeout)
    return given_up


async def close(listeners: Sequence[Listener], endpoint: ServiceEndpoint | None) -> None:
    """Close all connections, and end the threads that do not hang."""
    await asyncio.gather(*(listener.close() for listener in listeners))
    hung = [] if endpoint is None else endpoint.close(_HUNG_HANDLER_SECONDS)
    if hung:
        say_hung(hung)
