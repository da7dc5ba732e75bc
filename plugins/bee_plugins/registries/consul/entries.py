"""A node as a service instance in Consul, and a service's instances as nodes.

An instance that bee registers holds all fields of a node: address, port and tags in Consul's own
fields, where everybody looks for them, and the rest in ``Meta``. An instance of another program
needs no more than a port. Consul always sends the whole list of a service. So instances are
compared by their bytes, and only changed ones are read.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.interfaces import Address, Node, parse
from bee_plugins.registries.shared.node_record import (
    UNREADABLE,
    NodeRecord,
    fields_of,
    make_node,
    plain_name,
    safe_name,
)
from bee_plugins.registries.shared.watched_registry import NodeList, WarnOnce

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


OWNER, ID, URL = "bee-owner", "bee-id", "bee-url"
"""Keys of Meta that only bee sets.

Other programs may also set ``version``, ``weight``, ``zone``, ``workers`` and, instead of the url,
``scheme``.
"""

_LONGEST_VALUE = 512
"""Bytes, Consul's limit for a value of Meta."""


class _Machine(msgspec.Struct):
    name: str = msgspec.field(name="Node", default="")
    address: str = msgspec.field(name="Address", default="")


class _Service(msgspec.Struct):
    id: str = msgspec.field(name="ID")
    name: str = msgspec.field(name="Service")
    address: str = msgspec.field(name="Address", default="")
    port: int = msgspec.field(name="Port", default=0)
    # Quoted, since msgspec evaluates them.
    tags: "tuple[str, ...] | None" = msgspec.field(name="Tags", default=())  # noqa: UP037
    meta: "dict[str, str] | None" = msgspec.field(name="Meta", default=None)  # noqa: UP037
    modified: int = msgspec.field(name="ModifyIndex", default=0)


class _Entry(msgspec.Struct):
    service: _Service = msgspec.field(name="Service")
    # An agent that tells its own services leaves itself out.
    machine: _Machine = msgspec.field(name="Node", default_factory=_Machine)

    @property
    def meta(self) -> dict[str, str]:
        return self.service.meta or {}

    @property
    def id(self) -> str:
        """The node's id. An instance's own id is unique on its agent only."""
        return self.meta.get(ID) or f"{self.service.id}@{self.machine.name}"


decoder = msgspec.json.Decoder(_Entry)


def _read(data: bytes) -> _Entry | None:
    try:
        return decoder.decode(data)
    except UNREADABLE:
        return None


def owner_of(data: bytes) -> str | None:
    """Who registered an instance; None if bee did not register it."""
    entry = _read(data)
    return None if entry is None else entry.meta.get(OWNER)


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
        # By entry: its name in the list, its index, and the entry as it came first.
        self._known: dict[bytes, tuple[str, int, bytes]] = {}

    def take(self, entries: Sequence[bytes]) -> None:
        """These are all instances of now."""
        before, self._known = self._known, {}
        latest: dict[str, tuple[str, int, bytes]] = {}
        for data in entries:
            known = self._known[data] = before.get(data) or _named(data)
            # If a server changes to another agent, both list it until its first lease has run out.
            other = latest.get(known[0])
            if other is None or other[1] < known[1]:
                latest[known[0]] = known
        self.replace({name: data for name, _, data in latest.values()})

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
        host = service.address or entry.machine.address
        url = meta.get(URL) or Address(meta.get("scheme", "tcp").lower(), host, service.port).url
        version, zone = meta.get("version") or None, meta.get("zone") or None
        return make_node(entry.id, url, version, weight, zone, service.tags or (), workers)


def _named(data: bytes) -> tuple[str, int, bytes]:
    """An entry's name in the list, its index, and the entry."""
    entry = _read(data)
    if entry is None:
        return hashlib.sha256(data).hexdigest()[:16], 0, data  # it states no name
    return safe_name(entry.id), entry.service.modified, data
