"""What is the same in every registry that is watched: lists of nodes, leases, refusals.

The nodes of a service are updated record by record. A list may be long and changes one record at
a time, so the cost of a change depends on the change alone: only new records are parsed, and a
snapshot says what changed since the last one.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections import defaultdict
from typing import TYPE_CHECKING

from bee_core.errors import IdTaken, LeaseLost, RegistryError
from bee_core.interfaces import (
    Changes,
    Instance,
    Node,
    Reach,
    RegistrySettings,
    Snapshot,
    printable,
)
from bee_plugins.registries.shared.node_record import (
    decode_record,
    encode_record,
    plain_name,
    safe_name,
)

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator, Mapping


BEATS = 3
"""Heartbeats that a lease lasts: two may be lost."""

REPLACED = "it was registered again"
"""Why a lease is over if the same object has registered the same id again."""
REVOKED = "it was revoked"
"""Why a lease is over if the server has left."""
_OR_ELSE = "or start this server anew: it then draws another id"


class WarnOnce:
    """Logs each problem once, and once more if it goes away and comes back. Not thread-safe.

    Args:
        log: Takes the warnings.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: dict[str, str] = {}

    def warn(self, subject: str, text: str) -> None:
        """Log a problem of a subject (a file's name, a key), unless it was logged already."""
        if self._said.get(subject) != text:
            self._said[subject] = text
            self._log.warning("%s", printable(text))

    def forget(self, subject: str) -> None:
        """The subject's problem is gone."""
        self._said.pop(subject, None)

    def replace(self, problems: Mapping[str, str]) -> None:
        """These are all problems of now, by subject. Every other problem is gone."""
        for subject, text in problems.items():
            self.warn(subject, text)
        self._said = dict(problems)


class NodeList:
    """The records of one service, by name (the last part of their keys). Not thread-safe.

    A record that is malformed is left out, with one warning. So is a record whose id differs from
    the id in its key. Of nodes with one url the newest is listed last.

    Args:
        where: Makes the full key of a name, for warnings.
        revisions: Numbers for snapshots. All lists of a registry object share them.
        warnings: Takes the warnings, by name. It may outlive this list.
        parse: Makes a node from a record and the id in its key; raises ValueError.

    Attributes:
        last: The last snapshot that was made, to be given again as a confirmation; None before.
    """

    def __init__(
        self,
        where: Callable[[str], str],
        revisions: Iterator[int],
        warnings: WarnOnce,
        parse: Callable[[bytes, str], Node] = decode_record,
    ) -> None:
        self._where = where
        self._revisions = revisions
        self._warnings = warnings
        self._parse = parse
        self._records: dict[str, tuple[bytes, int]] = {}  # with their births
        self._ids: dict[str, str] = {}  # by name
        self._nodes: dict[str, Node] = {}  # by id
        self._births: dict[str, int] = {}  # by id
        self._at: dict[str, list[str]] = {}  # by url, the ids of its nodes, the newest last
        # By id: names of records that are left out because another record has the same id.
        self._rivals: dict[str, set[str]] = {}
        self._put: dict[str, Node] = {}
        self._gone: set[str] = set()
        self.last: Snapshot | None = None

    def __len__(self) -> int:
        """The number of records, with those that are left out."""
        return len(self._records)

    def put(self, name: str, data: bytes, born: int = 0) -> None:
        """A record is new or has changed.

        Args:
            name: Its name.
            data: The record.
            born: When it was made, by a count that grows; a record that was removed and is there
                again is made anew.
        """
        if self._records.get(name) == (data, born):
            return
        self._records[name] = data, born
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
            self.skip(name, str(error))
            self._take_out(name)
            return
        self._warnings.forget(name)
        if before != node.id:
            self._take_out(name)
        if self._nodes.get(node.id) != node or self._births[node.id] != born:
            self._ids[name] = node.id
            self._place(node, born)
            self._put[node.id] = node
            self._gone.discard(node.id)

    def remove(self, name: str) -> None:
        """A record has gone."""
        self._records.pop(name, None)
        self._warnings.forget(name)
        self._take_out(name)

    def replace(self, records: Mapping[str, tuple[bytes, int]]) -> None:
        """These are all records of now, with their births."""
        for name in self._records.keys() - records.keys():
            self.remove(name)
        for name, (data, born) in records.items():
            self.put(name, data, born)

    def skip(self, name: str, reason: str) -> None:
        """Warn, once, that a name is left out; ``reason`` follows the name in the message."""
        self._warnings.warn(name, f"{self._where(name)} {reason}; it is skipped")

    def snapshot(self) -> Snapshot | None:
        """The list of now, or None if nothing changed since the last snapshot."""
        last = self.last
        changes = None
        if last is not None:
            if not self._put and not self._gone:
                return None
            changes = Changes(last.revision, tuple(self._put.values()), frozenset(self._gone))
        self._put, self._gone = {}, set()
        nodes = tuple(self._nodes.values())
        self.last = Snapshot(next(self._revisions), "registry", nodes, changes)
        return self.last

    def _place(self, node: Node, born: int) -> None:
        before = self._nodes.get(node.id)
        if before is not None and before.url != node.url:
            self._leave(before)
        self._nodes[node.id], self._births[node.id] = node, born
        there = self._at.setdefault(node.url, [])
        if node.id not in there:
            there.append(node.id)
        if len(there) > 1:
            there.sort(key=self._births.__getitem__)
            for id_ in there:
                self._nodes[id_] = self._nodes.pop(id_)  # to the end

    def _leave(self, node: Node) -> None:
        there = self._at[node.url]
        there.remove(node.id)
        if not there:
            del self._at[node.url]

    def _take_out(self, name: str) -> None:
        id_ = self._ids.pop(name, None)
        if id_ is not None:
            self._leave(self._nodes.pop(id_))
            del self._births[id_]
            self._put.pop(id_, None)
            self._gone.add(id_)
            for rival in self._rivals.pop(id_, ()):
                record = self._records.pop(rival, None)
                if record is not None:
                    self.put(rival, *record)


class WatchedRegistry:
    """The base of a registry that must be asked for its nodes.

    Args:
        settings: As the registry's factory gets them.
        log: Takes warnings about records. Each is logged once, also when a watch starts anew.
    """

    reach: Reach = "network"

    def __init__(self, settings: RegistrySettings, log: logging.Logger) -> None:
        self._ttl = BEATS * settings.heartbeat_interval
        self._revisions = itertools.count(1)
        self._warnings: defaultdict[str, WarnOnce] = defaultdict(lambda: WarnOnce(log))

    def known(self, service: str, addresses: tuple[Node, ...]) -> Snapshot | None:
        """See :meth:`bee_core.interfaces.Registry.known`. Without asking, nothing is known."""
        return None

    def _node_list(self, service: str, where: Callable[[str], str]) -> NodeList:
        """An empty list of a service's nodes; for the arguments see :class:`NodeList`."""
        return NodeList(where, self._revisions, self._warnings[service])


class WatchedLease:
    """The base of a lease that counts as lost for good once it is found lost.

    Args:
        ttl: Seconds that it outlives its last renewal.
        name: For messages.

    Attributes:
        ttl: The same.
        over: Why it is over; empty while it may live.
    """

    def __init__(self, ttl: float, name: str) -> None:
        self.ttl = ttl
        self.over = ""
        self._name = name

    async def renew(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.renew`.

        Raises:
            LeaseLost: It is over; register again.
            IdTaken: It is over because another server that lives has the id.
            OSError: The registry is out of reach; TimeoutError if it is silent.
        """
        reason = self.over or await self._renew()
        self.over = self.over or reason  # it may have been replaced meanwhile
        if self.over:
            raise LeaseLost(f"the registration of {self._name} has gone: {self.over}")

    @abstractmethod
    async def _renew(self) -> str:
        """Renew it, or say why it is over; raises :meth:`taken`."""

    def taken(self, holder: str) -> IdTaken:
        """It is over, since another server has the id; the error that says so."""
        self.over = self.over or f"{holder} has registered its id and lives"
        reason = f"{self.over}; stop it, {_OR_ELSE}"
        return IdTaken(f"the registration of {self._name} has gone: {reason}")


def title(instance: Instance) -> str:
    """What messages call an instance."""
    return f"{instance.service} at {instance.node.url}"


def record_of(instance: Instance) -> bytes:
    """The record to register.

    Raises:
        RegistryError: Readers would not accept it.
    """
    try:
        return encode_record(instance.node)
    except ValueError as error:
        raise refused(instance, f"its record {error}") from error


def refused(instance: Instance, reason: str) -> RegistryError:
    """The error for a registration that is refused."""
    return RegistryError(_refusal(instance, reason))


def id_taken(instance: Instance, holder: str, advice: str = "stop it") -> IdTaken:
    """The error for a registration whose id another server has."""
    reason = f"{holder} has registered the id {instance.node.id!r} and lives; {advice}"
    return IdTaken(_refusal(instance, f"{reason}, {_OR_ELSE}"))


def _refusal(instance: Instance, reason: str) -> str:
    return f"{title(instance)} cannot be registered: {reason}"
