"""The load of blocking callers: a thread each, over one client that all share."""

from __future__ import annotations

import threading
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ...calls.application_errors import call_error_of
from ...errors import CallCancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...client.proxies import Reply
    from .course import Course

_LOOK = 0.1  # seconds


class Callers:
    """Threads that call until the run is over.

    Args:
        course: The run.
        call: Makes one call.
        close: Closes the client, so that calls in flight end, when the run ends early.
    """

    def __init__(
        self, course: Course, call: Callable[[], Reply[Any]], close: Callable[[], None]
    ) -> None:
        self._course = course
        self._call = call
        self._close = close
        self._lock = threading.Lock()  # of the tally
        self._stop = threading.Event()
        self._left = course.load.concurrency
        self._done = threading.Event()
        self._broken: BaseException | None = None

    def run(self, show: Callable[[float], None]) -> float:
        """Call until the run is over.

        Args:
            show: Is told the time a few times a second.

        Returns:
            When the last call ended.
        """
        course = self._course
        work = self._closed if course.schedule is None else self._open
        threads = [
            threading.Thread(target=self._work, args=(work,), name=f"bee-bench-{number}")
            for number in range(course.load.concurrency)
        ]
        started = []
        try:
            for thread in threads:
                thread.start()
                started.append(thread)
            while not self._done.wait(_LOOK) and not course.ending:
                now = perf_counter()
                course.look(now)
                show(now)
        finally:
            self._stop.set()
            if self._left:  # the run ends early
                self._close()
            for thread in started:
                thread.join()
        if self._broken is not None:
            raise self._broken
        return perf_counter()

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # a bug or a plugin's: the command reports it
            with self._lock:
                self._broken = self._broken or error
            self._done.set()
        finally:
            with self._lock:
                self._left -= 1
                if not self._left:
                    self._done.set()

    def _closed(self) -> None:
        until = self._course.until
        while (now := perf_counter()) < until and not self._stop.is_set():
            self._make(now, None)

    def _open(self) -> None:
        schedule = self._course.schedule
        assert schedule is not None  # noqa: S101  # for the type checker
        while not self._stop.is_set() and (planned := schedule.take()) is not None:
            now = perf_counter()
            if planned > now:
                if self._stop.wait(planned - now):
                    return
                now = perf_counter()
            self._make(planned, now)

    def _make(self, planned: float, began: float | None) -> None:
        course = self._course
        try:
            reply = self._call()
        except CallCancelled:
            if not self._stop.is_set():
                raise
            with self._lock:
                course.given_up += 1
        except Exception as raised:
            error, ended = call_error_of(raised), perf_counter()
            if planned >= course.counted_from:
                with self._lock:
                    course.tally.add_error(error, ended - planned)
        else:
            ended = perf_counter()
            if planned >= course.counted_from:
                with self._lock:
                    course.tally.add_reply(
                        reply, ended - planned, None if began is None else ended - began
                    )
