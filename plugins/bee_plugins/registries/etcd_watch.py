"""A watch of one service in etcd that misses nothing: read, followed, compared now and then, resumed where it broke.

The gateway cannot be asked on a stream how far the stream is, so a watch that says nothing may be idle or lost. Once a heartbeat the member that tells the watch is therefore asked on
another connection for the number of keys and the newest one (``etcd_view`` says why that is enough). No answer, or news of which the watch says nothing although it
has had time, and the watch is resumed at the next address from the revision up to which everything is known.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Literal

from bee_plugins.registries.etcd_http import AnswerTooLargeError, EtcdError
from bee_plugins.registries.etcd_messages import OUT_OF_RANGE, end_of
from bee_plugins.registries.etcd_stream import CompactedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bee_core.interfaces import Snapshot
    from bee_plugins.registries.etcd_gateway import Gateway
    from bee_plugins.registries.etcd_stream import WatchStream
    from bee_plugins.registries.etcd_view import View

PAGE = 500
"""Keys read at a time: with records as they are, some hundred kilobytes, which are decoded in a few milliseconds."""
_READINGS = 3
"""How often a list is read that is compacted meanwhile."""
_SHORTEST = 0.5
"""Seconds between two comparisons, at least."""
_PAUSE = 0.1
"""Seconds before the second attempt to resume; the first is made at once. Doubled each time, and drawn from its half to its whole, so that not all come at once."""


class EtcdWatch:
    """One watch. For one task.

    Args:
        gateway: etcd.
        view: What is known; empty.
        heartbeat: Seconds between two comparisons.
        request_timeout: Seconds that one request may take.
    """

    def __init__(
        self, gateway: Gateway, view: View, heartbeat: float, request_timeout: float
    ) -> None:
        self._gateway = gateway
        self._view = view
        self._interval = max(_SHORTEST, heartbeat)
        # A watch is given up after: interval + patience (no answer) + patience (resuming). With leases of three heartbeats that is less than one, unless they are of seconds.
        self._patience = min(request_timeout, max(1.0, heartbeat))
        self._grace = min(1.0, self._interval)
        self._page = PAGE
        self._known = False
        self._compared = False
        self._due = 0.0
        self._behind_at = -1

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """The list as it is, then each change.

        Raises:
            OSError: No address is of use, and was not for a while; TimeoutError where they are silent.
            RegistryError: etcd refuses.
        """
        await self._read()
        first = self._view.snapshot()
        if first is not None:
            yield first
        loop = asyncio.get_running_loop()
        self._due = loop.time() + self._interval
        stream: WatchStream | None = None
        broken: float | None = None  # since when
        pause = _PAUSE
        try:
            while True:
                try:
                    if stream is None:
                        stream = await self._begin()
                    if await self._step(stream) == "sound":
                        broken, pause = None, _PAUSE
                except (OSError, CompactedError) as error:
                    if stream is not None:
                        await stream.close()
                        stream = None
                    self._known = self._known and not isinstance(error, CompactedError)
                    self._compared = False
                    self._due = loop.time()
                    if broken is None:
                        broken = loop.time()
                        continue
                    if loop.time() - broken >= self._patience:
                        raise
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, not secrets
                    pause *= 2
                    continue
                snapshot = self._view.snapshot()
                if snapshot is not None:
                    yield snapshot
        finally:
            if stream is not None:
                await stream.close()

    async def _begin(self) -> WatchStream:
        if not self._known:
            await self._read()
        self._behind_at = -1
        return await self._gateway.watch(self._view.prefix, self._view.revision + 1, self._patience)

    async def _step(self, stream: WatchStream) -> Literal["sound", "open"]:
        """Take a message, or compare when it is time to."""
        reply = await stream.next(self._due - asyncio.get_running_loop().time())
        if reply is None:
            return await self._compare(stream)
        self._view.apply(reply)
        return "sound" if reply.events else "open"

    async def _compare(self, stream: WatchStream) -> Literal["sound", "open"]:
        view, prefix, patience = self._view, self._view.prefix, self._patience
        loop = asyncio.get_running_loop()
        if self._compared and view.unchanged(
            (await self._gateway.count(prefix, at=stream.address, timeout=patience)).header
        ):
            self._due = loop.time() + self._interval
            return "sound"
        verdict = view.compare(
            await self._gateway.newest(prefix, at=stream.address, timeout=patience)
        )
        if verdict == "other":
            self._known = False
            raise ConnectionError(
                f"{stream.address} has lost its data, or is of another cluster than before"
            )
        self._compared = verdict == "same"
        if verdict == "same":
            self._behind_at = -1
            self._due = loop.time() + self._interval
            return "sound"
        if self._behind_at == view.revision:
            raise TimeoutError(f"the watch of {stream.address} says nothing of what has changed")
        # Changes and this answer came by different ways: the watch is given time to tell of them.
        self._behind_at = view.revision
        self._due = loop.time() + self._grace
        return "open"

    async def _read(self) -> None:
        """Read the whole list."""
        for again in range(_READINGS):
            try:
                await self._read_pages()
            except EtcdError as error:  # noqa: PERF203  a round trip is dearer
                if error.code != OUT_OF_RANGE or again == _READINGS - 1:
                    raise
            else:
                self._known = True
                return

    async def _read_pages(self) -> None:
        view = self._view
        start, end = view.prefix, end_of(view.prefix)
        first = None
        view.begin()
        while True:
            try:
                reply = await self._gateway.page(
                    start, end, self._page, 0 if first is None else first.revision
                )
            except AnswerTooLargeError:
                if self._page == 1:
                    raise
                self._page = (self._page + 1) // 2  # somebody keeps large values here
                continue
            first = first or reply.header
            view.add(reply.kvs)
            if not reply.more or not reply.kvs:
                break
            start = reply.kvs[-1].key + b"\0"
        view.finish(first)
