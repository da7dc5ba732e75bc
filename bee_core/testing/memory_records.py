"""What the registry ``memory`` keeps: records, and the leases that they depend on.

A record and the lease of the server that wrote it are two things, as in etcd: somebody may write
over a record whose lease lives on. This file says who may write what; it does not wait.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import attrs

from bee_core.errors import IdTaken, LeaseLost, RegistryError
from bee_core.terms.addresses import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.terms.node import Node

_OVER = -inf


@attrs.define(eq=False)
class Hold:
    """What the registry knows of a lease.

    Attributes:
        owner: Who registered; compared only.
        service: The service's name.
        node: What was registered.
        end: The time at which it is over.
    """

    owner: object
    service: str
    node: Node
    end: float


@attrs.frozen
class _Record:
    """What is listed under an id, the lease that it depends on or None, and its place in lists."""

    node: Node
    hold: Hold | None
    place: int

    @property
    def end(self) -> float:
        return inf if self.hold is None else self.hold.end


class Records:
    """The records and leases of one registry. Not thread-safe.

    Args:
        clock: Seconds, monotonic.
        changed: Called after each change of a list.
    """

    def __init__(self, clock: Callable[[], float], changed: Callable[[], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._places = 0
        # By service and id. `_holds` has the lease of the server that registered the id last.
        self._records: dict[str, dict[str, _Record]] = {}
        self._holds: dict[str, dict[str, Hold]] = {}

    def listed(self, service: str) -> tuple[tuple[Node, ...], float]:
        """The nodes of a service, the newest last, and when the first of them runs out."""
        records = self._current(service).values()
        nodes = tuple(one.node for one in sorted(records, key=lambda one: one.place))
        return nodes, min((record.end for record in records), default=inf)

    # What servers do.

    def register(self, owner: object, service: str, node: Node, ttl: float) -> Hold:
        """List a node. An earlier registration by the same owner is replaced.

        Raises:
            IdTaken: Another owner's lease of the id lives.
            RegistryError: The node's url is none.
        """
        try:
            parse(node.url)
        except ValueError as error:
            raise RegistryError(f"{node.url!r} cannot be registered: {error}") from error
        record = self._current(service).get(node.id)
        earlier = self._holds.get(service, {}).get(node.id)
        for hold in (earlier, record.hold if record is not None else None):
            if hold is not None and hold.owner is not owner:
                raise IdTaken(f"{hold.node.url} lives and has the id {node.id!r} of {service}")
        if earlier is not None:
            earlier.end = _OVER
        hold = Hold(owner, service, node, self._clock() + ttl)
        self._holds.setdefault(service, {})[node.id] = hold
        self.put(service, node, hold)
        return hold

    def renew(self, hold: Hold, ttl: float) -> bool:
        """Prolong a lease; whether its record had to be written again.

        Raises:
            LeaseLost: It is over.
            IdTaken: Another living server has the id.
        """
        service, node = hold.service, hold.node
        record = self._current(service).get(node.id)
        if hold.end <= self._clock():
            raise LeaseLost(f"the registration of {node.id!r} is gone")
        if record is not None and record.hold not in {None, hold}:
            raise IdTaken(f"{record.node.url} lives and has the id {node.id!r} of {service}")
        hold.end = self._clock() + ttl
        if record is not None and record.hold is hold:
            return False
        self.put(service, node, hold)
        return True

    def revoke(self, hold: Hold) -> None:
        """End a lease, and take its record off the list. A lease that is over stays over."""
        service, node = hold.service, hold.node
        record = self._current(service).get(node.id)
        if hold.end <= self._clock():
            return
        if record is not None and record.hold in {None, hold}:
            del self._records[service][node.id]
        del self._holds[service][node.id]
        hold.end = _OVER
        self._changed()

    # What others do.

    def put(self, service: str, node: Node, hold: Hold | None = None) -> None:
        """Write a record, whoever holds its id."""
        records = self._records.setdefault(service, {})
        before = records.get(node.id)
        self._places += before is None
        place = self._places if before is None else before.place
        records[node.id] = _Record(node, hold, place)
        self._changed()

    def overwrite(self, service: str, node_id: str, changes: dict[str, Any], living: bool) -> Node:
        """Write over a record; with a lease of another server that never ends, if ``living``.

        Raises:
            KeyError: The node is not listed.
        """
        node = attrs.evolve(self._current(service)[node_id].node, **changes)
        self.put(service, node, Hold(None, service, node, inf) if living else None)
        return node

    def erase(self, service: str, node_id: str) -> None:
        """Remove a record; its lease lives on."""
        self._current(service).pop(node_id, None)
        self._changed()

    def withdraw(self, service: str, node_id: str | None = None) -> None:
        """Remove one record or all of a service, and the leases of their ids."""
        records, holds = self._current(service), self._holds.get(service, {})
        for each in {*records, *holds} if node_id is None else {node_id}:
            records.pop(each, None)
            hold = holds.pop(each, None)
            if hold is not None:
                hold.end = _OVER
        self._changed()

    def wipe(self) -> None:
        """Remove everything."""
        for service in {*self._records, *self._holds}:
            self.withdraw(service)

    def _current(self, service: str) -> dict[str, _Record]:
        """The records of a service, once what has run out is gone."""
        now = self._clock()
        holds, records = self._holds.get(service, {}), self._records.get(service, {})
        for node_id in [node_id for node_id, hold in holds.items() if hold.end <= now]:
            del holds[node_id]
        over = [node_id for node_id, record in records.items() if record.end <= now]
        for node_id in over:
            del records[node_id]
        if over:
            self._changed()
        return records
