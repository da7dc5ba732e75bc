"""A connection to one of several addresses, as RFC 8305 ("Happy Eyeballs") says.

The families take turns. An attempt starts when the one before has failed, or 250 ms after it began.
The first connection wins and the others are closed. So an address that drops packets costs 250 ms
and not the whole connect_timeout.

The race itself does not wait. Two short drivers do: :func:`connect` and :func:`connect_async`.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import deque
from itertools import zip_longest
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .name_lookup import Found

    Prepare = Callable[[socket.socket], None]

DELAY = 0.25
"""Seconds between two attempts: the "Connection Attempt Delay" that RFC 8305 recommends."""


class AddressRace:
    """The attempts of one dial. It starts and ends them; the caller waits.

    Args:
        found: The addresses, in the order of preference.
        prepare: Sets the options of a socket that is connected. It may refuse the socket with an
            OSError.

    Attributes:
        connecting: The attempts under way, by descriptor.
        error: The first error: the preferred address says best what is wrong.
    """

    def __init__(self, found: Found, prepare: Prepare) -> None:
        families: dict[int, list[Any]] = {}
        for entry in found:
            families.setdefault(entry[0], []).append(entry)
        turns = zip_longest(*families.values())
        self._left = deque(entry for turn in turns for entry in turn if entry is not None)
        self._prepare = prepare
        self._next_at = 0.0
        self.connecting: dict[int, socket.socket] = {}
        self.error: OSError | None = None
        if not found:
            self.error = ConnectionRefusedError(errno.ECONNREFUSED, "the name has no address")

    def begin(self, now: float) -> socket.socket | None:
        """Start what is due. Returns a connection that is there at once."""
        while self._left and (now >= self._next_at or not self.connecting):
            family, kind, proto, _, place = self._left.popleft()
            self._next_at = now + DELAY
            try:
                sock = socket.socket(family, kind, proto)
            except OSError as error:  # no descriptor, or the system does not have this family
                self.error = self.error or error
                continue
            sock.setblocking(False)
            self.connecting[sock.fileno()] = sock
            code = sock.connect_ex(place)
            if code not in {errno.EINPROGRESS, errno.EWOULDBLOCK} and (
                won := self._end(sock, code)
            ):
                return won
        return None

    def settle(self, descriptor: int) -> socket.socket | None:
        """An attempt has ended. Returns the connection, or None if it failed."""
        sock = self.connecting.get(descriptor)
        if sock is None:
            return None
        return self._end(sock, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _end(self, sock: socket.socket, code: int) -> socket.socket | None:
        del self.connecting[sock.fileno()]
        try:
            if code:
                raise OSError(code, os.strerror(code))
            self._prepare(sock)
        except OSError as error:
            sock.close()
            self.error = self.error or error
            return None
        return sock

    def pause(self, now: float) -> float | None:
        """Seconds until the next attempt is due, or None when there is no other address."""
        return max(0.0, self._next_at - now) if self._left else None

    def check(self) -> None:
        """Raise the first error if no attempt is left."""
        if not self._left and not self.connecting and self.error is not None:
            raise self.error

    def close(self) -> None:
        """Close the attempts that have not won."""
        for sock in self.connecting.values():
            sock.close()
        self.connecting.clear()


def connect(found: Found, prepare: Prepare, until: float) -> socket.socket:
    """The first connection. Blocks until ``until``, a moment of ``time.monotonic``.

    Raises:
        TimeoutError: The time is over.
        OSError: No address can be connected to.
    """
    race = AddressRace(found, prepare)
    try:
        while True:
            now = time.monotonic()
            if now >= until:
                raise TimeoutError
            won = race.begin(now)
            if won is not None:
                return won
            race.check()
            poll = select.poll()
            for descriptor in race.connecting:
                poll.register(descriptor, select.POLLOUT)
            pause = race.pause(now)
            left = until - now if pause is None else min(pause, until - now)
            for descriptor, _ in poll.poll(ceil(left * 1000)):
                won = race.settle(descriptor)
                if won is not None:
                    return won
    finally:
        race.close()


async def connect_async(found: Found, prepare: Prepare) -> socket.socket:
    """The first connection, on the running loop. The caller bounds the time.

    Raises:
        OSError: No address can be connected to.
    """
    import asyncio  # a blocking client does without

    loop = asyncio.get_running_loop()
    race = AddressRace(found, prepare)
    watched: set[int] = set()
    ended: asyncio.Queue[int] = asyncio.Queue()

    def end(descriptor: int) -> None:
        watched.discard(descriptor)
        loop.remove_writer(descriptor)
        ended.put_nowait(descriptor)

    try:
        while True:
            won = race.begin(loop.time())
            if won is not None:
                return won
            race.check()
            for descriptor in race.connecting.keys() - watched:
                watched.add(descriptor)
                loop.add_writer(descriptor, end, descriptor)
            try:
                pause = race.pause(loop.time())
                won = race.settle(await asyncio.wait_for(ended.get(), pause))
            except (TimeoutError, asyncio.TimeoutError):
                continue  # the next address is due
            if won is not None:
                return won
    finally:
        for descriptor in watched:
            loop.remove_writer(descriptor)
        race.close()
