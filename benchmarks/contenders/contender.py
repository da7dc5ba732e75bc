"""The one shape that all contenders have.

A contender is a library as its own documentation recommends it: a server that echoes, a blocking
client and an asyncio client, as far as the library has them. Its server runs in a process of its
own, and so do its callers (``worker.py``). Libraries are imported inside the methods only, so that
the other processes never load them.
"""

from __future__ import annotations

import importlib.util
import socket
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    Ready = Callable[[int], None]
    Call = Callable[[], object]
    AsyncCall = Callable[[], Awaitable[object]]
    Calls = AbstractContextManager[list[Call]]
    AsyncCalls = AbstractAsyncContextManager[list[AsyncCall]]


class Contender(ABC):
    """One library, or one way to configure it.

    A contender has one of these methods, or both::

        def open(self, port: int, size: int, count: int) -> Calls
        def open_async(self, port: int, size: int, count: int) -> AsyncCalls

    Each connects, and gives calls without arguments for so many threads or tasks. A library whose
    client serves many callers gives the same call to all; one whose connection is for one caller
    gives a connection to each.

    Attributes:
        title: What tables and pictures call it.
        setup: How it is configured, for the page; one line.
        needs: Modules without which it is left out.
        uvloop: Whether its asyncio client runs on uvloop; on asyncio's own loop otherwise.
        environment: Variables of both its processes.
        sizes: Sizes that it can send; None for all of them.
    """

    title: str
    setup: str
    needs: ClassVar[tuple[str, ...]] = ()
    uvloop: bool = True
    environment: ClassVar[dict[str, str]] = {}
    sizes: ClassVar[frozenset[int] | None] = None

    @abstractmethod
    def serve(self, ready: Ready) -> None:
        """Serve on 127.0.0.1 until the process ends; call ``ready`` with the port."""

    def left_out(self) -> str | None:
        """Why it cannot run here, or None."""
        for module in self.needs:
            try:
                found = importlib.util.find_spec(module)
            except ModuleNotFoundError:
                found = None
            if found is None:
                return f"the module {module} is not installed: pip install 'bee-rpc[bench]'"
        return None

    def runs(self, kind: str) -> bool:
        """Whether it has a client of this kind, ``blocking`` or ``asyncio``."""
        return hasattr(self, "open" if kind == "blocking" else "open_async")

    def sends(self, size: int) -> bool:
        """Whether a load of this size can be measured with it."""
        return self.sizes is None or size in self.sizes


def field_values(line: Any) -> dict[str, Any]:
    """The record with its lines made by a class of the library."""
    from ..payloads import RECORD

    return {**RECORD, "lines": [line(**one) for one in RECORD["lines"]]}


def free_port() -> int:
    """A port for libraries that do not say which one the system gave them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def when_open(port: int, ready: Ready) -> None:
    """Call ``ready`` from a thread once something listens there; give up after 30 s."""

    def watch() -> None:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                ready(port)
                return

    threading.Thread(target=watch, daemon=True).start()
