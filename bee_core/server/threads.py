"""The threads that run a service's ``def`` handlers.

Not ``concurrent.futures``: the interpreter joins its threads when it leaves, so one handler that
hangs would keep a drained server alive for ever. These are daemon threads. They start when they are
needed, up to a bound, and each job costs one queue operation instead of a future.
"""

from __future__ import annotations

from queue import SimpleQueue
from threading import Lock, Thread, current_thread
from time import monotonic
from typing import TYPE_CHECKING

from .log_lines import log

if TYPE_CHECKING:
    from collections.abc import Callable


class NoThread(RuntimeError):
    """There is no thread for a job, and the system gives no new one."""


def _LEAVE() -> None:  # noqa: N802  # a mark and not a job
    """Ends a thread that is one too many."""


class HandlerThreads:
    """A pool of daemon threads.

    Args:
        name: For the threads' names.
        size: The most threads there will be.

    Attributes:
        size: As it is now.
        free: Threads without a job, less the jobs that wait. Read without a lock.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self.size = size
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = Lock()
        self._threads: list[Thread] = []
        self.free = 0  # threads without a job, less the jobs that wait

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job on a thread, as soon as one is free.

        Raises:
            NoThread: The system gives no thread, and there is none yet. The job will not run.
        """
        with self._lock:
            if self.free <= 0 and len(self._threads) < self.size:
                self._start_thread()
            self.free -= 1
        self._jobs.put(job)

    @property
    def waiting(self) -> int | None:
        """Jobs that wait for a thread; None where a thread is free or another may be started."""
        free = self.free
        return -free if free <= 0 and len(self._threads) >= self.size else None

    def resize(self, size: int) -> None:
        """Take another bound. Threads above it end when they are free."""
        with self._lock:
            self.size = size
            for _ in range(len(self._threads) - size):
                self.free -= 1
                self._jobs.put(_LEAVE)

    def _start_thread(self) -> None:
        thread = Thread(
            target=self._work, name=f"bee-{self._name}-{len(self._threads)}", daemon=True
        )
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:
            # The system has a bound of its own. Those that are there take the job; later jobs try
            # again.
            if not self._threads:
                raise NoThread(f"no thread can be started for the handler: {error}") from error
            return
        self._threads.append(thread)
        self.free += 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if job is _LEAVE:
                with self._lock:
                    if len(self._threads) > self.size:
                        self._threads.remove(current_thread())
                        return
                    self.free += 1  # the bound was raised again
                continue
            try:
                job()
            except BaseException:  # a job answers for itself; if it cannot, the thread lives on
                log.exception("a job failed on a thread of %s", self._name)
            del job
            with self._lock:
                self.free += 1

    def close(self, timeout: float) -> list[str]:
        """End the threads that are free.

        Args:
            timeout: Seconds to wait for all those that still work together.

        Returns:
            The names of the threads that hang in a handler; they end with the process.
        """
        for _ in self._threads:
            self._jobs.put(None)
        until = monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, until - monotonic()))
        return [thread.name for thread in self._threads if thread.is_alive()]
