"""The last list of nodes of each service, kept on disk.

A client starts from it while its registry is out of reach. A file is JSON:
``{"format": 1, "sha256": …, "content": {"registry", "service", "written", "nodes"}}``.
The checksum is that of the bytes of ``content``.

The cache writes a temporary file, flushes it to the disk and moves it into place. A reader sees the
old list or the new one, never a part. A bad file is only a warning: the cache must never be the
reason for a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import math
import os
import re
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..terms.node import Node  # noqa: TC001  # msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("bee.client")

FORMAT = 1
"""Of the files. A file of another format is left unread, and replaced by the next list."""

MAX_BYTES = 64 * 1024 * 1024
"""A larger file is not read.

A node takes some 200 bytes, so this is far above any real list and far below a process's memory.
"""

SAVE_EVERY = 2.0
"""Seconds between two writes of a list that keeps changing.

A write costs in proportion to the whole list. A client that dies meanwhile starts from a list that
is so much older.
"""
_LAST_SAVE = 1.0  # seconds that a client which closes grants to a write under way

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def default_folder(environment: Mapping[str, str] | None = None) -> Path:
    """``$BEE_CACHE_DIR``, or ``bee`` below ``$XDG_CACHE_HOME``, or ``~/.cache/bee``."""
    variables = os.environ if environment is None else environment
    if own := variables.get("BEE_CACHE_DIR"):
        return Path(own).expanduser()
    if shared := variables.get("XDG_CACHE_HOME"):
        return Path(shared) / "bee"
    return Path("~/.cache/bee").expanduser()


class SnapshotCache:
    """The files of one registry. Thread-safe; its methods do file I/O and never raise.

    Args:
        registry: What tells this registry from others: its plugin and its addresses.
        folder: Where the files lie; None for the default. It is made when the first list is saved.
    """

    def __init__(self, registry: str, folder: Path | None = None) -> None:
        self._registry = registry
        self._folder = folder
        self._warned: set[str] = set()

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        if self._folder is None:
            try:
                self._folder = default_folder()
            except RuntimeError:  # a user without a home directory
                self._folder = (
                    Path(tempfile.gettempdir())
                    / f"bee-cache-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
                )
        return self._folder

    def path(self, service: str) -> Path:
        """The file of a service. Names are made safe by a hash; the readable part is for people."""
        digest = hashlib.sha256(f"{self._registry}\n{service}".encode()).hexdigest()[:24]
        readable = _UNSAFE.sub("_", service)[:40]
        return self.folder / f"{readable}-{digest}.json"

    def load(self, service: str) -> tuple[Node, ...]:
        """The nodes as they were last saved; none where there is no file.

        None as well, with one warning, where the file cannot be used.
        """
        path = self.path(service)
        try:
            _refuse_strangers(path)
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                # read() allocates as much as it is asked for.
                raw = file.read(min(size, MAX_BYTES) + 1)
            return self._parse(raw, service)
        except FileNotFoundError:
            return ()
        except Exception as error:  # whatever is in the file, the client goes on without it
            self._warn(
                "read",
                f"the list of {service} kept in {path} is not used: {_said(error)}; "
                "it is replaced when the registry answers",
            )
            return ()

    def save(self, service: str, nodes: tuple[Node, ...]) -> bool:
        """Replace the file of a service; on failure warn once and say False."""
        path = self.path(service)
        try:
            _check(nodes)
            content = msgspec.json.encode(_Content(self._registry, service, time.time(), nodes))
            raw = msgspec.json.encode(_Document(FORMAT, _checksum(content), msgspec.Raw(content)))
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(path, raw)
        # A full disk, no permission, no home: the client only loses its list for the next start.
        except Exception as error:
            self._warn(
                "write",
                f"the list of {service} cannot be kept in {path}: {_said(error)}; "
                "set BEE_CACHE_DIR to a folder that can be written",
            )
            return False
        return True

    def _parse(self, raw: bytes, service: str) -> tuple[Node, ...]:
        if len(raw) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        written = msgspec.json.decode(raw, type=_Format).format
        if written != FORMAT:
            raise ValueError(
                f"it has format {str(written)[:20]}, and this bee reads format {FORMAT}"
            )
        document = msgspec.json.decode(raw, type=_Document)
        if document.sha256 != _checksum(bytes(document.content)):
            raise ValueError("its checksum does not fit, so it is damaged")
        content = msgspec.json.decode(document.content, type=_Content)
        if content.service != service or content.registry != self._registry:
            raise ValueError("it is of another service or registry")
        _check(content.nodes)
        return content.nodes

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning("%s", text)


class CacheWriter:
    """Keeps the newest list of one service on disk, with one write at a time.

    Used on the control plane's loop only. It writes on threads of the loop's executor.

    Args:
        cache: The lists on disk.
        service: The service's name.

    Attributes:
        saved: The nodes on the disk, as far as is known. They are not written again.
    """

    def __init__(self, cache: SnapshotCache, service: str) -> None:
        self.saved: tuple[Node, ...] = ()
        self._cache = cache
        self._service = service
        self._waiting: tuple[Node, ...] | None = None
        self._saving: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._saved_at = -SAVE_EVERY

    def save(self, nodes: tuple[Node, ...]) -> None:
        """Write the newest list: at once, or :data:`SAVE_EVERY` after the last write."""
        self._waiting = nodes
        if self._saving is not None or self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        pause = self._saved_at + SAVE_EVERY - loop.time()
        if pause > 0:
            self._timer = loop.call_later(pause, self._write)
        else:
            self._write()

    async def finish(self) -> None:
        """The client closes: write what waits for its turn."""
        if self._saving is not None:
            await asyncio.wait((self._saving,), timeout=_LAST_SAVE)
        self._write()

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        nodes, self._waiting = self._waiting, None
        if nodes is None or nodes == self.saved:
            return
        loop = asyncio.get_running_loop()
        try:
            # Not handed over by a task: a client that closes the next moment keeps its list.
            self._saving = loop.run_in_executor(None, self._cache.save, self._service, nodes)
        except RuntimeError as error:  # the interpreter leaves, and starts no threads any more
            log.debug("the nodes of %s were not kept: %s", self._service, error)
            return
        self._saved_at = loop.time()
        self._saving.add_done_callback(partial(self._written, nodes))

    def _written(self, nodes: tuple[Node, ...], saving: asyncio.Future[bool]) -> None:
        self._saving = None
        if not saving.cancelled() and saving.exception() is None and saving.result():
            self.saved = nodes
        if self._waiting is not None:
            self.save(self._waiting)


def _refuse_strangers(path: Path) -> None:
    """Raise ValueError for a file of another user: whoever writes the list redirects calls."""
    if hasattr(os, "getuid") and path.stat().st_uid not in {os.getuid(), 0}:
        raise ValueError("it belongs to another user")


def _replace(path: Path, raw: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105  # the pair of mkstemp
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise


class _Content(msgspec.Struct):
    registry: str
    service: str
    written: float
    nodes: tuple[Node, ...]


class _Format(msgspec.Struct):
    format: Any = None


class _Document(msgspec.Struct):
    format: int
    sha256: str
    content: msgspec.Raw


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _check(nodes: tuple[Node, ...]) -> None:
    if not all(
        math.isfinite(node.weight) and node.weight >= 0 and node.workers >= 1 for node in nodes
    ):
        raise ValueError("a node in it has an impossible number")


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return (
        f"{type(error).__name__}: {error}"[:200]
        if not isinstance(error, ValueError) or isinstance(error, msgspec.MsgspecError)
        else str(error)[:200]
    )
