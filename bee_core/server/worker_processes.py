"""The worker processes as their parent has them: forked, heard, and replaced when they die."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
import warnings
from typing import TYPE_CHECKING

import attrs

from ..control.status import Verdict
from ..terms.backoff import Backoff
from .log_lines import say
from .worker import NEWS, READY, work

if TYPE_CHECKING:
    from collections.abc import Callable

    from .worker import Serve

_STABLE_SECONDS = 10.0
"""A worker that lived this long is replaced at once. The replacement of one that died sooner waits,
twice as long each time: the worker may die of what it does first."""
_BACKOFF = Backoff(0.1, 5.0)
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)


@attrs.define(eq=False)
class _Worker:
    """A child.

    Attributes:
        number: Its place, from 1; its replacement takes it over.
        born: When it was forked, seconds of the monotonic clock.
        early_deaths: How many before it, in its place and in a row, did not live long.
        ticked: When its loop ticked last, or when it was forked.
        ready: Whether it serves.
    """

    number: int
    born: float
    early_deaths: int
    ticked: float
    ready: bool = False


class WorkerProcesses:
    """The workers of one server. On the main thread and its loop.

    Args:
        serve: Makes what the worker of a place does; places are counted from 1.
        patience: Says the seconds after the signal to stop when a worker leaves in any case.
        ended: Called with the process of each worker that has ended.
        ticked: Called for each tick of a worker's loop, or None.

    Attributes:
        running: The workers, by process.
        ticks: How often their loops have ticked in all.
        failed: Why one ended before all of them served; empty where none did.
        serving: Whether all of them have served. From then on one that dies is replaced.
        ending: Whether they are to end. From then on none is replaced.
    """

    def __init__(
        self,
        serve: Callable[[int], Serve],
        patience: Callable[[], float],
        ended: Callable[[int], object],
        ticked: Callable[[], object] | None,
    ) -> None:
        self._serve = serve
        self._patience = patience
        self._told_end = ended
        self._ticked = ticked
        self._changed = asyncio.Event()
        self.running: dict[int, _Worker] = {}
        self.ticks = 0
        self.failed = ""
        self.serving = self.ending = False

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to hear of workers. Before the first one is forked."""
        self._life = os.pipe()
        self._news = os.pipe()
        for end in self._news:
            os.set_blocking(end, False)
        loop.add_reader(self._news[0], self._hear)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear of them no more."""
        loop.remove_signal_handler(signal.SIGCHLD)
        loop.remove_reader(self._news[0])
        for end in (*self._life, *self._news):
            os.close(end)

    @property
    def all_ready(self) -> bool:
        """Whether all that run serve."""
        return all(worker.ready for worker in self.running.values())

    def changed(self) -> None:
        """Look at the condition of :meth:`until` again."""
        self._changed.set()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to all of them."""
        for pid in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait for a change that makes the condition true.

        Returns:
            False when that takes longer than ``timeout`` seconds.
        """
        until = time.monotonic() + timeout
        while not condition():
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._changed.clear()
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)
        return True

    async def ended(self, timeout: float) -> bool:
        """Wait until none is left.

        Returns:
            False when that takes longer than ``timeout`` seconds.
        """
        return await self.until(lambda: not self.running, timeout)

    def lives(self, patience: float) -> Verdict:
        """Whether calls are served: the loop of some worker ticks.

        Args:
            patience: Seconds that a loop may be without a tick.
        """
        now, workers = time.monotonic(), tuple(self.running.items())
        hung = [(pid, one) for pid, one in workers if now - one.ticked > patience]
        lines = (
            f"worker {one.number} (process {pid}) hangs: no tick for {now - one.ticked:.0f} s"
            for pid, one in hung
        )
        return Verdict(len(hung) < len(workers) or not workers, tuple(lines))

    def fork(self, number: int, early_deaths: int = 0) -> None:
        """Fork the worker of a place. If that fails it is tried again later.

        Args:
            number: The place, from 1.
            early_deaths: How many before it, in its place and in a row, did not live long.
        """
        if self.ending:
            return  # it was to replace one that died
        sys.stdout.flush()
        sys.stderr.flush()
        # Until the child has handlers of its own, a signal would run the parent's in it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        serve, parent = self._serve(number), os.getpid()
        try:
            with warnings.catch_warnings():
                # Python warns of forking beside threads. There may be the control plane's, which
                # lets go of what it has in the child.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                work(serve, self._life, self._news[1], parent, self._patience, mask)
        except OSError as error:
            delay = _BACKOFF.ceiling(early_deaths)
            say(
                "worker_not_started",
                f"worker {number} could not be forked ({error}); tried again in {delay:g} s",
                level=logging.ERROR,
                worker=number,
            )
            asyncio.get_running_loop().call_later(delay, self.fork, number, early_deaths + 1)
        else:
            now = time.monotonic()
            self.running[pid] = _Worker(number, now, early_deaths, now)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _hear(self) -> None:
        """The workers have written."""
        for kind, pid in NEWS.iter_unpack(os.read(self._news[0], NEWS.size * 1024)):
            worker = self.running.get(pid)
            if worker is not None:
                worker.ticked = time.monotonic()
            if kind == READY and worker is not None:
                worker.ready = True
                self._changed.set()
                if self.serving:
                    say(
                        "worker_replaced",
                        f"worker {worker.number} serves again, as process {pid}",
                        worker=worker.number,
                        worker_pid=pid,
                    )
            self.ticks += 1
            if self._ticked is not None:
                self._ticked()

    def _reap(self) -> None:
        """A child has ended; signals of several may have become one."""
        for pid in tuple(self.running):
            with contextlib.suppress(ChildProcessError):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    self._bury(pid, os.waitstatus_to_exitcode(status))

    def _bury(self, pid: int, code: int) -> None:
        worker = self.running.pop(pid)
        self._changed.set()
        self._told_end(pid)
        if self.ending:
            return
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if not self.serving:
            self.failed = (
                self.failed
                or f"worker {worker.number} {how} before it served; the lines above say why"
            )
            return
        lived = time.monotonic() - worker.born
        early_deaths = 0 if lived >= _STABLE_SECONDS else worker.early_deaths + 1
        delay = _BACKOFF.ceiling(early_deaths - 1) if early_deaths else 0.0
        say(
            "worker_lost",
            f"worker {worker.number} (process {pid}) {how}; replaced in {delay:g} s",
            level=logging.WARNING,
            worker=worker.number,
            worker_pid=pid,
            exit_code=code,
            delay=delay,
        )
        asyncio.get_running_loop().call_later(delay, self.fork, worker.number, early_deaths)
