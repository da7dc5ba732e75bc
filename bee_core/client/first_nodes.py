"""Waits on an event loop for the first list of a service's nodes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..calls.service import Service
    from .discoveries import ClientDiscovery


async def await_nodes(
    discoveries: ClientDiscovery[Any], service: Service[Any], patience: float
) -> None:
    """Wait for the first nodes of a service, ``patience`` seconds at most; then go on with what is known. Returns as well when the client is closed meanwhile."""
    discovery = discoveries.begin(service)
    if discovery is None:
        return
    loop = asyncio.get_running_loop()
    known = asyncio.Event()
    discovery.when_known(lambda: on_loop(loop, known.set))
    try:
        await asyncio.wait_for(known.wait(), max(0.0, min(discovery.patience(), patience)))
    except (TimeoutError, asyncio.TimeoutError):
        discovery.fall_back()


def on_loop(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Call a function on a loop, from any thread."""
    with contextlib.suppress(
        RuntimeError
    ):  # the loop was closed, and with it everything that could be told
        loop.call_soon_threadsafe(function)
