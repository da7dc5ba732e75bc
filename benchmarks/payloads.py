"""What is echoed: a record of about 200 bytes, or bytes of a size.

A contender makes it once, in the form that its own library sends, before anything is timed.
"""

from __future__ import annotations

import random

from .record import RECORD

RECORD_SIZE = 200
"""About what ``RECORD`` takes as JSON. This size stands for the record, every other for bytes."""
SIZE_NAMES = {RECORD_SIZE: "200 B", 10_000: "10 kB", 1_000_000: "1 MB"}


def data(size: int) -> bytes:
    """Bytes that no codec makes smaller. The same ones each time."""
    return random.Random(size).randbytes(size)  # noqa: S311  # no secret


__all__ = ["RECORD", "RECORD_SIZE", "SIZE_NAMES", "data"]
