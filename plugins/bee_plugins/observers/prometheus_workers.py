"""What the worker processes of one server share of ``prometheus``: a private temporary folder.

prometheus_client's multiprocess mode: each process writes its values to files of its own there, and
whoever exposes them adds them up. A file is locked while any of the processes lives, so that what a
killed program has left is told from what is in use, and removed by the next one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from .prometheus_numbers import add, families, forget, is_gauge, processes, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from .prometheus_numbers import Names

try:
    import fcntl
except ImportError:  # Windows, where there are no workers
    fcntl = None  # type: ignore[assignment]

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "bee-prometheus-"
_LOCK = ".lock"


class SharedFolder:
    """The folder, while this process has workers. Used on the main thread. A collector.

    Where ``PROMETHEUS_MULTIPROC_DIR`` is set already, that folder is used, and left as it is.

    Args:
        boundaries: Of the histograms.

    Attributes:
        path: The folder.
    """

    def __init__(self, boundaries: Sequence[float]) -> None:
        self._boundaries = boundaries
        self._before = values.ValueClass
        self._lock: int | None = None
        stated = os.environ.get(_VARIABLE)
        if stated is None:
            _remove_abandoned()
            self.path = tempfile.mkdtemp(prefix=_PREFIX)
            self._lock = os.open(Path(self.path, _LOCK), os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.environ[_VARIABLE] = self.path
        else:
            Path(stated).mkdir(parents=True, exist_ok=True)
            self.path = stated
            for pid in processes(stated):
                if not _lives(int(pid)):
                    forget(stated, pid)  # of an earlier run
        # What is counted from now on is kept in the folder. prometheus_client decides that when it
        # is imported, which was long ago. Never a second time: two would write to one file.
        if values.ValueClass is values.MutexValue:
            values.ValueClass = values.MultiProcessValue()
        # What processes that have ended have counted of calls.
        self._ended: dict[Names, list[float]] = {}

    def collect(self) -> Iterator[Metric]:
        """What all processes have counted together."""
        for pid in processes(self.path):
            if not _lives(int(pid)):
                self.process_ended(int(pid))  # not a worker, but forked by one
        sums = dict(self._ended)
        for pid in processes(self.path):
            add(sums, read(self.path, pid))
        yield from families(sums, self._boundaries)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, self.path)
        yield from registry.collect()

    def process_ended(self, pid: int) -> None:
        """Keep what a process has counted, and nothing of what it was.

        All processes that have ended share the files of process 0, so that there are not more and
        more of them.
        """
        counted = read(self.path, pid)
        add(self._ended, {names: one for names, one in counted.items() if not is_gauge(names)})
        forget(self.path, pid)
        mark_process_dead(pid, self.path)
        for kind in ("counter", "histogram", "summary"):
            left = Path(self.path, f"{kind}_{pid}.db")
            if left.exists():
                _add_up(left, Path(self.path, f"{kind}_0.db"))
                left.unlink()

    def remove(self) -> None:
        """Remove the folder, if it was made here."""
        values.ValueClass = self._before
        if self._lock is not None:
            os.environ.pop(_VARIABLE, None)
            os.close(self._lock)
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            forget(self.path, os.getpid())


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _add_up(source: Path, target: Path) -> None:
    counted = MmapedDict.read_all_values_from_file(str(source))
    sums = MmapedDict(str(target))
    try:
        for key, value, *_ in counted:
            sums.write_value(key, sums.read_value(key)[0] + value, 0.0)
    finally:
        sums.close()


def _remove_abandoned() -> None:
    """Remove the folders of programs of this user that were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody else's, or in use, or just removed
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
