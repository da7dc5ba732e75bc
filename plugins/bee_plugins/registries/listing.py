"""One service's list of nodes as a registry tells it: kept up to date piece by piece, handed on as snapshots.

A list may be long and changes one by one, so a change costs what it brings: only a record that is new is parsed, and a snapshot says what changed since the one before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee_core.interfaces import Changes, Snapshot
from bee_plugins.registries.complaints import Complaints
from bee_plugins.registries.records import decode_record
from bee_plugins.registries.safe_names import plain_name, safe_name

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator, Mapping

    from bee_core.interfaces import Node


class Listing:
    """The records of one service by name, the last part of their keys. For one thread.

    A record that cannot be believed is left out, with one warning; so is one that names another id than its key does.

    Args:
        where: Names a record for a warning: its key as a person would look it up.
        revisions: Numbers for snapshots, shared by all listings of a registry object.
        log: Takes the warnings.
        parse: Makes a node of a record and the id that its name says; raises ValueError.
        complaints: What was warned of already, by name, where a list outlives its watches; for ``log``.
    """

    def __init__(
        self,
        where: Callable[[str], str],
        revisions: Iterator[int],
        log: logging.Logger,
        parse: Callable[[bytes, str], Node] = decode_record,
        complaints: Complaints | None = None,
    ) -> None:
        self._where = where
        self._revisions = revisions
        self._complaints = complaints or Complaints(log)
        self._parse = parse
        self._records: dict[str, bytes] = {}
        self._ids: dict[str, str] = {}  # by name
        self._nodes: dict[str, Node] = {}  # by id
        self._rivals: dict[
            str, set[str]
        ] = {}  # by id: names of records that are left out because another has it
        self._put: dict[str, Node] = {}
        self._gone: set[str] = set()
        self._last: Snapshot | None = None

    def __len__(self) -> int:
        """How many records there are, those that are left out too."""
        return len(self._records)

    def put(self, name: str, data: bytes) -> None:
        """A record is new or has changed."""
        if self._records.get(name) == data:
            return
        self._records[name] = data
        before = self._ids.get(name)
        try:
            node = self._parse(data, plain_name(name))
            if safe_name(node.id) != name and node.id != plain_name(name):
                raise ValueError(
                    f"is the record of another id than its key says: {node.id!r}"[:200]
                )
            if node.id != before and node.id in self._nodes:
                self._rivals.setdefault(node.id, set()).add(name)
                raise ValueError(f"has the id of another record: {node.id!r}"[:200])
        except ValueError as error:
            self._complaints.say(name, f"{self._where(name)} {error}; it is skipped")
            self._take_out(name)
            return
        self._complaints.forget(name)
        if before != node.id:
            self._take_out(name)
        if self._nodes.get(node.id) != node:
            self._ids[name] = node.id
            self._nodes[node.id] = self._put[node.id] = node
            self._gone.discard(node.id)

    def remove(self, name: str) -> None:
        """A record has gone."""
        self._records.pop(name, None)
        self._complaints.forget(name)
        self._take_out(name)

    def replace(self, records: Mapping[str, bytes]) -> None:
        """These are all the records there are."""
        for name in self._records.keys() - records.keys():
            self.remove(name)
        for name, data in records.items():
            self.put(name, data)

    def complain(self, name: str, reason: str) -> None:
        """Warn, once, of something under the service's keys that is no record at all."""
        self._complaints.say(name, f"{self._where(name)} {reason}; it is skipped")

    def snapshot(self) -> Snapshot | None:
        """The list as it is now, or None where it is as it was told last."""
        last = self._last
        if last is not None and not self._put and not self._gone:
            return None
        changes = (
            None
            if last is None
            else Changes(last.revision, tuple(self._put.values()), frozenset(self._gone))
        )
        self._put, self._gone = {}, set()
        self._last = Snapshot(
            next(self._revisions), "registry", tuple(self._nodes.values()), changes
        )
        return self._last

    def _take_out(self, name: str) -> None:
        id_ = self._ids.pop(name, None)
        if id_ is not None:
            del self._nodes[id_]
            self._put.pop(id_, None)
            self._gone.add(id_)
            for rival in self._rivals.pop(id_, ()):
                data = self._records.pop(rival, None)
                if data is not None:
                    self.put(rival, data)
