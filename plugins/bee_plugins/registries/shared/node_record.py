"""The record of a server in a registry: a JSON object, the same in every registry.

::

    {"address": "tcp://10.0.0.7:9000", "version": "1.2.0", "weight": 1.0, "zone": "eu-1",
     "tags": ["gpu"], "workers": 4, "id": "calc-7f3a",
     "addresses": {"tcp": "tcp://10.0.0.7:9000", "tls": "tls://10.0.0.7:9443"}}

``address`` is required. ``version`` is recommended: a client that asks for a range skips nodes
without one. The other keys are optional. ``addresses`` is stated by a server that listens on
several: a url for each scheme, ``address`` among them. Unknown keys are ignored, so later versions
may add some. Records come from outside, so every field is checked before it is used.

The key of a record ends in the instance's id, and holds the service's name, as safe names.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from math import isfinite
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import msgspec

from bee_core.interfaces import Address, Node, parse

T = TypeVar("T")

LARGEST = 64 << 10
"""Bytes that a record may have. A real one has a few hundred."""

# File systems allow 255 bytes. A temporary file's name is longer than the record's name.
_LONGEST = 180

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What msgspec raises for bytes that it cannot decode."""


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record. Its fields are those of :class:`bee_core.terms.node.Node`.

    Attributes:
        id: The instance's id. It may be empty where the record's key says it.
    """

    address: str
    version: str | None = None
    weight: float = 1.0
    zone: str | None = None
    tags: tuple[str, ...] = ()
    workers: int = 1
    id: str = ""
    addresses: dict[str, str] = {}  # msgspec copies it

    def node(self, id_: str = "") -> Node:
        """The node, checked by :func:`make_node`; ``id_`` is used if the record states no id."""
        return make_node(
            self.id or id_,
            self.address,
            self.version,
            self.weight,
            self.zone,
            self.tags,
            self.workers,
            tuple(self.addresses.items()),
        )


def fields_of(node: Node) -> dict[str, Any]:
    """A node as the fields of its record."""
    return {
        "address": node.url,
        "version": node.version,
        "weight": node.weight,
        "zone": node.zone,
        "tags": tuple(sorted(node.tags)),
        "workers": node.workers,
        "id": node.id,
        "addresses": by_scheme(node),
    }


def by_scheme(node: Node) -> dict[str, str]:
    """The addresses of a node as its record has them."""
    return {parse(url).scheme: url for url in node.addresses}


_decoder = msgspec.json.Decoder(NodeRecord)


def encode_record(node: Node) -> bytes:
    """The record of a node.

    Raises:
        ValueError: JSON cannot hold it, or readers would refuse it. The message continues a
            sentence that begins with "its record".
    """
    data = msgspec.json.encode(NodeRecord(**fields_of(node)))
    decode_record(data)
    return data


def decode_record(data: bytes, id_: str = "") -> Node:
    """The node of a record.

    Args:
        data: The record.
        id_: The id from the record's key. It is used if the record states none.

    Raises:
        ValueError: The record is malformed, or nobody can call the node. The message continues
            a sentence that begins with the record's name.
    """
    return decode_checked(_decoder, data).node(id_)


def decode_checked(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """What a decoder makes of a record.

    Raises:
        ValueError: As :func:`decode_record`.
    """
    if len(data) > LARGEST:
        raise ValueError(f"takes {len(data)} bytes, and a record may have {LARGEST}")
    try:
        return decoder.decode(data)
    except UNREADABLE as error:
        raise ValueError(f"is no record: {error}") from None


@lru_cache(maxsize=4096)  # the same records are read again and again
def make_node(
    id_: str,
    address: str,
    version: str | None,
    weight: float,
    zone: str | None,
    tags: tuple[str, ...],
    workers: int,
    addresses: tuple[tuple[str, str], ...] = (),
) -> Node:
    """A node made of values that came from outside.

    Raises:
        ValueError: Nobody could call such a node. The message continues a sentence that begins
            with the record's name.
    """
    if not (isfinite(weight) and weight >= 0 and workers >= 1):
        raise ValueError("has a weight or a number of workers that is impossible")
    url = _callable(address).url
    others = [_callable(each) for _, each in addresses]
    if [each.scheme for each in others] != [scheme for scheme, _ in addresses]:
        raise ValueError("has addresses under the names of other schemes")
    urls = tuple(each.url for each in others)
    if urls and url not in urls:
        raise ValueError("has an address that is not among its addresses")
    return Node(id_, url, version, weight, zone, frozenset(tags), workers, urls)


def _callable(address: str) -> Address:
    try:
        url = parse(address)
    except ValueError as error:
        raise ValueError(f"has an address that cannot be used: {error}") from None
    if url.port == 0 or url.is_wildcard:
        raise ValueError(f"has an address that nobody can call: {url}")
    return url


def safe_name(name: str) -> str:
    """A file name for any text; different texts get different names.

    Letters, digits, ``_``, ``-``, ``~`` and inner dots stay. All else is percent-encoded.
    """
    text = quote(name, safe="", errors="surrogatepass")
    if text.startswith("."):
        text = "%2E" + text[1:]  # hidden files are unfinished records; . and .. are folders
    if len(text) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        # A lone percent sign marks a name that was cut: no encoded name has one.
        text = re.sub(r"%.?$", "", text[: _LONGEST - 33]) + "%" + digest
    return text or "%"


def plain_name(safe: str) -> str:
    """The text behind a safe name. A name that was cut cannot be restored and stays as it is."""
    return unquote(safe)
