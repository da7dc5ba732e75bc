"""What a server says of itself in a registry: a JSON object, the same in every registry that keeps values, readable and writable by anybody.

::

    {"address": "tcp://10.0.0.7:9000", "version": "1.2.0", "weight": 1.0, "zone": "eu-1", "tags": ["gpu"], "workers": 4, "id": "calc-7f3a"}

``address`` must be there, and ``version`` should: a client that asks for a range passes over nodes without one. The rest may be left out. Keys that are not known are
passed over, so that a later version may say more. A record is believed only after a strict look.
"""

from __future__ import annotations

from functools import lru_cache
from math import isfinite

import msgspec

from bee_core.interfaces import Node, parse

LARGEST = 64 << 10
"""Bytes that a record may have. A real one has a few hundred."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record; the fields are those of :class:`bee_core.terms.node.Node`.

    Attributes:
        id: The instance's id, where its key may not show it whole; empty where the key says it.
    """

    address: str
    version: str | None = None
    weight: float = 1.0
    zone: str | None = None
    tags: tuple[str, ...] = ()
    workers: int = 1
    id: str = ""


_decoder = msgspec.json.Decoder(Record)


def encode_record(node: Node) -> bytes:
    """The record of a node.

    Raises:
        ValueError: It cannot be written as JSON, readers would refuse it, or it is larger than a reader takes. The message is a reason to stand behind "its record".
    """
    record = Record(
        address=node.url,
        version=node.version,
        weight=node.weight,
        zone=node.zone,
        tags=tuple(sorted(node.tags)),
        workers=node.workers,
        id=node.id,
    )
    data = msgspec.json.encode(record)
    decode_record(data)
    return data


def decode_record(data: bytes, id_: str = "") -> Node:
    """The node of a record.

    Args:
        data: The record.
        id_: The id that the record's key says, for a record that states none.

    Raises:
        ValueError: It is none, or a node that nobody can call; the message is a reason to stand behind its name.
    """
    if len(data) > LARGEST:
        raise ValueError(f"takes {len(data)} bytes, and a record may have {LARGEST}")
    try:
        record = _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ValueError(f"is no record: {error}") from None
    return make_node(
        record.id or id_,
        record.address,
        record.version,
        record.weight,
        record.zone,
        record.tags,
        record.workers,
    )


@lru_cache(maxsize=4096)  # the same records are met again and again
def make_node(
    id_: str,
    address: str,
    version: str | None,
    weight: float,
    zone: str | None,
    tags: tuple[str, ...],
    workers: int,
) -> Node:
    """A node of values that came from outside.

    Raises:
        ValueError: They are of no node that could be called; the message is a reason to stand behind its name.
    """
    if not (isfinite(weight) and weight >= 0 and workers >= 1):
        raise ValueError("has a weight or a number of workers that is impossible")
    try:
        url = parse(address)
    except ValueError as error:
        raise ValueError(f"has an address that cannot be used: {error}") from None
    if url.port == 0 or url.is_wildcard:
        raise ValueError(f"has an address that nobody can call: {url}")
    return Node(id_, url.url, version, weight, zone, frozenset(tags), workers)
