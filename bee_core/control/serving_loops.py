"""Which event loops serve: a blocking call on one of them would stop a whole server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_serving: WeakSet[Any] = WeakSet()


def add(loop: AbstractEventLoop) -> None:
    """A server runs on this loop now."""
    _serving.add(loop)


def remove(loop: AbstractEventLoop) -> None:
    """It has left."""
    _serving.discard(loop)


def is_serving(loop: AbstractEventLoop | None) -> bool:
    """Whether a bee server runs on the loop."""
    return loop in _serving
