"""A node as a service instance in Consul, and a service's instances as nodes.

An instance that bee registers holds all fields of a node: address, port and tags in Consul's own
fields, where everybody looks for them, and the rest in ``Meta``. An instance of another program
needs no more than a port. Consul always sends the whole list of a service. So instances are
compared by their bytes, and only changed ones are read.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bee_core.interfaces import Node, parse
from bee_plugins.registries.consul.answers import ID, OWNER, URL, Machine, Service
from bee_plugins.registries.shared.node_record import (
    UNREADABLE,
    NodeRecord,
    by_scheme,
    fields_of,
    make_node,
    plain_name,
    safe_name,
)
from bee_plugins.registries.shared.watched_registry import NodeList, WarnOnce

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bee_core.interfaces import Snapshot


_LONGEST_VALUE = 512
"""Bytes, Consul's limit for a value of Meta."""


class _Entry(msgspec.Struct):
    service: Service = msgspec.field(name="Service")
    machine: Machine = msgspec.field(name="Node", default_factory=Machine)

    @property
    def meta(self) -> dict[str, str]:
        return self.service.meta or {}

    @property
    def id(self) -> str:
        """The node's id. An instance's own id is unique on its agent only."""
        return self.meta.get(ID) or f"{self.service.id}@{self.machine.name}"


decoder = msgspec.json.Decoder(_Entry)
_addresses = msgspec.json.Decoder(dict[str, str])


def _read(data: bytes) -> _Entry | None:
    try:
        return decoder.decode(data)
    except UNREADABLE:
        return None


def registration(name: str, id_: str, node: Node, owner: str) -> dict[str, Any]:
    """The arguments of py-consul's ``agent.service.register`` for a node, without its check.

    Raises:
        ValueError: Consul or readers would not accept it. The message continues a sentence that
            begins with "its registration".
    """
    NodeRecord(**fields_of(node)).node()
    stated = {
        OWNER: owner,
        ID: node.id,
        URL: node.url,
        "weight": repr(node.weight),
        "workers": str(node.workers),
        "version": node.version,
        "zone": node.zone,
        "addresses": msgspec.json.encode(by_scheme(node)).decode() if node.addresses else None,
    }
    meta = {key: value for key, value in stated.items() if value is not None}
    for key, value in meta.items():
        size = len(value.encode())
        if size > _LONGEST_VALUE:
            raise ValueError(
                f"has a value for {key} of {size} bytes, and Consul takes {_LONGEST_VALUE}"
            )
    tags = sorted(node.tags)
    "".join(tags).encode()  # raises if JSON cannot hold them
    address = parse(node.url)
    reachable = address.port is not None
    return {
        "name": name,
        "service_id": id_,
        "address": address.host if reachable else None,
        "port": address.port if reachable else None,
        "tags": tags,
        "meta": meta,
    }


class EntryList(NodeList):
    """The instances of one service as Consul told them last. Not thread-safe.

    Args:
        name: The service's name in Consul.
        where: Names Consul for warnings.
        revisions: As in :class:`NodeList`.
        warnings: As in :class:`NodeList`.
    """

    def __init__(self, name: str, where: str, revisions: Iterator[int], warnings: WarnOnce) -> None:
        def full_name(listed: str) -> str:
            return f"the instance {plain_name(listed)} of {name} in {where}"

        super().__init__(full_name, revisions, warnings, self._node)
        self._name = name
        self._known: dict[bytes, _Known] = {}  # by entry
        self._latest: Snapshot

    def take(self, entries: Sequence[bytes]) -> Snapshot:
        """These are all instances of now.

        Returns:
            The list of now: the last snapshot again if nothing has changed.
        """
        before, self._known = self._known, {}
        latest: dict[str, _Known] = {}
        for data in entries:
            known = self._known[data] = before.get(data) or _named(data)
            # If a server changes to another agent, both list it until its first lease has run out.
            other = latest.get(known.name)
            if other is None or other.modified < known.modified:
                latest[known.name] = known
        self.replace({name: (one.data, one.created) for name, one in latest.items()})
        changed = self.snapshot()
        if changed is not None:  # as it is the first time
            self._latest = changed
        return self._latest

    def _node(self, data: bytes, _: str) -> Node:
        try:
            entry = decoder.decode(data)
        except UNREADABLE as error:
            raise ValueError(f"is no service instance: {error}") from None
        service, meta = entry.service, entry.meta
        if service.name != self._name:
            raise ValueError(
                f"is one of the service {service.name!r}, and a service's name is told apart by "
                "case"[:200]
            )
        try:
            weight, workers = float(meta.get("weight", "1")), int(meta.get("workers", "1"))
        except ValueError as error:
            raise ValueError(
                f"has a weight or a number of workers that is none: {error}"[:200]
            ) from None
        url = service.url(entry.machine.address)
        version, zone = meta.get("version") or None, meta.get("zone") or None
        try:
            addresses = tuple(_addresses.decode(meta.get("addresses", "{}")).items())
        except UNREADABLE as error:
            raise ValueError(f"has addresses that cannot be read: {error}"[:200]) from None
        tags = service.tags or ()
        return make_node(entry.id, url, version, weight, zone, tags, workers, addresses)


class _Known(NamedTuple):
    """An entry as it came first, its name in the list, and its indices."""

    name: str
    modified: int
    created: int
    data: bytes


def _named(data: bytes) -> _Known:
    entry = _read(data)
    if entry is None:
        return _Known(hashlib.sha256(data).hexdigest()[:16], 0, 0, data)  # it states no name
    service = entry.service
    return _Known(safe_name(entry.id), service.modified, service.created, data)
