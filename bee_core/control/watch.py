"""A registry's watch of one service, kept apart from whatever the plugin's iterator does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from ..errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ..contracts.registry import Registry
    from ..terms.node import Snapshot

FIRST_ANSWER = 5.0
"""Seconds after which a watch that has said nothing is given up, as on a connection that hangs."""

_CANCELLING = 1.0
"""Seconds that an iterator may take to end when it is cancelled."""


async def watch(registry: Registry, service: str, heard: Callable[[Snapshot], None]) -> None:
    """Hand on each snapshot of a service, until the registry ends the watch.

    Raises:
        TimeoutError: The first snapshot did not come in time.
        RegistryError: The plugin's iterator was cancelled from inside.
        Exception: What the plugin's iterator raised.
    """
    snapshots: Any = registry.watch(service)
    try:
        timeout: float | None = FIRST_ANSWER
        while (snapshot := await _next_snapshot(snapshots, timeout)) is not None:
            timeout = None
            heard(snapshot)
    finally:
        with contextlib.suppress(Exception):  # an iterator that is no generator has no aclose
            await snapshots.aclose()


async def _next_snapshot(
    snapshots: AsyncIterator[Snapshot], timeout: float | None
) -> Snapshot | None:
    # A task of its own, so that a plugin's internal cancellation is not taken for ours.
    task = asyncio.ensure_future(_advance(snapshots))
    try:
        await asyncio.wait((task,), timeout=timeout)
        if not task.done():
            raise TimeoutError(f"it said nothing within {timeout:g} s")
    except BaseException:
        task.cancel()
        await asyncio.wait((task,), timeout=_CANCELLING)
        raise
    if task.cancelled():
        raise RegistryError("the watch was cancelled from inside")
    return task.result()


async def _advance(snapshots: AsyncIterator[Snapshot]) -> Snapshot | None:
    # A task cannot end with StopAsyncIteration's cousin StopIteration, so the end is a value.
    try:
        return await snapshots.__anext__()
    except StopAsyncIteration:
        return None
