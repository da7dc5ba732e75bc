"""Files whose lock shows whether the process that made them lives.

The owner holds a ``flock`` on its file as long as it lives. The kernel frees the lock when the
process dies, however it dies. A reader tests the lock by trying to share it.

Why ``flock`` and not ``lockf``: a process loses a POSIX lock as soon as it closes *any*
descriptor of the file, and a client that watches its own server does so. A POSIX lock also never
blocks its own process, so a process could not test its own files. The price of ``flock``: a
forked child shares the lock, so children close what they inherit.

A file's name passes to another file, or is removed, only while the lock of the file behind it is
held. So only one process can take over from a dead one, and there is no lock file that a stopped
process could keep forever. Paths are plain texts here, since a scan handles many.
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

# Forks wait while a descriptor is open that the child would not know of.
_forks = RLock()
_held: WeakSet[HeldFile] = WeakSet()


class NotOursError(Exception):
    """bee did not make this file. The text continues a sentence that begins with its name."""


@attrs.frozen
class Seen:
    """What a look at a file found.

    Attributes:
        data: Its content, at most one byte more than the limit.
        inode: Identifies the file.
        held: Whether the process that made it lives.
    """

    data: bytes
    inode: int
    held: bool


class HeldFile:
    """A file that this process made and has locked. Not thread-safe.

    Args:
        path: Must not exist.
        data: Its content, complete before anybody can find the lock free.

    Raises:
        OSError: It cannot be made, written or locked. No file is left.
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
                os.unlink(path)  # noqa: PTH108  see the top of the module
            self.let_go()
            raise

    def write(self, offset: int, data: bytes) -> None:
        """Write in place: all of it, or an OSError."""
        while data:
            written = os.pwrite(self._fd, data, offset)
            offset, data = offset + written, data[written:]

    @property
    def held(self) -> bool:
        """Whether this process still has the lock. A forked child has not."""
        return self._fd >= 0

    @property
    def in_place(self) -> bool:
        """Whether this process still has the lock and the file still has its name."""
        return self.held and _inode(self.path) == self._inode

    def has(self, data: bytes) -> bool:
        """Whether its content is this and nothing more."""
        return os.pread(self._fd, len(data) + 1, 0) == data

    def move(self, path: str) -> bool:
        """Take a name. It may be the name of a dead process's file.

        Returns:
            False while the process that has the name lives. Also, for a moment, while a watcher
            looks at a dead process's file.

        Raises:
            NotOursError: Something that is not a file has the name.
            OSError: The folder has gone, or cannot be written.
        """
        try:
            os.link(self.path, path)  # unlike rename, it never replaces a file
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
        """Remove it if it still has its name, and free the lock. Idempotent."""
        if self.in_place:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)  # noqa: PTH108
        self.let_go()

    def let_go(self) -> None:
        """Free the lock. Readers now take the process for dead. Idempotent."""
        with _forks:
            _held.discard(self)
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


def look(path: str, limit: int) -> Seen:
    """Read a file and test its lock, without waiting.

    Raises:
        NotOursError: It is not a regular file, another user owns it, or it is larger than
            ``limit`` bytes.
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


def remove_dead(path: str, inode: int | None = None) -> None:
    """Remove the file of a dead process. It is harmless, so a failure is no error.

    Args:
        path: The file.
        inode: The file whose process was found dead. Another file of this name stays.
    """
    with contextlib.suppress(OSError, NotOursError), _locked(path) as locked:
        if locked is not None and inode in {None, locked}:
            os.unlink(path)  # noqa: PTH108


@contextlib.contextmanager
def _locked(path: str) -> Iterator[int | None]:
    """Hold the lock of the file behind a name.

    Yields:
        Its inode. None if its process lives, or if the name passed to another file meanwhile.
    """
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
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
        return fd
    os.close(fd)
    if stat.S_ISREG(found.st_mode):
        raise NotOursError(f"belongs to user {found.st_uid}")
    raise NotOursError("is not a regular file")


def _lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(fd: int) -> None:
    # Closing alone would leave the lock with a child that a C library forked meanwhile.
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def _inode(path: str) -> int | None:
    try:
        return os.lstat(path).st_ino
    except OSError:
        return None


def _in_child() -> None:
    # The registrations are the parent's. A child that kept the files open would keep the locks
    # after the parent's death.
    for held in list(_held):
        held.let_go()
    _forks.release()


os.register_at_fork(before=_forks.acquire, after_in_parent=_forks.release, after_in_child=_in_child)
