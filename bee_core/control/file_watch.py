"""Looks at files once a second, and says when what they hold has changed.

No dependency and no feature of a system is needed for that, and it sees what notifications do not:
files of a network, and links that Kubernetes puts in the place of others.
"""

from __future__ import annotations

import asyncio
import os
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

INTERVAL = 1.0
"""Seconds between two looks. A person who saves a file and looks at the log waits no longer."""
SETTLED = 0.1
"""Seconds for which a file must stay as it is before it is read: an editor may be writing it."""
_LARGEST = 1 << 20  # bytes of a file that are looked at; what is larger is no configuration

Stamp = tuple[int, int, int] | None


class FileWatch:
    """Watches files until it is cancelled.

    Args:
        files: A digest of each file, by its path; empty for one that is not there.
        changed: Called when what a file holds has changed. Returns the files to watch from then
            on, with their digests.
        interval: Seconds between two looks.
        settled: Seconds for which files must stay as they are.
    """

    def __init__(
        self,
        files: Mapping[str, bytes],
        changed: Callable[[], Awaitable[Mapping[str, bytes]]],
        interval: float = INTERVAL,
        settled: float = SETTLED,
    ) -> None:
        self._digests = dict(files)
        self._changed = changed
        self._interval = interval
        self._settled = settled
        self._stamps: dict[str, Stamp] = {}

    async def run(self) -> None:
        """Watch. Files are looked at on threads: one may hang, as those of a network do."""
        loop = asyncio.get_running_loop()
        while True:
            stamps = await loop.run_in_executor(None, _stamps, tuple(self._digests))
            if stamps != self._stamps:
                await asyncio.sleep(self._settled)
                again, digests = await loop.run_in_executor(None, _look, tuple(self._digests))
                if again != stamps:
                    continue
                self._stamps = stamps
                if digests != self._digests:
                    files = await self._changed()
                    # What was seen here holds: what came since then will be seen as a change.
                    self._digests = {path: digests.get(path, files[path]) for path in files}
                    self._stamps = {}
            await asyncio.sleep(self._interval)


def _stamps(paths: tuple[str, ...]) -> dict[str, Stamp]:
    return {path: _stamp(path) for path in paths}


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)  # noqa: PTH116  # of a text
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _look(paths: tuple[str, ...]) -> tuple[dict[str, Stamp], dict[str, bytes]]:
    digests = {path: digest_of(path) for path in paths}
    return _stamps(paths), digests


def digest_of(path: str) -> bytes:
    """As the configuration has it: empty for a file that is not there, or that holds nothing."""
    try:
        # A pipe must not keep the thread: the process would wait for it in the end.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:  # noqa: PTH123  # it is open already
            data = file.read(_LARGEST + 1)
    except (OSError, ValueError):
        return b""
    return blake2b(data, digest_size=16).digest() if data else b""
