"""Files whose lock tells whether the process that made them lives.

The owner holds a ``flock`` on its file for as long as it lives; the kernel lets go of it at the process's death, however it dies. A lock is tested by trying to share it.
``flock`` and not ``lockf``: a POSIX lock is lost as soon as its process closes *any* descriptor of the file, as a client does that watches its own server, and it is never
in its own process's way, so a process could not test its own files. The price is that a forked child shares the lock; so children close what they inherit.

The name of a file is given to another one, or removed, only while the lock of the file behind it is held. So whoever takes over from a dead process is alone, without a lock file
that a stopped process could keep forever.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from threading import RLock
from typing import TYPE_CHECKING
from weakref import WeakSet

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

# No fork while a descriptor is open that the child would not know of.
_forks = RLock()
_held: WeakSet[HeldFile] = WeakSet()


class NotOursError(Exception):
    """A file that bee has not made; the text is a reason to stand behind its name."""


@attrs.frozen
class Seen:
    """What a look at a file found.

    Attributes:
        data: Its content, at most one byte more than the limit.
        inode: Which file it was.
        held: Whether the process that made it lives.
    """

    data: bytes
    inode: int
    held: bool


class HeldFile:
    """A file that this process has made and whose lock it holds. Not thread-safe.

    Args:
        path: Must not exist.
        data: Its content, complete before anybody can find the lock free.

    Raises:
        OSError: It cannot be made, written or locked. Nothing stays behind.
    """

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        with _forks:
            self._fd = os.open(path, _OPEN | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            _held.add(self)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.write(0, data)
            self._inode = os.fstat(self._fd).st_ino
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108  as everywhere in the plugin
            self.let_go()
            raise

    def write(self, offset: int, data: bytes) -> None:
        """Write in place, all of it or an OSError."""
        while data:
            written = os.pwrite(self._fd, data, offset)
            offset, data = offset + written, data[written:]

    @property
    def in_place(self) -> bool:
        """Whether this process still holds it and it still stands under its name."""
        return self._fd >= 0 and _inode(self.path) == self._inode

    def move(self, path: str) -> bool:
        """Take a name, also that of a file whose process is dead.

        Returns:
            False while the process that has the name lives, or for a moment while somebody looks at a dead one's file.

        Raises:
            NotOursError: Something else than a file has the name.
            OSError: The folder has gone, or cannot be written.
        """
        try:
            os.link(self.path, path)  # unlike rename it never replaces
        except FileExistsError:
            with _locked(path) as inode:
                if inode is None:
                    return False
                os.replace(self.path, path)  # noqa: PTH105
        else:
            os.unlink(self.path)  # noqa: PTH108
        self.path = path
        return True

    def remove(self) -> None:
        """Remove it, where it still stands under its name, and let go. Idempotent."""
        if self.in_place:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)  # noqa: PTH108
        self.let_go()

    def let_go(self) -> None:
        """Give the lock up; whoever looks takes the process for dead. Idempotent."""
        with _forks:
            _held.discard(self)
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


def look(path: str, limit: int) -> Seen:
    """Read a file and test its lock, without waiting for anything.

    Raises:
        NotOursError: It is not a regular file, belongs to somebody else, or is larger than ``limit`` bytes.
        OSError: It has gone, or cannot be read.
    """
    with _forks:
        fd = _open(path)
        try:
            found = os.fstat(fd)
            if found.st_size > limit:
                raise NotOursError(f"is larger than {limit} bytes")
            return Seen(os.read(fd, limit + 1), found.st_ino, not _lock(fd, fcntl.LOCK_SH))
        finally:
            _unlock(fd)


def remove_dead(path: str, inode: int | None = None) -> bool:
    """Remove what a dead process left.

    Args:
        path: The file.
        inode: The file that was found dead; another one under this name stays.

    Returns:
        Whether it was removed.
    """
    try:
        with _locked(path) as locked:
            if locked is None or inode not in {None, locked}:
                return False
            os.unlink(path)  # noqa: PTH108
            return True
    except (OSError, NotOursError):
        return False  # tidiness is no duty


@contextlib.contextmanager
def _locked(path: str) -> Iterator[int | None]:
    """Hold the lock of the file behind a name; yields its inode, or None where its process lives or the name has gone to another file meanwhile."""
    with _forks:
        try:
            fd = _open(path)
        except FileNotFoundError:
            yield None
            return
        try:
            inode = os.fstat(fd).st_ino
            yield inode if _lock(fd, fcntl.LOCK_EX) and _inode(path) == inode else None
        finally:
            _unlock(fd)


def _open(path: str) -> int:
    try:
        fd = os.open(path, _OPEN | os.O_RDONLY)
    except OSError as error:
        if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            raise NotOursError("is not a regular file") from None
        if isinstance(error, PermissionError):
            raise NotOursError("cannot be read by this user") from None
        raise
    found = os.fstat(fd)
    reason = (
        "is not a regular file"
        if not stat.S_ISREG(found.st_mode)
        else f"belongs to user {found.st_uid}"
        if found.st_uid != os.geteuid()
        else ""
    )
    if reason:
        os.close(fd)
        raise NotOursError(reason)
    return fd


def _lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(fd: int) -> None:
    # Closing alone would leave the lock with a child that a library in C has forked in between.
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def _inode(path: str) -> int | None:
    try:
        return os.lstat(path).st_ino
    except OSError:
        return None


def _in_child() -> None:
    # The registrations are the parent's. A child that kept them open would keep them alive after the parent's death.
    for held in list(_held):
        held.let_go()
    _forks.release()


os.register_at_fork(before=_forks.acquire, after_in_parent=_forks.release, after_in_child=_in_child)
