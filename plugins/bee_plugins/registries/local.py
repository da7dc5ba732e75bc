"""Registry ``local``: processes of one user on one machine find each other through a folder. No daemon, nothing to install.

An instance is a file (see ``local_records``) in the folder of its service (``local_folder``). Its process holds the file's lock (``local_locks``), which shows its death at once; it
renews the lease in the file, which shows when it is stopped or hangs. Watchers (``local_view``) look at the folder's time stamp ten times a second and at every record twice.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
import time
from typing import TYPE_CHECKING

from bee_core.errors import RegistryError
from bee_core.hookspecs import hookimpl
from bee_core.interfaces import Snapshot
from bee_plugins.registries.complaints import Complaints
from bee_plugins.registries.local_folder import SUFFIX, choose_root, prepare, service_folder
from bee_plugins.registries.local_locks import HeldFile, NotOursError, look, remove_dead
from bee_plugins.registries.local_records import (
    RENEWED_AT,
    Record,
    boot_id,
    decode,
    encode,
    encode_renewed,
)
from bee_plugins.registries.local_view import ServiceView
from bee_plugins.registries.records import LARGEST
from bee_plugins.registries.safe_names import safe_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Instance, Lease, Node, Registry, RegistrySettings

log = logging.getLogger("bee.registry.local")

POLL_SECONDS = 0.1
"""How often a watcher looks at the time stamp of a folder. Half of the 200 ms within which a change is promised to be seen."""
_BEATS = 3
# A name can be busy for a moment because a watcher looks at a dead process's file.
_TRIES = 10
_BETWEEN_TRIES = 0.01


class LocalLease:
    """A file with a lock."""

    def __init__(self, file: HeldFile, ttl: float, name: str) -> None:
        self.ttl = ttl
        self._file = file
        self._name = name

    async def renew(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.renew`. Writes a few bytes in place."""
        if not self._file.in_place:
            self._file.let_go()
            raise RegistryError(
                f"the registration of {self._name} has gone: {self._file.path} was removed or replaced, or belongs to the parent process"
            )
        try:
            self._file.write(RENEWED_AT, encode_renewed(time.monotonic()))
        except OSError as error:
            raise RegistryError(
                f"the registration of {self._name} cannot be renewed in {self._file.path}: {error.strerror or error}"
            ) from error

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`."""
        self._file.remove()

    def let_go(self) -> None:
        """Leave the record to whoever finds it dead."""
        self._file.let_go()


class LocalRegistry:
    """See :class:`bee_core.interfaces.Registry`. All file operations are short and are done on the loop."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._root = choose_root(settings.addresses, os.environ)
        self._ttl = _BEATS * settings.heartbeat_interval
        self._boot = boot_id()
        self._leases: dict[str, LocalLease] = {}
        self._tidied: set[str] = set()
        self._revisions = itertools.count(1)
        self._complaints: dict[str, Complaints] = {}

    def known(self, service: str, addresses: tuple[Node, ...]) -> Snapshot | None:
        """See :meth:`bee_core.interfaces.Registry.known`. Nothing without a look at the folder."""
        return None

    async def register(self, instance: Instance) -> Lease:
        """See :meth:`bee_core.interfaces.Registry.register`.

        A registration of the same id that this object made before is replaced.

        Raises:
            RegistryError: Another process that lives has the id; the folder cannot be trusted, made or written. The message says what to do.
        """
        service, node = instance.service, instance.node
        name = f"{service} at {node.url}"
        folder = service_folder(self._root, service)
        file_name = safe_name(node.id) + SUFFIX
        path = f"{folder}/{file_name}"
        try:
            prepare(self._root, service)
            decode(
                self._encode(instance), file_name
            )  # what others would skip is refused here, where somebody can do something about it
            self._tidy(folder)
            for _ in range(_TRIES):
                file = HeldFile(
                    f"{folder}/.{safe_name(node.id)}.{secrets.token_hex(6)}", self._encode(instance)
                )
                before = self._leases.pop(path, None)
                if before is not None:
                    before.let_go()  # only now, when the new record is written: the name passes to it in one step
                try:
                    if file.move(path):
                        lease = self._leases[path] = LocalLease(file, self._ttl, name)
                        return lease
                except FileNotFoundError:
                    prepare(self._root, service)  # the folder was removed in this moment
                finally:
                    if file.path != path:
                        file.remove()
                await asyncio.sleep(_BETWEEN_TRIES)
        except ValueError as error:
            raise RegistryError(f"{name} cannot be registered: its record {error}") from error
        except NotOursError as error:
            raise RegistryError(
                f"{name} cannot be registered: {path} {error}; remove it"
            ) from error
        except OSError as error:
            raise RegistryError(
                f"{name} cannot be registered in {self._root}: {(error.strerror or str(error)).lower()}; "
                "make room or set its permissions right, or name another folder as bee.rpc.registry.address or in BEE_LOCAL_DIR"
            ) from error
        raise RegistryError(
            f"{name} cannot be registered: {self._holder(path)} has registered the id {node.id!r} and lives; stop it, or give each server an id of its own"
        )

    def _encode(self, instance: Instance) -> bytes:
        node = instance.node
        return encode(
            Record(
                renewed=time.monotonic(),
                ttl=self._ttl,
                boot=self._boot,
                pid=os.getpid(),
                service=instance.service,
                id=node.id,
                address=node.url,
                version=node.version,
                weight=node.weight,
                zone=node.zone,
                tags=tuple(sorted(node.tags)),
                workers=node.workers,
            )
        )

    def _tidy(self, folder: str) -> None:
        """Once a folder: remove the files in the making that processes left which died over them. Dead records are the watchers' business."""
        if folder in self._tidied:
            return
        self._tidied.add(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                    remove_dead(entry.path)

    def _holder(self, path: str) -> str:
        try:
            return f"process {decode(look(path, LARGEST).data, os.path.basename(path))[0].pid}"  # noqa: PTH119
        except (OSError, ValueError, NotOursError):
            return "another process"

    async def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """See :meth:`bee_core.interfaces.Registry.watch`.

        Raises:
            RegistryError: The folder cannot be trusted or read. A missing one has no nodes, and is waited for.
        """
        view = ServiceView(
            self._root,
            service,
            self._boot,
            time.monotonic,
            self._complaints.setdefault(service, Complaints(log)),
        )
        nodes = view.nodes()
        yield Snapshot(next(self._revisions), "registry", nodes)
        while True:
            await asyncio.sleep(POLL_SECONDS)
            before, nodes = nodes, view.nodes()
            if nodes != before:
                yield Snapshot(next(self._revisions), "registry", nodes)

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Registry.close`. What was not revoked counts as dead from now on."""
        leases, self._leases = self._leases, {}
        for lease in leases.values():
            lease.let_go()


@hookimpl
def bee_register_registries(registry: Registrar[Registry]) -> None:
    """Offer ``local``."""
    registry.add("local", LocalRegistry)
