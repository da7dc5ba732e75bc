"""What a watch knows of the keys of one service, and whether that is all there is to know. Sans-I/O.

Why a comparison of so little can tell: among the keys that are there now, one that has changed since revision W has a higher revision than W, so if the newest of them has not, all were known at W;
and if there are as many as are known, none has gone. A store that was emptied and filled again counts its revisions anew, so the newest key must also be the one that is
known, by the lease that is known: etcd and this plugin draw the numbers of leases at random.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bee_core.interfaces import Snapshot
    from bee_plugins.registries.etcd_messages import Header, KeyValue, RangeReply, WatchReply
    from bee_plugins.registries.listing import Listing

Verdict = Literal["same", "behind", "other"]
"""``same``: all is known. ``behind``: something has happened of which the watch has not told yet. ``other``: this is not the store that the watch was told of."""


class View:
    """The keys of one service as they were read and as a watch changed them. For one task.

    Args:
        prefix: Of the keys.
        listing: Takes the records.

    Attributes:
        prefix: The same.
        revision: Up to which everything that happened to the keys is known.
    """

    def __init__(self, prefix: bytes, listing: Listing) -> None:
        self.prefix = prefix
        self.revision = 0
        self._cluster = 0
        self._listing = listing
        self._keys: dict[bytes, tuple[int, int]] = {}  # revision and lease
        self._read: set[bytes] = set()

    def begin(self) -> None:
        """The keys are going to be read, page by page."""
        self._read = set()

    def add(self, page: Iterable[KeyValue]) -> None:
        """A page of them."""
        for kv in page:
            self._read.add(kv.key)
            self._put(kv)

    def finish(self, header: Header) -> None:
        """That was all of them, as of the revision of ``header``. Others have gone."""
        for key in self._keys.keys() - self._read:
            self._remove(key)
        self._read = set()
        self.revision, self._cluster = header.revision, header.cluster_id

    def apply(self, reply: WatchReply) -> None:
        """A message of the watch."""
        for event in reply.events:
            if event.type == "DELETE":
                self._remove(event.kv.key)
            else:
                self._put(event.kv)
        # While there is more to come of a revision, the watch would have to be resumed from before it.
        if reply.events and not reply.fragment:
            self.revision = max(self.revision, reply.events[-1].kv.mod_revision)

    def compare(self, now: RangeReply) -> Verdict:
        """What a reading of the number of keys and the newest of them says of what is known. When it is the same, all is known up to the revision of that reading."""
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
        """Whether nothing at all has happened in the store since the last comparison or event."""
        return header.revision == self.revision and header.cluster_id == self._cluster

    def snapshot(self) -> Snapshot | None:
        """The list, where it is another than the last one that was taken."""
        return self._listing.snapshot()

    def _put(self, kv: KeyValue) -> None:
        self._keys[kv.key] = (kv.mod_revision, kv.lease)
        name, record = self._name(kv.key)
        if record:
            self._listing.put(name, kv.value)
        else:
            self._listing.complain(name, "is not the key of a record")

    def _remove(self, key: bytes) -> None:
        self._keys.pop(key, None)
        self._listing.remove(self._name(key)[0])

    def _name(self, key: bytes) -> tuple[str, bool]:
        """The last part of a key, and whether it can be a record's."""
        name = key[len(self.prefix) :]
        try:
            text = name.decode()
        except UnicodeDecodeError:
            return name.decode(errors="backslashreplace"), False
        return text, bool(text) and "/" not in text
