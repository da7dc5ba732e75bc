"""A node as a service instance in Consul, and a service's instances as nodes.

An instance that bee registers says all that a node has: address, port and tags where Consul and everybody else looks for them, the rest in ``Meta``. One that others registered need
not say more than its port. Consul sends a service's list whole, so what has not changed is recognised by its bytes and not looked into.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.interfaces import Address, parse
from bee_plugins.registries.listing import Listing
from bee_plugins.registries.records import make_node
from bee_plugins.registries.safe_names import plain_name, safe_name

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Sequence

    from bee_core.interfaces import Node, Snapshot

OWNER, ID, URL = "bee-owner", "bee-id", "bee-url"
"""Keys of Meta that nobody else uses. Those that others may set as well are ``version``, ``weight``, ``zone``, ``workers`` and, in place of the url, ``scheme``."""

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
    tags: "tuple[str, ...] | None" = msgspec.field(name="Tags", default=())  # noqa: UP037  # evaluated by msgspec
    meta: "dict[str, str] | None" = msgspec.field(name="Meta", default=None)  # noqa: UP037
    modified: int = msgspec.field(name="ModifyIndex", default=0)


class _Entry(msgspec.Struct):
    service: _Service = msgspec.field(name="Service")
    machine: _Machine = msgspec.field(
        name="Node", default_factory=_Machine
    )  # an agent that speaks of its own services leaves itself out

    @property
    def id(self) -> str:
        """The node's id. An instance's own is unique on its agent only."""
        return (self.service.meta or {}).get(ID) or f"{self.service.id}@{self.machine.name}"


_decoder = msgspec.json.Decoder(_Entry)


def owner_of(entry: bytes) -> str | None:
    """Who registered an instance, or None for one that was not registered by bee."""
    try:
        return (_decoder.decode(entry).service.meta or {}).get(OWNER)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def registration(name: str, id_: str, node: Node, owner: str) -> dict[str, Any]:
    """The arguments of py-consul's ``agent.service.register`` for a node, but its check.

    Raises:
        ValueError: Consul or readers would not take it; the message is a reason to stand behind "its registration".
    """
    make_node(
        node.id, node.url, node.version, node.weight, node.zone, tuple(node.tags), node.workers
    )
    meta = {
        OWNER: owner,
        ID: node.id,
        URL: node.url,
        "weight": repr(node.weight),
        "workers": str(node.workers),
    }
    if node.version is not None:
        meta["version"] = node.version
    if node.zone is not None:
        meta["zone"] = node.zone
    for key, value in meta.items():
        if len(value.encode()) > _LONGEST_VALUE:
            raise ValueError(
                f"has a value for {key} of {len(value.encode())} bytes, and Consul takes {_LONGEST_VALUE}"
            )
    tags = sorted(node.tags)
    "".join(tags).encode()
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


class EntryList:
    """The instances of one service as they were told last. For one thread.

    Args:
        name: The service's name in Consul.
        where: Names Consul for a warning.
        revisions: See :class:`bee_plugins.registries.listing.Listing`.
        log: Takes the warnings.
    """

    def __init__(
        self, name: str, where: str, revisions: Iterator[int], log: logging.Logger
    ) -> None:
        self._name = name
        self._names: dict[
            bytes, tuple[str, bytes]
        ] = {}  # what an entry is listed under, and the entry as it came first
        self._listing = Listing(
            lambda listed: f"the instance {plain_name(listed)} of {name} in {where}",
            revisions,
            log,
            self._node,
        )

    def __len__(self) -> int:
        """How many entries there are, those that are left out too."""
        return len(self._listing)

    def replace(self, entries: Sequence[bytes]) -> None:
        """These are all the instances there are."""
        known, self._names = self._names, {}
        records: dict[str, bytes] = {}
        for entry in entries:
            named = known.get(entry) or (_listed_name(entry), entry)
            self._names[entry] = named
            name, record = named
            other = records.get(name)
            # A server that changed to another agent is listed by both until its lease with the first has run out.
            if other is None or _modified(other) < _modified(record):
                records[name] = record
        self._listing.replace(records)

    def snapshot(self) -> Snapshot | None:
        """See :meth:`bee_plugins.registries.listing.Listing.snapshot`."""
        return self._listing.snapshot()

    def _node(self, data: bytes, _: str) -> Node:
        try:
            entry = _decoder.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ValueError(f"is no service instance: {error}") from None
        service, meta = entry.service, entry.service.meta or {}
        if service.name != self._name:
            raise ValueError(
                f"is one of the service {service.name!r}, and a service's name is told apart by case"[
                    :200
                ]
            )
        try:
            weight, workers = float(meta.get("weight", "1")), int(meta.get("workers", "1"))
        except ValueError as error:
            raise ValueError(
                f"has a weight or a number of workers that is none: {error}"[:200]
            ) from None
        url = (
            meta.get(URL)
            or Address(
                meta.get("scheme", "tcp").lower(),
                service.address or entry.machine.address,
                service.port,
            ).url
        )
        return make_node(
            entry.id,
            url,
            meta.get("version") or None,
            weight,
            meta.get("zone") or None,
            service.tags or (),
            workers,
        )


def _listed_name(entry: bytes) -> str:
    try:
        return safe_name(_decoder.decode(entry).id)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return hashlib.sha256(entry).hexdigest()[:16]  # nothing in it has a name


def _modified(entry: bytes) -> int:
    try:
        return _decoder.decode(entry).service.modified
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return 0
