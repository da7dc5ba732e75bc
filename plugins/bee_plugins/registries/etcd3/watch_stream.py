"""The stream of a watch on etcd's JSON gateway: lines of JSON that may come at any time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import httpx
import msgspec

from bee_plugins.registries.etcd3.http import EtcdError, classed, close_response
from bee_plugins.registries.etcd3.messages import (
    OUT_OF_RANGE,
    PERMISSION_DENIED,
    UNAUTHENTICATED,
    WatchLine,
    WatchReply,
    read_stream_error,
)
from bee_plugins.registries.shared.node_record import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterator


LARGEST_LINE = 32 << 20
"""Bytes of a line. etcd cuts messages to about 2 MiB on request, but never within a value.

base64 adds a third.
"""

_ENDING = 1.0
"""Seconds that a read may take to end after it was cancelled."""


class CompactedError(EtcdError):
    """etcd no longer has the wanted revisions: the keys can be read, their history cannot."""

    def __init__(self, address: str) -> None:
        super().__init__(
            address, OUT_OF_RANGE, "the revisions since the last change seen were compacted"
        )


class Lines:
    """Cuts a stream into lines; its chunks may end anywhere. Does no I/O.

    Args:
        largest: Bytes that a line may have.
    """

    def __init__(self, largest: int = LARGEST_LINE) -> None:
        self._largest = largest
        self._open = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that end in a chunk.

        Raises:
            ValueError: A line is too long.
        """
        for piece in chunk.splitlines(keepends=True):
            self._open += piece
            if len(self._open) > self._largest:
                raise ValueError(f"a message is larger than {self._largest} bytes")
            if piece.endswith(b"\n"):
                line, self._open = self._open, bytearray()
                if line.strip():
                    yield bytes(line[:-1])


_decoder = msgspec.json.Decoder(WatchLine, strict=False)


class WatchStream:
    """The messages of one watch. For one task.

    Args:
        address: The member that sends it.
        response: Begun, not read.
    """

    def __init__(self, address: str, response: httpx.Response) -> None:
        self.address = address
        self._response = response
        self._chunks = response.aiter_raw()
        self._lines = Lines()
        self._told: deque[WatchReply] = deque()
        # One read lasts over several calls of `next`: cancelling it would close the connection.
        self._reading: asyncio.Future[bytes] | None = None

    async def next(self, timeout: float) -> WatchReply | None:
        """The next message, or None if none comes within ``timeout`` seconds.

        Raises:
            CompactedError: etcd no longer has the wanted revisions.
            EtcdError: etcd does not permit the watch.
            OSError: The watch has ended, or says what is no message; it may succeed elsewhere.
        """
        while not self._told:
            if self._reading is None:
                self._reading = asyncio.ensure_future(anext(self._chunks))
            await asyncio.wait((self._reading,), timeout=max(0.0, timeout))
            if not self._reading.done():
                return None
            reading, self._reading = self._reading, None
            self._take(_chunk(reading, self.address))
        return self._checked(self._told.popleft())

    async def close(self) -> None:
        """End the watch. Bounded, never raises."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait((reading,), timeout=_ENDING)
            if reading.done() and not reading.cancelled():
                reading.exception()  # marks it as seen; nobody needs it
        await close_response(self._response)

    def _take(self, chunk: bytes) -> None:
        try:
            for text in self._lines.feed(chunk):
                line = _decoder.decode(text)
                if line.error is not None:
                    raise classed(self.address, *read_stream_error(line.error))
                if line.result is not None:
                    self._told.append(line.result)
        except UNREADABLE as error:
            raise ConnectionError(
                f"the watch of {self.address} is not one of etcd's JSON gateway: {error}"
            ) from error

    def _checked(self, reply: WatchReply) -> WatchReply:
        if not reply.canceled:
            return reply
        if reply.compact_revision:
            raise CompactedError(self.address)
        reason = reply.cancel_reason or "no reason given"
        if "permission denied" in reason:
            raise EtcdError(self.address, PERMISSION_DENIED, "etcdserver: permission denied")
        if "invalid auth token" in reason:
            raise EtcdError(self.address, UNAUTHENTICATED, "etcdserver: invalid auth token")
        raise ConnectionError(f"{self.address} has ended the watch: {reason}")


def _chunk(reading: asyncio.Future[bytes], address: str) -> bytes:
    try:
        return reading.result()
    except StopAsyncIteration:
        raise ConnectionError(f"{address} has ended the watch") from None
    except httpx.TransportError as error:
        said = str(error) or "the connection was lost"
        raise ConnectionError(f"the watch of {address} broke: {said}") from error
    except (httpx.StreamError, asyncio.CancelledError) as error:  # it was closed meanwhile
        raise ConnectionError(f"the watch of {address} was closed") from error
