"""Which event loops serve: a blocking call on one of them would stop a whole server."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

serving_loops: WeakSet[AbstractEventLoop] = WeakSet()
"""The loops that a bee server runs on now. A server adds its own and discards it at the end."""
