"""The addresses of a name. The system's resolver takes no timeout and may need half a minute.

So a thread looks the name up, and is left behind when the caller's time is over. All who want the
same name meanwhile share that thread. So a resolver that hangs costs one thread a name, and not one
a call. Nothing is kept: the next connection asks anew. A literal address needs no thread.
"""

from __future__ import annotations

import errno
import os
import socket
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future

Found = list[Any]
"""What ``socket.getaddrinfo`` returns."""

_under_way: dict[tuple[int, str, int], Future[Found]] = {}
"""By process, host and port. A forked child does not wait for a thread of its parent."""


def resolve(host: str, port: int, timeout: float) -> Found:
    """The addresses of a name within ``timeout`` seconds. Blocks.

    Raises:
        TimeoutError: The name was not resolved in time.
        OSError: There is no such name, or no thread can be started.
    """
    found = _literal(host, port)
    if found is not None:
        return found
    from concurrent.futures import TimeoutError as FutureTimeout

    try:
        return _look_up(host, port).result(timeout)
    except FutureTimeout:
        raise TimeoutError(f"the name {host} was not resolved in time") from None


async def resolve_async(host: str, port: int) -> Found:
    """The same on the running loop, without the thread pool of the loop. The caller bounds it.

    Raises:
        OSError: There is no such name, or no thread can be started.
    """
    found = _literal(host, port)
    if found is not None:
        return found
    import asyncio

    return await asyncio.wrap_future(_look_up(host, port))


def _literal(host: str, port: int) -> Found | None:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return None  # a name


def _look_up(host: str, port: int) -> Future[Found]:
    from concurrent.futures import Future  # asyncio's: an address needs neither

    key = os.getpid(), host, port
    own: Future[Found] = Future()
    # From now on it cannot be cancelled: one caller who gives up must not end the others' wait.
    own.set_running_or_notify_cancel()
    shared = _under_way.setdefault(key, own)  # one operation, so it takes no lock
    if shared is not own:
        return shared

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except Exception as error:
            del _under_way[key]
            own.set_exception(error)
        else:
            del _under_way[key]
            own.set_result(found)

    try:
        Thread(target=look_up, name=f"bee-resolve-{host}", daemon=True).start()
    except RuntimeError as error:
        del _under_way[key]
        own.set_exception(OSError(errno.EAGAIN, f"the name {host} cannot be looked up: {error}"))
    return own
