"""The parent's side of ``workers``.

The parent binds the sockets once, forks processes that serve behind them, replaces those that die,
and announces and drains them as one server. It serves nothing itself. Its loop is asyncio's own:
uvloop is first touched in the children, since its state does not survive a fork.
"""

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
from ..errors import BeeError
from ..terms.addresses import parse
from ..terms.backoff import Backoff
from .accept_turns import WorkerTurns
from .event_loop import HUNG_LOOP_SECONDS, close_loop, patience, stop_signals
from .log_lines import say
from .worker import NEWS, READY, work

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from ..config.server_model import ServerConfig
    from ..contracts.transport import AcceptTurns
    from .assembly import Assembly
    from .readiness import Readiness
    from .reloads import Reloads
    from .status import ServerStatus
    from .worker import Serve

_STABLE_SECONDS = 10.0
"""A worker that lived this long is replaced at once. The replacement of one that died sooner waits,
twice as long each time: the worker may die of what it does first."""
_BACKOFF = Backoff(0.1, 5.0)
_START_TIMEOUT = 30.0
"""Seconds that the workers may take until they serve, beside their objects and start hooks. They
only fork and listen."""
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


class WorkerPool:
    """The worker processes of one server. Used once, on the main thread.

    Args:
        assembly: The parts of the server; its transports must be able to ``bind``.
        status: Shows metrics and probes, for all workers.
        serve: Makes what a worker does, of the sockets, by url, and its turns to accept.
        readiness: Of the server as a whole.
        ticked: Called for each tick of a worker's loop, or None.
        reloads: Reload the configuration here, for the workers that are forked from then on.
    """

    def __init__(
        self,
        assembly: Assembly,
        status: ServerStatus,
        serve: Callable[[Mapping[str, socket.socket], AcceptTurns], Serve],
        readiness: Readiness,
        ticked: Callable[[], object] | None,
        reloads: Reloads,
    ) -> None:
        self._readiness = readiness
        self._ticked = ticked
        self._assembly = assembly
        self._status = status
        self._serve = serve
        self._reloads = reloads
        self._watching: asyncio.Task[None] | None = None
        self._sockets: dict[str, socket.socket] = {}
        self._turns = WorkerTurns(assembly.settings.workers)
        self._workers: dict[int, _Worker] = {}
        self._changed = asyncio.Event()
        self._ticks = 0
        self._serving = self._draining = False
        self._failed = ""

    @property
    def _settings(self) -> ServerConfig:
        return self._assembly.settings

    def _patience(self) -> float:
        return patience(self._settings)

    def _reload_all(self) -> bool:
        """Reload the configuration here, and tell the workers to."""
        usable = self._reloads.now()
        if usable and hasattr(signal, "SIGHUP"):
            self._signal(signal.SIGHUP)
        self._watch_files()
        return usable

    def _watch_files(self) -> None:
        """Watch the files of the configuration, as long as it says so."""
        if self._reloads.wants_watch and not self._draining:
            if self._watching is None:
                watching = self._reloads.watch_files(self._reload_all)
                self._watching = asyncio.get_running_loop().create_task(watching)
        elif self._watching is not None:
            self._watching.cancel()
            self._watching = None

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain all workers.

        With a second signal this process leaves at once, and the workers with it.

        Raises:
            OSError: An address cannot be listened on, or not by several processes.
            BeeError: A worker could not start, or this system cannot fork.
        """
        if not hasattr(os, "fork"):
            raise BeeError(
                "this system cannot fork, so set workers: 1 and start several servers instead"
            )
        loop = asyncio.SelectorEventLoop()
        self._readiness.starting()
        try:
            self._bind()
            longest = 3 * HUNG_LOOP_SECONDS
            with (
                stop_signals(loop, lambda: self._patience() + longest) as stopping,
                self._reloads.on_hangup(loop, stopping.set, self._reload_all),
            ):
                loop.run_until_complete(self._supervise(loop, stopping))
        finally:
            self._release()
            close_loop(loop)
            self._readiness.stopped()

    def _bind(self) -> None:
        for url in self._settings.address:
            address = parse(url)
            bind = getattr(self._assembly.transports[address.scheme], "bind", None)
            if bind is None:
                raise BeeError(
                    f"{url}: this transport cannot share an address among processes; set workers: 1"
                )
            sock = bind(url, self._settings.backlog)
            real = (
                attrs.evolve(address, port=sock.getsockname()[1]).url if address.port == 0 else url
            )
            self._sockets[real] = sock

    def _release(self) -> None:
        sockets, self._sockets = self._sockets, {}
        for url, sock in sockets.items():
            transport: object = self._assembly.transports[parse(url).scheme]
            transport.release(sock)  # type: ignore[attr-defined]  # what has bind has release

    async def _supervise(self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
        self._life = os.pipe()
        self._news = os.pipe()
        for end in self._news:
            os.set_blocking(end, False)
        loop.add_reader(self._news[0], self._hear)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        observers = self._assembly.observers
        try:
            await self._status.open(on_thread=False, lives=self._lives)
            observers.tell_exposing("workers_begin")
            for number in range(1, self._settings.workers + 1):
                self._fork(number, 0)
            await self._started(stopping)
            if not stopping.is_set():
                await self._serve_until(loop, stopping)
            await self._drain_workers()
        finally:
            self._draining = True
            self._signal(signal.SIGKILL)
            await self._until(lambda: not self._workers, 5.0)
            self._status.close()
            observers.tell_exposing("workers_ended")
            loop.remove_signal_handler(signal.SIGCHLD)
            loop.remove_reader(self._news[0])
            for end in (*self._life, *self._news):
                os.close(end)

    async def _started(self, stopping: asyncio.Event) -> None:
        """Wait until all workers serve, one of them fails, or this process is to stop."""
        stopped = asyncio.ensure_future(stopping.wait())
        stopped.add_done_callback(lambda _: self._changed.set())
        in_time = await self._until(
            lambda: (
                stopping.is_set()
                or bool(self._failed)
                or all(worker.ready for worker in self._workers.values())
            ),
            seconds := _START_TIMEOUT + self._settings.start_timeout + self._settings.stop_timeout,
        )
        stopped.cancel()
        if self._failed or not in_time:
            raise BeeError(self._failed or f"the workers did not serve within {seconds:g} s")

    async def _serve_until(self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
        settings, count = self._settings, self._settings.workers
        self._serving = True
        for url in self._sockets:
            say(
                "listening",
                f"listening on {url} as {settings.name} {settings.version} with {count} workers",
                url=url,
                service=settings.name,
                version=settings.version,
                workers=count,
            )
        # Log lines are written on this thread, which forks. The lock of a log stream that another
        # thread held would stay locked in the child.
        self._readiness.listening()
        announcer = self._assembly.announce(
            tuple(self._sockets),
            count,
            lambda: self._ticks,
            loop.call_soon_threadsafe,
            self._readiness.registration,
        )
        if announcer is None:
            self._readiness.registration()
        self._status.announcer = announcer
        self._watch_files()
        await stopping.wait()
        self._readiness.draining()
        say("draining", f"draining: {len(self._workers)} workers", workers=len(self._workers))
        if announcer is not None:
            await announcer.leave()

    async def _drain_workers(self) -> None:
        self._draining = True
        self._readiness.draining()
        if self._watching is not None:
            self._watching.cancel()
        # Our copies first: a socket that we alone held open would take connections that nobody
        # accepts.
        self._release()
        self._signal(signal.SIGTERM)
        if not await self._until(lambda: not self._workers, self._patience() + 1.0):
            count, seconds = len(self._workers), self._settings.drain_timeout
            say(
                "workers_killed",
                f"{count} workers hang past drain_timeout ({seconds:g} s) and are killed",
                level=logging.WARNING,
                workers=count,
            )
        if self._serving:
            say("gone", "gone")

    def _lives(self) -> Verdict:
        """Whether calls are served: the loop of some worker ticks."""
        # As long as a lease is renewed without a tick: three of them make a heartbeat.
        patience = self._assembly.registry_section.heartbeat_interval
        now, workers = time.monotonic(), tuple(self._workers.items())
        hung = [(pid, one) for pid, one in workers if now - one.ticked > patience]
        lines = (
            f"worker {one.number} (process {pid}) hangs: no tick for {now - one.ticked:.0f} s"
            for pid, one in hung
        )
        return Verdict(len(hung) < len(workers) or not workers, tuple(lines))

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def _until(self, condition: Callable[[], bool], timeout: float) -> bool:
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

    def _fork(self, number: int, early_deaths: int) -> None:
        if self._draining:
            return  # it was to replace one that died
        sys.stdout.flush()
        sys.stderr.flush()
        # Until the child has handlers of its own, a signal would run the parent's in it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        serve, parent = self._serve(self._sockets, self._turns.of(number - 1)), os.getpid()
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
            asyncio.get_running_loop().call_later(delay, self._fork, number, early_deaths + 1)
        else:
            now = time.monotonic()
            self._workers[pid] = _Worker(number, now, early_deaths, now)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _hear(self) -> None:
        """The workers have written."""
        for kind, pid in NEWS.iter_unpack(os.read(self._news[0], NEWS.size * 1024)):
            worker = self._workers.get(pid)
            if worker is not None:
                worker.ticked = time.monotonic()
            if kind == READY and worker is not None:
                worker.ready = True
                self._changed.set()
                if self._serving:
                    say(
                        "worker_replaced",
                        f"worker {worker.number} serves again, as process {pid}",
                        worker=worker.number,
                        worker_pid=pid,
                    )
            self._ticks += 1
            if self._ticked is not None:
                self._ticked()

    def _reap(self) -> None:
        """A child has ended; signals of several may have become one."""
        for pid in tuple(self._workers):
            with contextlib.suppress(ChildProcessError):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    self._bury(pid, os.waitstatus_to_exitcode(status))

    def _bury(self, pid: int, code: int) -> None:
        worker = self._workers.pop(pid)
        self._changed.set()
        self._assembly.observers.tell_exposing("worker_ended", pid)
        if self._draining:
            return
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if not self._serving:
            self._failed = (
                self._failed
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
        asyncio.get_running_loop().call_later(delay, self._fork, worker.number, early_deaths)
