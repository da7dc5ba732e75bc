"""The files of the registry ``local``: one JSON object each, readable for people.

Anybody could have written a file, so every field is checked before it is used.
"""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bee_plugins.registries.shared.node_record import LARGEST, NodeRecord, decode_checked
from bee_plugins.registries.shared.safe_names import safe_name

if TYPE_CHECKING:
    from bee_core.nodes import Node

SUFFIX = ".json"
"""Of records. Names that begin with a dot are unfinished records."""

# The time of the last renewal comes first and has a fixed width, so a renewal writes it in
# place: it makes no new file, it leaves the folder's time stamp alone (a change would wake every
# watcher), and it needs no space on a full disk.
_HEAD = b'{"renewed":'
RENEWED_AT = len(_HEAD)
"""Offset of the time of the last renewal."""
_WIDTH = 20
# The clocks of one machine agree. A time further in the future comes from another clock.
_AHEAD = 1.0


class LocalRecord(NodeRecord, frozen=True, kw_only=True, omit_defaults=False):
    """An instance, its lease, and who registered it.

    Attributes:
        renewed: When the lease was last renewed, in seconds of the machine's monotonic clock.
        ttl: Seconds that the lease lasts from then on.
        boot: The start of the machine from which the clock counts.
        pid: The process that registered it; for people.
        service: The service's name.
        id: The instance's id.
    """

    renewed: float
    ttl: float
    boot: str
    pid: int
    service: str
    id: str

    def in_time(self, now: float, boot: str) -> bool:
        """Whether the lease still runs."""
        return self.boot == boot and -_AHEAD <= now - self.renewed <= self.ttl


_decoder = msgspec.json.Decoder(LocalRecord)


def encode(record: LocalRecord) -> bytes:
    """The file of a record.

    Raises:
        ValueError: JSON cannot hold it, or it is larger than a reader accepts.
    """
    fields = msgspec.structs.asdict(record)
    renewed = encode_renewed(fields.pop("renewed"))
    data = _HEAD + renewed + b"," + msgspec.json.encode(fields)[1:] + b"\n"
    if len(data) > LARGEST:
        raise ValueError(
            f"takes {len(data)} bytes, and a record may have {LARGEST}; shorten its tags"
        )
    return data


def encode_renewed(now: float) -> bytes:
    """What stands at :data:`RENEWED_AT`. Its length is always the same."""
    return b"%*.6f" % (_WIDTH, now)


def decode(data: bytes, file_name: str) -> tuple[LocalRecord, Node]:
    """The record in a file, and its node.

    Raises:
        ValueError: It is malformed. The message continues a sentence that begins with the
            file's name.
    """
    record = decode_checked(_decoder, data)
    if not (isfinite(record.renewed) and isfinite(record.ttl)):
        raise ValueError("has a time that is impossible")
    if safe_name(record.id) + SUFFIX != file_name:
        raise ValueError("is the record of another id than its name says")
    return record, record.node()


def boot_id() -> str:
    """Names this start of this machine; empty if the system does not say.

    That is safe: after a restart all locks are free, so old records count as dead anyway.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
