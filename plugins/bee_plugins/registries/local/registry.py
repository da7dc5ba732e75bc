"""The registry ``local``. It needs no daemon and no installation.

An instance is a file in the folder of its service (``folder``). Its process holds the file's lock
(``locked_file``), so its death shows at once. It also renews the lease in the file, so it shows
if the process is stopped or hangs. A watcher reads the folder's time stamp ten times a second and
every record twice a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from typing import TYPE_CHECKING

from bee_core.errors import RegistryError
from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Instance, Lease, Node, Registry, RegistrySettings, Snapshot
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
    service_folder,
)
from bee_plugins.registries.local.locked_file import HeldFile, NotOursError, look, remove_dead
from bee_plugins.registries.shared.node_record import LARGEST, fields_of, safe_name
from bee_plugins.registries.shared.watched_registry import (
    WatchedLease,
    WatchedRegistry,
    id_taken,
    refused,
    title,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


log = logging.getLogger("bee.registry.local")

POLL_SECONDS = 0.1
"""Seconds between two looks at a folder's time stamp: half of the 200 ms that are promised."""
# A watcher that looks at a dead process's file keeps the name busy for a moment.
_TRIES = 10
_BETWEEN_TRIES = 0.01


class LocalLease(WatchedLease):
    """A file with a lock.

    Attributes:
        file: The file.
    """

    def __init__(self, file: HeldFile, ttl: float, name: str) -> None:
        super().__init__(ttl, name)
        self.file = file

    async def _renew(self) -> str:
        path = self.file.path
        if not self.file.in_place:
            self.file.let_go()
            return f"{path} was removed or replaced, or belongs to the parent process"
        try:
            self.file.write(RENEWED_AT, encode_renewed(time.monotonic()))
        except OSError as error:
            raise RegistryError(
                f"the registration of {self._name} cannot be renewed in {path}: "
                f"{error.strerror or error}"
            ) from error
        return ""

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`."""
        self.file.remove()


class LocalRegistry(WatchedRegistry):
    """See :class:`bee_core.interfaces.Registry`. Its file operations are short: the loop does them.

    Raises:
        ValueError: The address is not one absolute path.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        super().__init__(settings, log)
        self._root = choose_root(settings.addresses, os.environ)
        self._boot = boot_id()
        self._leases: dict[str, LocalLease] = {}
        self._tidied: set[str] = set()

    async def register(self, instance: Instance) -> Lease:
        """See :meth:`bee_core.interfaces.Registry.register`.

        It replaces an earlier registration of the same id by this object.

        Raises:
            RegistryError: Another process that lives has the id, or the folder cannot be
                trusted, made or written. The message says what to do.
        """
        node = instance.node
        folder = service_folder(self._root, instance.service)
        file_name = safe_name(node.id) + SUFFIX
        path = f"{folder}/{file_name}"
        try:
            prepare(self._root, instance.service)
            # What readers would skip is refused here, where somebody can correct it.
            decode(self._encode(instance), file_name)
            self._tidy(folder)
            for _ in range(_TRIES):
                unfinished = f"{folder}/.{safe_name(node.id)}.{secrets.token_hex(6)}"
                file = HeldFile(unfinished, self._encode(instance))
                before = self._leases.pop(path, None)
                if before is not None:
                    # Only now that the new record is written: the name passes to it in one step.
                    before.file.let_go()
                try:
                    if file.move(path):
                        lease = self._leases[path] = LocalLease(file, self._ttl, title(instance))
                        return lease
                except FileNotFoundError:
                    prepare(self._root, instance.service)  # the folder was removed meanwhile
                finally:
                    if file.path != path:
                        file.remove()
                await asyncio.sleep(_BETWEEN_TRIES)
        except ValueError as error:
            raise refused(instance, f"its record {error}") from error
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
        return encode(
            LocalRecord(
                **fields_of(instance.node),
                renewed=time.monotonic(),
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
            record, _ = decode(look(path, LARGEST).data, path.rpartition("/")[2])
        except (OSError, ValueError, NotOursError):
            return "another process"
        return f"process {record.pid}"

    async def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """See :meth:`bee_core.interfaces.Registry.watch`.

        A missing folder has no nodes, and the watch waits for it.

        Raises:
            RegistryError: The folder cannot be trusted or read.
        """
        warnings = self._warnings[service]
        view = ServiceView(self._root, service, self._boot, time.monotonic, warnings)
        nodes: tuple[Node, ...] | None = None
        while True:
            before, nodes = nodes, view.nodes()
            if nodes != before:
                yield Snapshot(next(self._revisions), "registry", nodes)
            await asyncio.sleep(POLL_SECONDS)

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
