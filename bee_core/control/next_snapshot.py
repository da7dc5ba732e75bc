"""One step of a registry's watch, kept apart from whatever the plugin's iterator does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..terms.node import Snapshot

_CANCELLING = 1.0
"""Seconds that an iterator may take to end when it is cancelled."""


async def next_snapshot(snapshots: AsyncIterator[Snapshot], timeout: float | None) -> Snapshot:
    """The next snapshot; as a task of its own, so that a plugin's internal cancellation is not taken for ours.

    Raises:
        TimeoutError: Nothing came in time.
        RegistryError: The plugin's iterator was cancelled from inside.
        StopAsyncIteration: The iterator ended.
    """
    task: asyncio.Task[Any] = asyncio.ensure_future(_advance(snapshots))
    try:
        await asyncio.wait((task,), timeout=timeout)
    except BaseException:
        task.cancel()
        await asyncio.wait((task,), timeout=_CANCELLING)
        raise
    if not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=_CANCELLING)
        raise TimeoutError(f"it said nothing within {timeout:g} s")
    if task.cancelled():
        raise RegistryError("the watch was cancelled from inside")
    result = task.result()
    if result is None:
        raise StopAsyncIteration
    return result  # type: ignore[no-any-return]


async def _advance(snapshots: AsyncIterator[Snapshot]) -> Snapshot | None:
    # A task cannot end with StopAsyncIteration's cousin StopIteration, so the end is a value.
    try:
        return await snapshots.__anext__()
    except StopAsyncIteration:
        return None
