"""Nodes of a service, and the immutable lists of them that registries hand over."""

from __future__ import annotations

from typing import Literal

import attrs

Source = Literal["registry", "cache", "address"]
"""Where a list of nodes comes from."""


@attrs.frozen
class Node:
    """One instance of a service that calls can go to.

    Attributes:
        id: Unique within the service. A configured address has its url as id.
        url: ``tcp://127.0.0.1:9000``, ``unix:///run/calc.sock``.
        version: The instance's version, or None where it is not stated.
        weight: Its share of the calls relative to other nodes; 1 is normal, 0 gets none.
        zone: The place it runs in, or None.
        tags: Labels that a client can ask for.
        workers: How many processes serve behind the url.
        addresses: Where the instance is reached, a url for each scheme, ``url`` among them; empty
            for one address alone. A client takes one of them as ``url``.
    """

    id: str
    url: str
    version: str | None = None
    weight: float = 1.0
    zone: str | None = None
    tags: frozenset[str] = frozenset()
    workers: int = 1
    addresses: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The url: the name an operator knows the node by."""
        return self.url


@attrs.frozen
class Changes:
    """What is different between two snapshots of a service.

    Attributes:
        since: Revision of the snapshot before.
        put: Nodes that are new or have changed.
        gone: Ids of nodes that were there.
    """

    since: int
    put: tuple[Node, ...] = ()
    gone: frozenset[str] = frozenset()


@attrs.frozen
class Snapshot:
    """All nodes of a service at one moment, fitting or not.

    Attributes:
        revision: Grows with each change seen by this process; a consumer ignores an older one.
        source: Where it comes from.
        nodes: The nodes, ids unique. Of those with one url the newest is the last; the order means
            nothing else.
        changes: What is different from an earlier snapshot, where the registry knows it cheaply. A
            consumer that has that one applies the changes and need not look at every node.
    """

    revision: int
    source: Source
    nodes: tuple[Node, ...] = ()
    changes: Changes | None = attrs.field(default=None, eq=False)
