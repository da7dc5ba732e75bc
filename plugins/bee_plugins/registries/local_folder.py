"""Where the registry ``local`` keeps its records: one folder a user, in it one a service, in it one file an instance."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bee_core.errors import RegistryError
from bee_plugins.registries.safe_names import safe_name

if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIX = ".json"
"""Of records. Names that begin with a dot are files in the making."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def choose_root(addresses: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """The folder that ``address`` names, or the user's own.

    Without an address: ``$BEE_LOCAL_DIR``, else ``bee`` in ``$XDG_RUNTIME_DIR``, else ``bee-<uid>`` in the folder for temporary files. No I/O but a look at
    ``$XDG_RUNTIME_DIR``, which ``su`` and ``sudo`` leave pointing at another user's.

    Raises:
        ValueError: The address is not one absolute path.
    """
    if len(addresses) > 1:
        raise ValueError(
            f"the registry local has one folder, and address names {len(addresses)}: {', '.join(addresses)}"
        )
    stated = addresses[0] if addresses else environ.get("BEE_LOCAL_DIR", "")
    if stated:
        path = Path(stated).expanduser()
        if not path.is_absolute():
            where = "address" if addresses else "BEE_LOCAL_DIR"
            raise ValueError(
                f"{where} is {stated!r}; for the registry local it is a folder: write an absolute path, or leave it out for the user's own"
            )
        return str(path)
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and _is_own(runtime):
        return str(Path(runtime) / "bee")
    return str(Path(tempfile.gettempdir()) / f"bee-{os.geteuid()}")


def _is_own(folder: str) -> bool:
    try:
        return Path(folder).stat().st_uid == os.geteuid()
    except OSError:
        return False


def service_folder(root: str, service: str) -> str:
    """Where the records of a service lie."""
    return f"{root}/{safe_name(service)}"


def check(folder: str) -> None:
    """Make sure that nobody else can plant records in a folder.

    Raises:
        FileNotFoundError: There is none.
        RegistryError: It is not a folder, belongs to somebody else, or others may write to it. The message says what to do.
    """
    found = os.lstat(folder)
    me = os.geteuid()
    if stat.S_ISLNK(found.st_mode) and found.st_uid in {me, 0}:
        found = Path(folder).stat()  # one's own link, or the system's as in /var/run
    if not stat.S_ISDIR(found.st_mode):
        raise RegistryError(
            f"{folder} is not a folder; remove it, or name another folder as bee.rpc.registry.address"
        )
    if found.st_uid != me:
        raise RegistryError(
            f"the folder {folder} belongs to user {found.st_uid}, and this process runs as user {me}: whoever owns it could send calls anywhere. "
            "Remove it, or name a folder of your own as bee.rpc.registry.address or in BEE_LOCAL_DIR"
        )
    if found.st_mode & _OTHERS_WRITE:
        raise RegistryError(
            f"other users may write to the folder {folder}, so they could send calls anywhere; run: chmod go-w {folder}"
        )


def prepare(root: str, service: str) -> None:
    """Make the folder of a service where it is missing, for its owner alone.

    Raises:
        RegistryError: See :func:`check`; also when the folder that should hold ``root`` is missing, which is more likely a mistake than a wish.
        OSError: It cannot be made.
    """
    parent = Path(root).parent
    if not parent.is_dir():
        raise RegistryError(
            f"the folder {root} cannot be made, since {parent} does not exist; create it, or correct bee.rpc.registry.address or BEE_LOCAL_DIR"
        )
    for path in (root, service_folder(root, service)):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)  # noqa: PTH102  paths are plain texts here, since scans handle many
        check(path)
