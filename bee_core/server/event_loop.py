"""The event loop of a server: which one, how it ends, and on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The fastest loop there is: uvloop where it is installed.

    It is imported here, so that a process that only forks workers never touches it.
    """
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left on it, and close it."""
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


class _Startable(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


S = TypeVar("S", bound=_Startable)


@contextlib.contextmanager
def serve_in_thread(server: S, name: str) -> Iterator[S]:
    """Start a server on a new thread with a loop of its own; stop it when the block ends.

    Args:
        server: Not started.
        name: For the thread's name.

    Raises:
        OSError: An address cannot be listened on.
    """
    loop = new_event_loop()
    stopping = asyncio.Event()
    started = threading.Event()
    failed: list[BaseException] = []

    async def serve() -> None:
        try:
            await server.start()
        except BaseException as error:
            failed.append(error)
            return
        finally:
            started.set()
        await stopping.wait()
        await server.stop()

    def work() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:  # handed to the thread that waits
            failed.append(error)
        finally:
            close_loop(loop)

    thread = threading.Thread(target=work, name=f"bee-server-{name}", daemon=True)
    thread.start()
    started.wait()
    try:
        if not failed:
            yield server
    finally:
        if not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it closed in this very moment
                loop.call_soon_threadsafe(stopping.set)
        thread.join()
    if failed:
        raise failed[0]
