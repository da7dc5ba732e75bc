"""The threads that run a service's ``def`` handlers.

Not ``concurrent.futures``: the interpreter joins its threads when it leaves, so one handler that
hangs would keep a drained server alive for ever. These are daemon threads. They start when they are
needed, up to a bound, and each job costs one queue operation instead of a future.
"""

from __future__ import annotations

from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class HandlerThreads:
    """A pool of daemon threads.

    Args:
        name: For the threads' names.
        size: The most threads there will be.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = Lock()
        self._threads: list[Thread] = []
        self._idle = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job on a thread, as soon as one is free. The job must not raise."""
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            elif len(self._threads) < self._size:
                thread = Thread(
                    target=self._work, name=f"bee-{self._name}-{len(self._threads)}", daemon=True
                )
                self._threads.append(thread)
                thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job
            with self._lock:
                self._idle += 1

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
