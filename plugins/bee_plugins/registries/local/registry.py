"""The registry ``local``. It needs no daemon and no installation.

An instance is a file in the folder of its service (``folder``). Its process holds the file's lock
(``locked_file``), so its death shows at once. It also renews the lease in the file, so it shows
if the process is stopped or hangs. A watcher reads the folder's time stamp ten times a second and
every record twice a second.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from typing import TYPE_CHECKING

from bee_core.errors import IdTaken, RegistryError
from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import (
    Instance,
    Lease,
    Reach,
    Registry,
    RegistrySettings,
    Snapshot,
    logger,
    printable,
)
from bee_plugins.registries.local.folder import (
    RENEWED_AT,
    SUFFIX,
    LocalRecord,
    ServiceView,
    boot_id,
    choose_root,
    decode,
    encode,
    encode_renewed,
    prepare,
    renewed,
    service_folder,
)
from bee_plugins.registries.local.locked_file import HeldFile, NotOursError, look, remove_dead
from bee_plugins.registries.shared.node_record import LARGEST, fields_of, safe_name
from bee_plugins.registries.shared.watched_registry import (
    REPLACED,
    REVOKED,
    WatchedLease,
    WatchedRegistry,
    id_taken,
    refused,
    title,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


log = logger("bee.registry.local")

POLL_SECONDS = 0.1
"""Seconds between two looks at a folder's time stamp: half of the 200 ms that are promised."""
_OFTEN = 0.5
"""Seconds between two confirmations, where the heartbeat is shorter."""
# A watcher that looks at a dead process's file keeps the name busy for a moment.
_TRIES = 10
_BETWEEN_TRIES = 0.01


class LocalLease(WatchedLease):
    """A file with a lock.

    Args:
        registry: Writes the file again if somebody else wrote to it.
        instance: What is registered.
        data: Its record.
        file: The file.
        ttl: Seconds that it outlives its last renewal.

    Attributes:
        file: The file of now.
        repairs: See :class:`bee_core.interfaces.Lease`.
    """

    def __init__(
        self, registry: LocalRegistry, instance: Instance, data: bytes, file: HeldFile, ttl: float
    ) -> None:
        super().__init__(ttl, title(instance))
        self._registry = registry
        self._instance = instance
        self._data = data
        self.file = file
        self.repairs = 0

    async def _renew(self) -> str:
        path = self.file.path
        if not self.file.held:
            return f"{path} is no longer open here; a forked child has none of its parent's"
        now = time.monotonic()
        self._data = renewed(self._data, now)
        try:
            if self.file.in_place:
                self.file.write(RENEWED_AT, encode_renewed(now))
                if self.file.has(self._data):
                    return ""
        except OSError as error:
            raise OSError(
                f"the registration of {self._name} cannot be renewed in {path}: "
                f"{error.strerror or error}"
            ) from error
        try:
            self.file = await self._registry.write(self._instance, self._data, self)
        except IdTaken as error:
            self.over = self.over or str(error)
            raise
        self.repairs += 1
        return ""

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`."""
        self.over = self.over or REVOKED
        self.file.remove()


class LocalRegistry(WatchedRegistry):
    """See :class:`bee_core.interfaces.Registry`. Its file operations are short: the loop does them.

    Raises:
        ValueError: The address is not one absolute path.
    """

    reach: Reach = "machine"

    def __init__(self, settings: RegistrySettings) -> None:
        super().__init__(settings, log)
        self._root = choose_root(settings.addresses, os.environ)
        self.addresses = ()  # the namespace has its one folder, however it was named
        self.namespace = printable(f"folder={self._root}")
        self.confirms_every = max(settings.heartbeat_interval, _OFTEN)
        self._boot = boot_id()
        self._leases: dict[str, LocalLease] = {}
        self._tidied: set[str] = set()

    async def register(self, instance: Instance) -> Lease:
        """See :meth:`bee_core.interfaces.Registry.register`.

        It replaces an earlier registration of the same id by this object.

        Raises:
            IdTaken: Another process that lives has the id.
            RegistryError: The folder cannot be trusted, made or written. The message says what to
                do.
        """
        try:
            data = self._encode(instance)
            # What readers would skip is refused here, where somebody can correct it.
            decode(data, safe_name(instance.node.id) + SUFFIX)
        except ValueError as error:
            raise refused(instance, f"its record {error}") from error
        file = await self.write(instance, data)
        lease = LocalLease(self, instance, data, file, self._ttl)
        self._leases[file.path] = lease
        return lease

    async def write(
        self, instance: Instance, data: bytes, renewing: LocalLease | None = None
    ) -> HeldFile:
        """A file of the instance's name with this content.

        It takes the name from an earlier file of this object, and from one of a dead process.

        Args:
            instance: Whose record it is.
            data: The record.
            renewing: The lease that is renewed, or None for a new one, which ends the old one.

        Raises:
            IdTaken: Another process that lives has the name.
            RegistryError: The folder cannot be trusted, made or written.
        """
        folder = service_folder(self._root, instance.service)
        name = safe_name(instance.node.id)
        path = f"{folder}/{name}{SUFFIX}"
        try:
            prepare(self._root, instance.service)
            self._tidy(folder)
            for _ in range(_TRIES):
                file = HeldFile(f"{folder}/.{name}.{secrets.token_hex(6)}", data)
                before = self._leases.get(path)
                if before is not None and before.file.in_place:
                    # Only now that the new record is written: the name passes to it in one step.
                    before.file.let_go()
                try:
                    if file.move(path):
                        if before is not None:
                            before.file.let_go()
                            before.over = before.over or ("" if before is renewing else REPLACED)
                        return file
                except FileNotFoundError:
                    prepare(self._root, instance.service)  # the folder was removed meanwhile
                finally:
                    if file.path != path:
                        file.remove()
                await asyncio.sleep(_BETWEEN_TRIES)
        except NotOursError as error:
            raise refused(instance, f"{path} {error}; remove it") from error
        except OSError as error:
            raise RegistryError(
                f"{title(instance)} cannot be registered in {self._root}: "
                f"{(error.strerror or str(error)).lower()}; make room or set its permissions "
                "right, or name another folder as bee.rpc.registry.address or in BEE_LOCAL_DIR"
            ) from error
        raise id_taken(instance, self._holder(path))

    def _encode(self, instance: Instance) -> bytes:
        now = time.monotonic()
        return encode(
            LocalRecord(
                **fields_of(instance.node),
                renewed=now,
                since=now,
                ttl=self._ttl,
                boot=self._boot,
                pid=os.getpid(),
                service=instance.service,
            )
        )

    def _tidy(self, folder: str) -> None:
        """Once a folder: remove unfinished records of dead processes.

        Watchers remove dead records that were finished.
        """
        if folder in self._tidied:
            return
        self._tidied.add(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                    remove_dead(entry.path)

    def _holder(self, path: str) -> str:
        try:
            record, node = decode(look(path, LARGEST).data, path.rpartition("/")[2])
        except (OSError, ValueError, NotOursError):
            return "another process"
        return f"process {record.pid} at {node.url}"

    async def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """See :meth:`bee_core.interfaces.Registry.watch`.

        A missing folder has no nodes, and the watch waits for it. A confirmation says that the
        folder has been looked at.

        Raises:
            RegistryError: The folder cannot be trusted or read.
        """
        warnings = self._warnings[service]
        view = ServiceView(self._root, service, self._boot, time.monotonic, warnings)
        last: Snapshot | None = None
        due = 0.0
        while True:
            nodes = view.nodes()
            now = time.monotonic()
            if last is None or nodes != last.nodes:
                last = Snapshot(next(self._revisions), "registry", nodes)
            elif now < due:
                await asyncio.sleep(POLL_SECONDS)
                continue
            due = now + self.confirms_every - 2 * POLL_SECONDS
            yield last

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Registry.close`.

        Instances that were not revoked count as dead from now on.
        """
        leases, self._leases = self._leases, {}
        for lease in leases.values():
            lease.file.let_go()


@hookimpl
def bee_register_registries(registry: Registrar[Registry]) -> None:
    """Offer ``local``."""
    registry.add("local", LocalRegistry)
