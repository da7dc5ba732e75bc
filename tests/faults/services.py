"""What the servers of these tests serve, and how they are started."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any

import bee_core
from bee_core.errors import CallCancelled
from support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator


class Calculator:
    """Well-behaved methods, and some that are not.

    Attributes:
        runs: How many calls have come.
        let_go: How many of ``hold`` and ``hold_async`` have ended as they should.
    """

    def __init__(self) -> None:
        self.runs = 0
        self.entered = threading.Semaphore(0)
        self.release = threading.Event()
        self.cancelled = threading.Semaphore(0)
        self.let_go = 0
        self._lock = threading.Lock()

    def add(self, a: int, b: int) -> int:
        self._ran()
        return a + b

    async def add_async(self, a: int, b: int) -> int:
        self._ran()
        return a + b

    @bee_core.nonblocking
    def add_here(self, a: int, b: int) -> int:
        self._ran()
        return a + b

    def echo(self, value):
        self._ran()
        return value

    def size(self, text: str) -> int:
        self._ran()
        return len(text)

    def letters(self, count: int) -> str:
        self._ran()
        return "a" * count

    def meant(self, code: str) -> None:
        details = {"sku": 2**53 + 1, "größe": [1.5, None]}
        raise bee_core.ServiceError(code, "as was asked", details=details, retry_after=1.5)

    def hold(self, answer: int) -> int:
        """Wait until the test releases it."""
        self._ran()
        self.entered.release()
        self.release.wait(PATIENCE)
        self.let_go += 1
        return answer

    async def hold_async(self, answer: int) -> int:
        """The same on the loop; says when it is cancelled."""
        self._ran()
        self.entered.release()
        try:
            # The test's thread cannot set an asyncio.Event.
            while not self.release.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled.release()
            raise
        self.let_go += 1
        return answer

    def watch_cancelled(self) -> None:
        """A patient ``def`` handler that looks whether its caller is still there."""
        self._ran()
        self.entered.release()
        call = bee_core.current_call()
        try:
            while not self.release.wait(0.005):
                call.raise_if_cancelled()
        except CallCancelled:
            if call.cancelled or call.time_left == 0.0:
                self.cancelled.release()
            raise

    def fail(self, message: str) -> None:
        self._ran()
        raise KeyError(message)

    async def fail_async(self, message: str) -> None:
        self._ran()
        raise LookupError(message)

    async def raise_cancelled(self) -> None:
        raise asyncio.CancelledError

    def leave(self) -> None:
        sys.exit(3)

    async def leave_async(self) -> None:
        sys.exit(3)

    @bee_core.nonblocking
    def leave_here(self) -> None:
        sys.exit(3)

    def opaque(self):
        return object()

    def liar(self) -> int:
        return "not a number"  # type: ignore[return-value]  # the point

    def time_left(self) -> float:
        left = bee_core.current_call().time_left
        return -1.0 if left is None else left

    def said(self) -> dict[str, str]:
        return dict(bee_core.current_call().metadata)

    def _ran(self) -> None:
        with self._lock:
            self.runs += 1

    def await_entered(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.entered.acquire(timeout=PATIENCE), "the handler did not begin"

    def await_cancelled(self) -> None:
        assert self.cancelled.acquire(timeout=PATIENCE), (
            "the handler was not told that its caller gave up"
        )


def server_config(**settings: Any) -> dict[str, Any]:
    return {"bee": {"rpc": {"server": {"name": "calc", "address": "127.0.0.1:0", **settings}}}}


def max_size(size: str, **more: str) -> dict[str, Any]:
    """The json codec with a bound of its own."""
    return {"name": "json", "options": {"max_size": size, **more}}


@contextlib.contextmanager
def serving(target: Any, plugins: Any = (), **settings: Any) -> Iterator[Any]:
    """A server in a thread; what still waits in a ``Calculator`` is released at the end."""
    server = bee_core.build_server(server_config(**settings), plugins=plugins)
    server.add(target)
    with server.in_thread():
        try:
            yield server
        finally:
            if isinstance(target, Calculator):
                target.release.set()
