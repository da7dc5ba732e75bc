"""A watch of one service in etcd that misses nothing.

It reads the list, follows its changes, compares now and then, and resumes after a break.

The gateway cannot be asked on a stream how far the stream is. So a watch that says nothing may be
idle or lost. Once a heartbeat another connection asks the same member for the number of keys and
the newest key (:class:`View` says why that is enough). The watch resumes at the next address if
the member does not answer, or if there is news that the watch does not tell in time. It resumes
from the last revision up to which everything is known.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Literal

from bee_plugins.registries.etcd3.http import AnswerTooLargeError, EtcdError
from bee_plugins.registries.etcd3.messages import (
    OUT_OF_RANGE,
    Header,
    KeyValue,
    RangeReply,
    WatchReply,
    end_of,
)
from bee_plugins.registries.etcd3.watch_stream import CompactedError, WatchStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from bee_core.interfaces import Snapshot
    from bee_plugins.registries.etcd3.gateway import Gateway
    from bee_plugins.registries.shared.watched_registry import NodeList

PAGE = 500
"""Keys read at a time: usually some hundred kilobytes, decoded in a few milliseconds."""
_READINGS = 3
"""How often a list is read if etcd compacts it meanwhile."""
_SHORTEST = 0.5
"""Seconds between two comparisons, at least."""
_PAUSE = 0.1
"""Seconds before the second attempt to resume; the first comes at once.

Each pause is twice the one before. A random part, up to a half, is left out, so that not all
clients come at once.
"""

Verdict = Literal["same", "behind", "other"]
"""``same``: everything is known. ``behind``: the watch has yet to tell something. ``other``: this
is not the store that the watch belongs to."""


def shortest_interval(heartbeat: float) -> float:
    """Seconds between two comparisons."""
    return max(_SHORTEST, heartbeat)


class View:
    """What is known of the keys of one service, by reading and by a watch. No I/O; for one task.

    Why a comparison of a count and the newest key is enough: a key that changed after revision W
    has a higher revision than W. So if the newest key's revision is not higher, all keys are known
    as of W. If there are as many keys as are known, none has gone. A store that was emptied and
    filled again counts its revisions anew, so the newest key must also have the lease that is
    known: etcd and this plugin draw the numbers of leases at random.

    Args:
        prefix: Of the keys.
        nodes: Takes the records.

    Attributes:
        prefix: The same.
        nodes: The same.
        revision: Everything that happened up to this revision is known.
    """

    def __init__(self, prefix: bytes, nodes: NodeList) -> None:
        self.prefix = prefix
        self.revision = 0
        self._cluster = 0
        self.nodes = nodes
        self._keys: dict[bytes, tuple[int, int]] = {}  # revision and lease

    def put(self, page: Iterable[KeyValue]) -> None:
        """Keys that were read."""
        for kv in page:
            self._keys[kv.key] = (kv.mod_revision, kv.lease)
            name, is_record = self._name(kv.key)
            if is_record:
                self.nodes.put(name, kv.value, kv.create_revision)
            else:
                self.nodes.skip(name, "is not the key of a record")

    def keep(self, keys: set[bytes], header: Header) -> None:
        """These are all keys as of the revision of ``header``. Other keys have gone."""
        for key in self._keys.keys() - keys:
            self._remove(key)
        self.revision, self._cluster = header.revision, header.cluster_id

    def apply(self, reply: WatchReply) -> None:
        """A message of the watch."""
        for event in reply.events:
            if event.type == "DELETE":
                self._remove(event.kv.key)
            else:
                self.put((event.kv,))
        # A fragment is a part of its revision. The watch must then resume from before it.
        if reply.events and not reply.fragment:
            self.revision = max(self.revision, reply.events[-1].kv.mod_revision)

    def compare(self, now: RangeReply) -> Verdict:
        """Compare with the number of keys and the newest key.

        After ``same``, everything is known up to the revision of ``now``.
        """
        header = now.header
        if header.cluster_id != self._cluster or header.revision < self.revision:
            return "other"
        newest = now.kvs[0] if now.kvs else None
        if newest is not None and newest.mod_revision > self.revision:
            return "behind"
        if now.count != len(self._keys):
            return "behind" if now.count < len(self._keys) else "other"
        if newest is not None and self._keys.get(newest.key) != (newest.mod_revision, newest.lease):
            return "other"
        self.revision = header.revision
        return "same"

    def unchanged(self, header: Header) -> bool:
        """Whether nothing happened in the whole store since the last comparison or event."""
        return header.revision == self.revision and header.cluster_id == self._cluster

    def _remove(self, key: bytes) -> None:
        self._keys.pop(key, None)
        self.nodes.remove(self._name(key)[0])

    def _name(self, key: bytes) -> tuple[str, bool]:
        """The last part of a key, and whether a record may have such a key."""
        name = key[len(self.prefix) :]
        try:
            text = name.decode()
        except UnicodeDecodeError:
            return name.decode(errors="backslashreplace"), False
        return text, bool(text) and "/" not in text


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
        self._interval = shortest_interval(heartbeat)
        self._patience = request_timeout
        self._grace = min(1.0, self._interval)
        self._page = PAGE
        self._known = False
        self._compared = False
        self._due = 0.0
        self._behind_at = -1

    async def snapshots(self) -> AsyncIterator[Snapshot]:  # noqa: PLR0912
        """The list as it is, then each change; and the last list again after each comparison.

        Raises:
            OSError: No address has been of use for a while; TimeoutError if they are silent.
            RegistryError: etcd refuses.
        """
        await self._read()
        first = self._view.nodes.snapshot()
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
                    sound = await self._step(stream)
                    if sound:
                        broken, pause = None, _PAUSE
                except ConnectionRefusedError:  # noqa: PERF203  as in _read
                    raise  # by every member: nothing is there, and that is no matter of patience
                except (OSError, CompactedError) as error:
                    if stream is not None:
                        await stream.close()
                        stream = None
                    self._known = self._known and not isinstance(error, CompactedError)
                    self._compared = False
                    self._due = loop.time()
                    if broken is None:
                        broken = loop.time()
                    elif loop.time() - broken >= self._patience:
                        raise
                    else:
                        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter
                        pause *= 2
                else:
                    snapshot = self._view.nodes.snapshot()
                    if snapshot is None and sound:
                        snapshot = self._view.nodes.last  # nothing new, and that is certain
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

    async def _step(self, stream: WatchStream) -> bool:
        """Take a message, or compare if it is time; True if that shows that the watch is sound."""
        left = self._due - asyncio.get_running_loop().time()
        reply = await stream.next(left) if left > 0 else None  # a watch may never cease to tell
        if reply is None:
            return await self._compare(stream)
        self._view.apply(reply)
        return bool(reply.events)

    async def _compare(self, stream: WatchStream) -> bool:
        view, member = self._view, stream.address
        now = asyncio.get_running_loop().time
        ask = self._gateway.count if self._compared else self._gateway.newest
        at, reply = await ask(view.prefix, first=member, timeout=self._patience)
        unchanged = self._compared and view.unchanged(reply.header)
        if self._compared and not unchanged and at == member:
            at, reply = await self._gateway.newest(view.prefix, first=at, timeout=self._patience)
        if at != member:
            raise TimeoutError(f"{member} is silent, and {at} is not")
        if not unchanged:
            verdict = view.compare(reply)
            if verdict == "other":
                self._known = False
                raise ConnectionError(
                    f"{at} has lost its data, or is of another cluster than before"
                )
            self._compared = verdict == "same"
        if self._compared:
            self._behind_at = -1
            self._due = now() + self._interval
            return True
        if self._behind_at == view.revision:
            raise TimeoutError(f"the watch of {at} says nothing of what has changed")
        # The changes and this answer took different ways. The watch gets time to tell them.
        self._behind_at = view.revision
        self._due = now() + self._grace
        return False

    async def _read(self) -> None:
        """Read the whole list."""
        for again in range(_READINGS):
            try:
                await self._read_pages()
            except EtcdError as error:  # noqa: PERF203  a round trip costs more
                if error.code != OUT_OF_RANGE or again == _READINGS - 1:
                    raise
            else:
                self._known = True
                return

    async def _read_pages(self) -> None:
        view = self._view
        start, end = view.prefix, end_of(view.prefix)
        first = None
        keys: set[bytes] = set()
        while True:
            try:
                reply = await self._gateway.page(
                    start, end, self._page, 0 if first is None else first.revision
                )
            except AnswerTooLargeError:
                if self._page == 1:
                    raise
                self._page = (self._page + 1) // 2  # somebody stores large values here
                continue
            first = first or reply.header
            view.put(reply.kvs)
            keys.update(kv.key for kv in reply.kvs)
            if not reply.more or not reply.kvs:
                break
            start = reply.kvs[-1].key + b"\0"
        view.keep(keys, first)
