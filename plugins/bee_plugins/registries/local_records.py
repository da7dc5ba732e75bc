"""The records of the registry ``local``: a JSON object a file, which anybody can read, and which is believed only after a strict look."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import msgspec

from bee_plugins.registries.local_folder import SUFFIX
from bee_plugins.registries.records import LARGEST, make_node
from bee_plugins.registries.safe_names import safe_name

if TYPE_CHECKING:
    from bee_core.interfaces import Node

# The time of the last renewal stands first and at a fixed width, so that a renewal writes it in place: no new file, no change of the folder that would wake
# every watcher, and no space needed on a full disk.
_HEAD = b'{"renewed":'
RENEWED_AT = len(_HEAD)
"""Offset of the time of the last renewal."""
_WIDTH = 20
# Clocks of one machine agree; what lies further ahead was written by another clock.
_AHEAD = 1.0


@attrs.frozen(kw_only=True)
class Record:
    """An instance, its lease, and who registered it.

    Attributes:
        renewed: When the lease was renewed last, in seconds of the machine's monotonic clock.
        ttl: Seconds that the lease lasts from then on.
        boot: Which start of which machine the clock counts from.
        pid: The process that registered it; for people.
        address: The node's url. The remaining fields are the node's as well.
    """

    renewed: float
    ttl: float
    boot: str
    pid: int
    service: str
    id: str
    address: str
    version: str | None = None
    weight: float = 1.0
    zone: str | None = None
    tags: tuple[str, ...] = ()
    workers: int = 1

    def in_time(self, now: float, boot: str) -> bool:
        """Whether the lease has not run out."""
        return self.boot == boot and -_AHEAD <= now - self.renewed <= self.ttl


def encode(record: Record) -> bytes:
    """The file of a record.

    Raises:
        ValueError: It cannot be written as JSON, or is larger than a reader takes.
    """
    rest = msgspec.json.encode(
        {
            field.name: getattr(record, field.name)
            for field in attrs.fields(Record)
            if field.name != "renewed"
        }
    )
    data = _HEAD + encode_renewed(record.renewed) + b"," + rest[1:] + b"\n"
    if len(data) > LARGEST:
        raise ValueError(
            f"takes {len(data)} bytes, and a record may have {LARGEST}; shorten its tags"
        )
    return data


def encode_renewed(now: float) -> bytes:
    """What stands at :data:`RENEWED_AT`, always of one length."""
    return b"%*.6f" % (_WIDTH, now)


_decoder = msgspec.json.Decoder(Record)


def decode(data: bytes, file_name: str) -> tuple[Record, Node]:
    """Read a record as it was found under a name.

    Raises:
        ValueError: It is none; the message is a reason to stand behind the file's name.
    """
    if len(data) > LARGEST:
        raise ValueError(f"is larger than {LARGEST} bytes")
    try:
        record = _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ValueError(f"is no record: {error}") from None
    if not (isfinite(record.renewed) and isfinite(record.ttl)):
        raise ValueError("has a time that is impossible")
    if safe_name(record.id) + SUFFIX != file_name:
        raise ValueError("is the record of another id than its name says")
    return record, make_node(
        record.id,
        record.address,
        record.version,
        record.weight,
        record.zone,
        record.tags,
        record.workers,
    )


def boot_id() -> str:
    """Names this start of this machine; empty where the system does not say. Locks are free after a start, so nothing hangs on it alone."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
