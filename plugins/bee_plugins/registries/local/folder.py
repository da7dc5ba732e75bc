"""The folder of the registry ``local``: where it is, its files, and what a watcher sees there.

One user has one folder. It holds one folder for each service, with one file for each instance: a
JSON object, readable for people. Anybody could have written a file, so every field is checked
before it is used. Paths are plain texts here, since a scan handles many.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bee_core.errors import RegistryError
from bee_plugins.registries.local.locked_file import NotOursError, look, remove_dead
from bee_plugins.registries.shared.node_record import LARGEST, NodeRecord, decode_checked, safe_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bee_core.interfaces import Node
    from bee_plugins.registries.shared.watched_registry import WarnOnce

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

SCAN_SECONDS = 0.5
"""Seconds between two looks at every record: so soon a death or a lost lease is seen, at most.

Registrations are seen sooner, by the folder's time stamp.
"""
# A scan takes at most a twentieth of a core. 0.5 s between scans allow 1,000 records.
_SPARING = 20
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def choose_root(addresses: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """The folder that ``address`` names, or else the user's own.

    Without an address it is ``$BEE_LOCAL_DIR``, else ``bee`` in ``$XDG_RUNTIME_DIR``, else
    ``bee-<uid>`` in the folder for temporary files. ``$XDG_RUNTIME_DIR`` is used only if this
    user owns it: ``su`` and ``sudo`` may leave another user's. Nothing else is looked up.

    Raises:
        ValueError: The address is not one absolute path.
    """
    if len(addresses) > 1:
        raise ValueError(
            f"the registry local has one folder, and address names {len(addresses)}: "
            f"{', '.join(addresses)}"
        )
    stated = addresses[0] if addresses else environ.get("BEE_LOCAL_DIR", "")
    if stated:
        path = Path(stated).expanduser()
        if not path.is_absolute():
            raise ValueError(
                f"{'address' if addresses else 'BEE_LOCAL_DIR'} is {stated!r}; for the registry "
                "local it is a folder: write an absolute path, or leave it out for the user's own"
            )
        return str(path)
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    with contextlib.suppress(OSError):
        if runtime.startswith("/") and Path(runtime).stat().st_uid == os.geteuid():
            return str(Path(runtime) / "bee")
    return str(Path(tempfile.gettempdir()) / f"bee-{os.geteuid()}")


def service_folder(root: str, service: str) -> str:
    """Where the records of a service are."""
    return f"{root}/{safe_name(service)}"


def check(folder: str) -> None:
    """Make sure that no other user can plant records in a folder.

    Raises:
        FileNotFoundError: It does not exist.
        RegistryError: It is not a folder, another user owns it, or others may write to it. The
            message says what to do.
    """
    found = os.lstat(folder)
    me = os.geteuid()
    if stat.S_ISLNK(found.st_mode) and found.st_uid in {me, 0}:
        found = Path(folder).stat()  # this user's own link, or the system's, as in /var/run
    if not stat.S_ISDIR(found.st_mode):
        raise RegistryError(
            f"{folder} is not a folder; remove it, or name another folder as "
            "bee.rpc.registry.address"
        )
    if found.st_uid != me:
        raise RegistryError(
            f"the folder {folder} belongs to user {found.st_uid}, and this process runs as user "
            f"{me}: the owner of the folder could send calls anywhere. Remove it, or name a "
            "folder of your own as bee.rpc.registry.address or in BEE_LOCAL_DIR"
        )
    if found.st_mode & _OTHERS_WRITE:
        raise RegistryError(
            f"other users may write to the folder {folder}, so they could send calls anywhere; "
            f"run: chmod go-w {folder}"
        )


def prepare(root: str, service: str) -> None:
    """Make a service's folder if it is missing, for its owner alone.

    Raises:
        RegistryError: See :func:`check`. Also if the parent of ``root`` is missing: that is
            rather a mistake than a wish.
        OSError: It cannot be made.
    """
    parent = Path(root).parent
    if not parent.is_dir():
        raise RegistryError(
            f"the folder {root} cannot be made, since {parent} does not exist; create it, or "
            "correct bee.rpc.registry.address or BEE_LOCAL_DIR"
        )
    for path in (root, service_folder(root, service)):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)  # noqa: PTH102  see the top of the module
        check(path)


class LocalRecord(NodeRecord, frozen=True, kw_only=True, omit_defaults=False):
    """An instance, its lease, and who registered it.

    Attributes:
        renewed: When the lease was last renewed, in seconds of the machine's monotonic clock.
        ttl: Seconds that the lease lasts from then on.
        boot: The start of the machine from which the clock counts.
        pid: The process that registered it; for people.
        service: The service's name.
        id: The instance's id.
        since: When it was registered, by the same clock as ``renewed``.
    """

    renewed: float
    ttl: float
    boot: str
    pid: int
    service: str
    id: str
    since: float = 0.0

    def in_time(self, now: float, boot: str) -> bool:
        """Whether the lease still runs."""
        return self.boot == boot and -_AHEAD <= now - self.renewed <= self.ttl


_decoder = msgspec.json.Decoder(LocalRecord)


def encode(record: LocalRecord) -> bytes:
    """The file of a record.

    Raises:
        ValueError: JSON cannot hold it.
    """
    fields = msgspec.structs.asdict(record)
    renewed = encode_renewed(fields.pop("renewed"))
    return _HEAD + renewed + b"," + msgspec.json.encode(fields)[1:] + b"\n"


def renewed(data: bytes, now: float) -> bytes:
    """The file of a record after a renewal."""
    return data[:RENEWED_AT] + encode_renewed(now) + data[RENEWED_AT + _WIDTH :]


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


class ServiceView:
    """Looks at the folder of one service again and again, cheaply. Not thread-safe.

    Args:
        root: The registry's folder.
        service: The service's name.
        boot: This start of the machine.
        clock: Seconds, the machine's monotonic clock.
        warnings: Takes the warnings, by file name. All views of a service share it.
    """

    def __init__(
        self, root: str, service: str, boot: str, clock: Callable[[], float], warnings: WarnOnce
    ) -> None:
        self._root = root
        self._service = service
        self._folder = service_folder(root, service)
        self._boot = boot
        self._clock = clock
        self._warnings = warnings
        self._stamp: tuple[int, int] | None = None
        self._due = -1.0
        self._again = True
        self._nodes: tuple[Node, ...] = ()

    def nodes(self) -> tuple[Node, ...]:
        """The nodes that live, the newest last.

        One system call if nothing is new and no scan is due.

        Raises:
            RegistryError: The folder cannot be trusted or read. The nodes may be well.
        """
        now = self._clock()
        stamp = self._read_stamp()
        changed = stamp != self._stamp
        # A time stamp is as coarse as the kernel's tick: a second change within the tick does
        # not show. So each change is followed by a second look.
        if not changed and not self._again and now < self._due:
            return self._nodes
        self._again, self._stamp = changed, stamp
        try:
            self._nodes = self._scan()
        except OSError as error:
            raise RegistryError(
                f"the registry's folder {self._folder} cannot be read: {error.strerror or error}"
            ) from error
        self._due = now + max(SCAN_SECONDS, _SPARING * (self._clock() - now))
        return self._nodes

    def _read_stamp(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._folder)  # noqa: PTH116  see the top of the module
        except OSError:
            return None  # the scan says why
        return found.st_ino, found.st_mtime_ns

    def _scan(self) -> tuple[Node, ...]:
        try:
            check(self._root)
        except FileNotFoundError:
            # No server has registered yet, or somebody removed the folder. Servers remake it.
            text = (
                f"the registry's folder {self._root} does not exist; "
                f"waiting for a server of {self._service} to register there"
            )
            self._warnings.replace({"": text})
            return ()
        entries: list[os.DirEntry[str]] = []
        with contextlib.suppress(FileNotFoundError):  # no server of the service has registered
            check(self._folder)
            with os.scandir(self._folder) as every:
                entries = [entry for entry in every if not entry.name.startswith(".")]
        problems: dict[str, str] = {}
        nodes: list[tuple[float, Node]] = []
        for entry in entries:
            try:
                found = self._look(entry)
            except (NotOursError, ValueError) as error:  # noqa: PERF203  others must still show
                problems[entry.name] = f"{entry.path} {error}; it is skipped"
            else:
                if found is not None:
                    nodes.append(found)
        self._warnings.replace(problems)
        nodes.sort(key=lambda each: (each[0], each[1].id))
        return tuple(node for _, node in nodes)

    def _look(self, entry: os.DirEntry[str]) -> tuple[float, Node] | None:
        """Since when a node is registered, and the node; None if it does not live."""
        if not entry.name.endswith(SUFFIX):
            raise ValueError("is no record")
        if not entry.is_file(follow_symlinks=False):
            raise NotOursError("is not a regular file")
        # A first look may meet a renewal that is half written. Only a second one shows that the
        # lease has run out.
        for _ in range(2):
            try:
                seen = look(entry.path, LARGEST)
            except (FileNotFoundError, NotADirectoryError):
                return None
            record, node = decode(seen.data, entry.name)
            if record.service != self._service:
                raise ValueError(f"is a record of the service {record.service!r}"[:200])
            if not seen.held:
                # Its process is dead. Other watchers see that at once if the file goes.
                remove_dead(entry.path, seen.inode)
                return None
            if record.in_time(self._clock(), self._boot):
                return record.since, node
        return None
