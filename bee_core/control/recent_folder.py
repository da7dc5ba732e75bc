"""The folder where processes of this user can be asked for their last calls.

It holds a socket for each client and server that runs, and what processes wrote when they crashed.
It belongs to this user alone (mode 0700): the calls of a service are nobody else's business.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SOCKET = re.compile(r"(\d+)-(\d+)\.sock")
"""Process, and a number within the process."""
DUMP_SUFFIX = ".json"
MOST_DUMPS = 20
"""Files of crashes that are kept, the newest: a service that crashes in a loop fills no disk."""
_LONGEST_PATH = 107
"""Bytes of ``sun_path`` on Linux, without the last, which is zero (unix(7))."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class UnusableFolderError(OSError):
    """The folder cannot be used; the text says why, and what to do."""


def default_folder(environment: Mapping[str, str] | None = None) -> Path:
    """``$BEE_RECENT_DIR``, or ``bee-recent`` in ``$XDG_RUNTIME_DIR``, or one in the temporary ones.

    ``$XDG_RUNTIME_DIR`` is used only if this user owns it: ``su`` and ``sudo`` may leave another
    user's.
    """
    variables = os.environ if environment is None else environment
    if own := variables.get("BEE_RECENT_DIR"):
        return Path(own).expanduser().absolute()
    runtime = variables.get("XDG_RUNTIME_DIR", "")
    with contextlib.suppress(OSError):
        if runtime.startswith("/") and Path(runtime).stat().st_uid == os.geteuid():
            return Path(runtime) / "bee-recent"
    return Path(tempfile.gettempdir()) / f"bee-recent-{os.geteuid()}"


def prepared(folder: Path) -> Path:
    """The folder, made if it is missing, for its owner alone.

    Raises:
        UnusableFolderError: It cannot be made, or it is open to others.
    """
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        check(folder)
    except UnusableFolderError:
        raise
    except OSError as error:
        raise UnusableFolderError(
            f"the folder {folder} cannot be made ({error.strerror or error}); name another one in"
            " BEE_RECENT_DIR"
        ) from error
    return folder


def check(folder: Path) -> None:
    """Make sure that the folder is this user's alone.

    Raises:
        FileNotFoundError: It does not exist.
        UnusableFolderError: It is no folder, another user owns it, or others have rights there.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        problem = "is not a folder; remove it"
    elif found.st_uid != os.geteuid():
        problem = f"belongs to user {found.st_uid}; remove it"
    elif found.st_mode & _OTHERS:
        problem = f"is open to other users; run: chmod 700 {folder}"
    else:
        return
    raise UnusableFolderError(f"{folder} {problem}, or name another one in BEE_RECENT_DIR")


def sockets(folder: Path) -> list[Path]:
    """The sockets of the folder, by process; those of dead processes may be among them.

    Raises:
        UnusableFolderError: Another user could have put them there.
    """
    try:
        check(folder)
    except FileNotFoundError:
        return []
    found = [path for path in folder.iterdir() if SOCKET.fullmatch(path.name)]
    return sorted(found, key=lambda path: [int(part) for part in path.stem.split("-")])


def tidy(folder: Path) -> None:
    """Remove the sockets of processes that are gone. Never raises."""
    with contextlib.suppress(OSError):
        for path in sockets(folder):
            if not _runs(int(path.name.partition("-")[0])):
                with contextlib.suppress(OSError):
                    remove_if_deaf(path)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name of a socket that the kernel takes: a path of more than 107 bytes is too long for it.

    The name leads through the open folder, so it is valid only as long as the context.

    Raises:
        OSError: The folder is not there.
    """
    if len(os.fsencode(path)) <= _LONGEST_PATH or not hasattr(os, "O_PATH"):
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def remove_if_deaf(path: Path) -> bool:
    """Remove a socket at which nobody listens. A process of another container may be alive.

    Returns:
        Whether it was removed.

    Raises:
        OSError: The folder is gone.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, short_path(path) as short:
        probe.setblocking(False)
        refused = probe.connect_ex(short) == errno.ECONNREFUSED
    if refused:
        with contextlib.suppress(OSError):
            path.unlink()
    return refused


def dumps(folder: Path) -> list[Path]:
    """What crashed processes have left, the oldest first."""
    found = [path for path in folder.glob(f"*{DUMP_SUFFIX}") if not path.name.startswith(".")]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def write_dump(folder: Path, name: str, text: bytes) -> Path:
    """Write a file for this user alone, whole or not at all, and remove those that are too many.

    Raises:
        OSError: It cannot be written.
    """
    prepared(folder)
    path, unfinished = folder / f"{name}{DUMP_SUFFIX}", folder / f".{name}"
    try:
        with os.fdopen(
            os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
        ) as file:
            file.write(text)
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    with contextlib.suppress(OSError):
        for old in dumps(folder)[:-MOST_DUMPS]:
            old.unlink()
    return path
