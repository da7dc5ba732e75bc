"""A client that is dropped without ``close()``: what it holds is let go, with a ResourceWarning.

What outlives a client, such as the threads of its control planes, refers to it weakly. So the
garbage collector finds it, and a finalizer, which has the parts and not the client, ends them.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakMethod

from ..errors import BeeError
from .discoveries import on_loop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from ..contracts.channels import AsyncChannel, Channel

T = TypeVar("T")


class Stoppable(Protocol):
    """What runs on threads of its own, or joins what does: a control plane, a place for metrics."""

    def begin_stop(self) -> object:
        """End it, without waiting."""


def weakly(method: Callable[..., T]) -> Callable[..., T]:
    """A bound method that does not keep its object alive.

    Raises:
        BeeError: When it is called and the object is gone.
    """
    reference = WeakMethod(method)

    def call(*arguments: Any) -> T:
        bound: Callable[..., T] | None = reference()
        if bound is None:
            raise BeeError("the client was dropped without close()")
        return bound(*arguments)

    return call


def end_blocking(channels: tuple[Iterable[Channel], ...], planes: tuple[Stoppable, ...]) -> None:
    """Let go of a blocking client. Does not wait: the garbage collector may call it anywhere."""
    _warn("Client")
    for plane in planes:
        plane.begin_stop()
    for group in channels:
        for channel in tuple(group):
            with contextlib.suppress(Exception):  # one channel's; the others are closed too
                channel.close()


def end_asyncio(
    channels: tuple[Iterable[AsyncChannel], ...],
    planes: tuple[Stoppable, ...],
    loops: list[asyncio.AbstractEventLoop],
) -> None:
    """Let go of an asyncio client, whose loop may run, or be closed."""
    _warn("AsyncClient")
    for plane in planes:
        plane.begin_stop()
    left = [channel for group in channels for channel in group]
    if loops and loops[0].is_running():
        loop = loops[0]
        on_loop(loop, lambda: [loop.create_task(_close(channel)) for channel in left])
    else:
        abandon(left)


async def _close(channel: AsyncChannel) -> None:
    await channel.close()


def abandon(channels: Iterable[AsyncChannel]) -> None:
    """Close the descriptors of channels whose loop does not run any more."""
    for channel in channels:
        discard: Callable[[], None] | None = getattr(channel, "discard_after_fork", None)
        if discard is not None:
            with contextlib.suppress(Exception):
                discard()


def _warn(kind: str) -> None:
    warnings.warn(
        f"a bee {kind} was dropped without close(): use it in a with block, or close it",
        ResourceWarning,
        stacklevel=3,
    )
