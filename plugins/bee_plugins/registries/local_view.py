"""What a watcher sees of a service in the folder of the registry ``local``."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from bee_core.errors import RegistryError
from bee_plugins.registries.local_folder import SUFFIX, check, service_folder
from bee_plugins.registries.local_locks import NotOursError, look, remove_dead
from bee_plugins.registries.local_records import decode
from bee_plugins.registries.records import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.interfaces import Node
    from bee_plugins.registries.complaints import Complaints
    from bee_plugins.registries.local_records import Record

SCAN_SECONDS = 0.5
"""How often every record is looked at: what a death or a lost lease needs to be seen, at most. Registrations are seen sooner, by the folder's time stamp."""
# A scan never takes more than a twentieth of a core, however many records there are: 0.5 s suffices for 1,000.
_SPARING = 20


class ServiceView:
    """Looks at the folder of one service again and again, cheaply. For one thread.

    Args:
        root: The registry's folder.
        service: The service's name.
        boot: This start of the machine.
        clock: Seconds, the machine's monotonic clock.
        complaints: What was warned of already, by file name; shared by all views of a service.
    """

    def __init__(
        self, root: str, service: str, boot: str, clock: Callable[[], float], complaints: Complaints
    ) -> None:
        self._root = root
        self._service = service
        self._folder = service_folder(root, service)
        self._boot = boot
        self._clock = clock
        self._complaints = complaints
        self._stamp: tuple[int, int] | None = None
        self._due = -1.0
        self._again = True
        self._nodes: tuple[Node, ...] = ()

    def nodes(self) -> tuple[Node, ...]:
        """The nodes that live, by id. One call to the system unless there is something new or a scan is due.

        Raises:
            RegistryError: The folder cannot be trusted or read. That says nothing about the nodes.
        """
        now = self._clock()
        stamp = self._read_stamp()
        changed = stamp != self._stamp
        # Time stamps are as coarse as the kernel's tick, so what follows a change within the same tick is found by a second look.
        if not changed and not self._again and now < self._due:
            return self._nodes
        self._again, self._stamp = changed, stamp
        try:
            self._nodes = self._scan()
        except OSError as error:
            raise RegistryError(
                f"the registry's folder {self._folder} cannot be read: {error.strerror or error}"
            ) from error
        took = self._clock() - now
        self._due = now + max(SCAN_SECONDS, _SPARING * took)
        return self._nodes

    def _read_stamp(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._folder)  # noqa: PTH116
        except OSError:
            return None  # the scan says why
        return found.st_ino, found.st_mtime_ns

    def _scan(self) -> tuple[Node, ...]:
        names: list[str] = []
        problems: dict[str, str] = {}
        try:
            check(self._root)
        except FileNotFoundError:
            # Nobody has registered yet, or somebody has removed it. Servers make it anew.
            self._complaints.say_all(
                {
                    "": f"the registry's folder {self._root} does not exist; waiting for a server of {self._service} to register there"
                }
            )
            return ()
        try:
            check(self._folder)
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if not entry.name.endswith(SUFFIX):
                        problems[entry.name] = "is no record"
                    elif not entry.is_file(follow_symlinks=False):
                        problems[entry.name] = "is not a regular file"
                    else:
                        names.append(entry.name)
        except FileNotFoundError:
            names = []  # no server of this service has registered yet
        nodes: list[Node] = []
        for name in names:
            try:
                node = self._look(name)
            except (NotOursError, ValueError) as error:  # noqa: PERF203  one bad record must not hide the others
                problems[name] = str(error)
            else:
                if node is not None:
                    nodes.append(node)
        self._complaints.say_all(
            {
                name: f"{self._folder}/{name} {reason}; it is skipped"
                for name, reason in problems.items()
            }
        )
        nodes.sort(key=lambda node: node.id)
        return tuple(nodes)

    def _look(self, name: str) -> Node | None:
        """The node behind a record, or None when it is not alive."""
        path = f"{self._folder}/{name}"
        seen = self._read(path, name)
        if seen is None:
            return None
        record, node, inode = seen
        if inode is not None:
            remove_dead(
                path, inode
            )  # so that other watchers see it at once, and the folder stays small
            return None
        if record.in_time(self._clock(), self._boot):
            return node
        # A renewal in progress may be read half, which a second look tells from a lease that has run out.
        seen = self._read(path, name)
        return (
            node
            if seen is not None and seen[2] is None and seen[0].in_time(self._clock(), self._boot)
            else None
        )

    def _read(self, path: str, name: str) -> tuple[Record, Node, int | None] | None:
        """A record and, where its process is dead, its file's inode. None when it has just gone."""
        try:
            seen = look(path, LARGEST)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                return None
            raise
        record, node = decode(seen.data, name)
        if record.service != self._service:
            raise ValueError(f"is a record of the service {record.service!r}"[:200])
        return record, node, None if seen.held else seen.inode
