"""Removes lists on disk that nobody has used for long, of whatever format.

A registry that moved, or a namespace that was renamed, leaves its lists behind. A file that is in
use has a fresh time stamp: it is written again every hour, and touched when it is read.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from typing import TYPE_CHECKING

from ..terms.loggers import logger
from ..terms.printable import brief

if TYPE_CHECKING:
    from pathlib import Path

log = logger("bee.client")

UNUSED_AFTER = 30 * 86400.0
"""Seconds without use until a list is removed.

Longer than a holiday or a frozen release. A service that rests longer finds its nodes at the
registry.
"""
_UNFINISHED_AFTER = 86400.0  # seconds; a write takes milliseconds, so its process was killed

_MOST_SEEN = 10_000  # entries of the folder, some 10 ms
_MOST_REMOVED = 1_000
_HEAD = b'{"format":'  # of every list; the folder may be one that others use too

_LIST = re.compile(r"[A-Za-z0-9_-]{0,40}-[0-9a-f]{24}\.json")
_UNFINISHED = re.compile(r"\.[A-Za-z0-9_-]{0,40}-[0-9a-f]{24}\.json\.[a-z0-9_]{8}")

_tidied: set[Path] = set()
"""The folders that this process has tidied."""


def tidy_once(folder: Path) -> None:
    """Tidy a folder, if this process has not yet. Any thread; never raises."""
    if folder not in _tidied:
        _tidied.add(folder)
        try:
            tidy(folder, time.time())
        except Exception as error:  # the folder is not there, or not ours; nothing depends on it
            log.debug("the lists in %s were not tidied: %s", folder, brief(error))


def tidy(folder: Path, now: float) -> int:
    """Remove the lists that have not been used for :data:`UNUSED_AFTER`, and broken-off writes.

    Only regular files of this user count, with the name and the beginning of a list.

    Args:
        folder: Where the lists lie.
        now: The time in seconds, as of the files' time stamps.

    Returns:
        How many files were removed. Of a large folder only a part is looked at.

    Raises:
        OSError: The folder cannot be read.
    """
    removed = 0
    with os.scandir(folder) as entries:
        for entry, _ in zip(entries, range(_MOST_SEEN), strict=False):
            # Another process may have removed it meanwhile, or its owner may not let us.
            with contextlib.suppress(OSError):
                if _is_left(entry, now):
                    os.unlink(entry.path)  # noqa: PTH108  # an entry has no path object
                    removed += 1
            if removed == _MOST_REMOVED:
                break
    return removed


def _is_left(entry: os.DirEntry[str], now: float) -> bool:
    unfinished = _UNFINISHED.fullmatch(entry.name) is not None
    if not unfinished and _LIST.fullmatch(entry.name) is None:
        return False
    status = entry.stat(follow_symlinks=False)
    ours = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    unused = now - status.st_mtime
    if not ours or not stat.S_ISREG(status.st_mode):
        return False
    if unfinished:
        return unused > _UNFINISHED_AFTER
    return unused > UNUSED_AFTER and _has_head(entry.path)


def _has_head(path: str) -> bool:
    with open(path, "rb") as file:  # noqa: PTH123  # an entry has no path object
        return file.read(len(_HEAD)) == _HEAD
