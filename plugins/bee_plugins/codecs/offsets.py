"""Offsets from UTC with seconds, which RFC 3339 does not have: ``+00:09:21`` in Amsterdam, 1900."""

from __future__ import annotations

import datetime as dt
from typing import Any

_MINUTE = dt.timedelta(minutes=1)


def has_odd_offset(moment: dt.datetime | dt.time) -> bool:
    """Whether a moment or a time of day has such an offset."""
    if moment.tzinfo is dt.timezone.utc:  # most have this one
        return False
    offset = moment.utcoffset()
    return offset is not None and offset % _MINUTE != dt.timedelta(0)


def in_utc(value: Any) -> Any:
    """The same moment in UTC if it has such an offset; other values as they are."""
    if isinstance(value, dt.datetime) and has_odd_offset(value):
        return value.astimezone(dt.timezone.utc)
    return value
