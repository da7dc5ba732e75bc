"""The last list of nodes of each service, kept on disk.

A client starts from it while its registry is out of reach. A file is JSON:
``{"format": 2, "sha256": …, "content": {"identity", "service", "written", "nodes", "unlisted"}}``.
The checksum is that of the bytes of ``content``. ``identity`` is what :mod:`.cache_identity` says
of the registry: a list of another identity is never read. ``unlisted`` has the ids of nodes that
are in doubt, and when the registry listed each of them last.

The cache writes a temporary file, flushes it to the disk and moves it into place. A reader sees the
old list or the new one, never a part. A bad file is only a warning: the cache must never be the
reason for a failure.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from ..terms.loggers import logger
from ..terms.node import Node  # noqa: TC001  # msgspec reads the annotations
from ..terms.printable import brief, name_of, printable, text_of
from .cache_tidying import tidy_once

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logger("bee.client")

FORMAT = 2
"""Of the files. A file of another format is left unread, and replaced by the next list."""

MAX_BYTES = 64 * 1024 * 1024
"""A larger file is not read.

A node takes some 200 bytes, so this is far above any real list and far below a process's memory.
"""

KEEP_UNLISTED = 86400.0
"""Seconds for which a file keeps a node that the registry does not list.

Each client that starts asks it and may let it go. This is for those that leave before it is
settled: a node that hangs would stay for ever.
"""

_TOUCH_EVERY = 86400.0  # seconds between two touches of a file that is read
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def default_folder(environment: Mapping[str, str] | None = None) -> Path:
    """``$BEE_CACHE_DIR``, or ``bee`` below ``$XDG_CACHE_HOME``, or ``~/.cache/bee``."""
    variables = os.environ if environment is None else environment
    if own := variables.get("BEE_CACHE_DIR"):
        return Path(own).expanduser()
    if shared := variables.get("XDG_CACHE_HOME"):
        return Path(shared) / "bee"
    return Path("~/.cache/bee").expanduser()


@attrs.frozen
class Kept:
    """A list as it lay on disk.

    Attributes:
        nodes: The nodes; none where there is no list that can be used.
        age: Seconds since the list was written, when it was read; None where there is none.
        unlisted: The ids of nodes that were in doubt when it was written, and when (by the clock of
            ``time.time``) the registry listed each of them last.
    """

    nodes: tuple[Node, ...] = ()
    age: float | None = None
    unlisted: Mapping[str, float] = attrs.field(factory=dict)


class SnapshotCache:
    """The files of one registry. Thread-safe; its methods do file I/O and never raise.

    Args:
        identity: What tells this registry's lists from others, without secrets.
        folder: Where the files lie; None for the default. It is made when the first list is saved.
    """

    def __init__(self, identity: str, folder: Path | None = None) -> None:
        self._identity = identity
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
        digest = hashlib.sha256(f"{self._identity}\n{service}".encode()).hexdigest()[:24]
        readable = _UNSAFE.sub("_", service)[:40]
        return self.folder / f"{readable}-{digest}.json"

    def load(self, service: str) -> Kept:
        """The nodes as they were last saved; none where there is no file.

        None as well, with one warning, where the file cannot be used. A file that is used counts
        as such: :mod:`.cache_tidying` leaves it. Nodes that the registry has not listed for
        :data:`KEEP_UNLISTED` are left out.
        """
        path = self.path(service)
        try:
            _refuse_others(path)
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                # read() allocates as much as it is asked for.
                raw = file.read(min(status.st_size, MAX_BYTES) + 1)
            content, now = self._parse(raw, service), time.time()
        except FileNotFoundError:
            return Kept()
        except Exception as error:  # whatever is in the file, the client goes on without it
            self._warn(
                "read",
                f"the list of {service} kept in {path} is not used: {_said(error)}; "
                "it is replaced when the registry answers",
            )
            return Kept()
        if now - status.st_mtime > _TOUCH_EVERY:
            with contextlib.suppress(OSError):  # root's, or on a disk that is read only
                os.utime(path)
        old = {id_ for id_, at in content.unlisted.items() if now - at > KEEP_UNLISTED}
        return Kept(
            tuple(node for node in content.nodes if node.id not in old) if old else content.nodes,
            max(0.0, now - content.written),
            {id_: at for id_, at in content.unlisted.items() if id_ not in old},
        )

    def save(
        self, service: str, nodes: tuple[Node, ...], unlisted: Mapping[str, float] | None = None
    ) -> bool:
        """Replace the file of a service; on failure warn once and say False.

        Args:
            service: The service's name.
            nodes: All that is known, those in doubt as well.
            unlisted: See :class:`Kept`.
        """
        path = self.path(service)
        try:
            _check(nodes)
            content = msgspec.json.encode(
                _Content(self._identity, service, time.time(), nodes, dict(unlisted or {}))
            )
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

    def tidy(self) -> None:
        """Remove what nobody has used for long from the folder, once a process."""
        tidy_once(self.folder)

    def _parse(self, raw: bytes, service: str) -> _Content:
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
        if content.service != service or content.identity != self._identity:
            raise ValueError("it is of another service or registry")
        _check(content.nodes)
        return content

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning("%s", text)


def _refuse_others(path: Path) -> None:
    """Raise ValueError for a file of another user, and for what is no file.

    Whoever writes the list redirects calls. And to open a pipe may wait for ever.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no file")
    if hasattr(os, "getuid") and status.st_uid not in {os.getuid(), 0}:
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
    identity: str
    service: str
    written: float
    nodes: tuple[Node, ...]
    unlisted: dict[str, float] = {}  # msgspec copies it


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
        return error.strerror or name_of(error)
    ours = isinstance(error, ValueError) and not isinstance(error, msgspec.MsgspecError)
    return printable(text_of(error), 200) if ours else brief(error, 200)
