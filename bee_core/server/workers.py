"""The parent's side of ``workers``.

The parent binds the sockets once, has processes serve behind them, and announces and drains them as
one server. It serves nothing itself. Its loop is asyncio's own: uvloop is first touched in the
children, since its state does not survive a fork. :mod:`.worker_processes` forks and replaces them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING

import attrs

from ..errors import BeeError
from ..terms.addresses import parse
from .accept_turns import WorkerTurns
from .event_loop import HUNG_LOOP_SECONDS, close_loop, patience, stop_signals
from .log_lines import say, say_faults
from .worker_processes import WorkerProcesses

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from ..config.server_model import ServerConfig
    from ..contracts.transport import AcceptTurns
    from ..control.status import Verdict
    from .assembly import Assembly
    from .readiness import Readiness
    from .reloads import Reloads
    from .status import ServerStatus
    from .worker import Serve

_START_TIMEOUT = 30.0
"""Seconds that the workers may take until they serve, beside their objects and start hooks. They
only fork and listen."""


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
        self._assembly = assembly
        self._status = status
        self._reloads = reloads
        self._watching: asyncio.Task[None] | None = None
        self._adds_up = False
        self._sockets: dict[str, socket.socket] = {}
        self._turns = WorkerTurns(assembly.settings.workers)
        self._processes = WorkerProcesses(
            lambda number: serve(self._sockets, self._turns.of(number - 1)),
            self._patience,
            lambda pid: assembly.observers.tell_exposing("worker_ended", pid),
            ticked,
        )

    @property
    def _settings(self) -> ServerConfig:
        return self._assembly.settings

    def _patience(self) -> float:
        return patience(self._settings)

    def _reload_all(self) -> bool:
        """Reload the configuration here, and tell the workers to."""
        usable = self._reloads.now()
        if usable and hasattr(signal, "SIGHUP"):
            self._processes.send_signal(signal.SIGHUP)
        if usable and not self._adds_up and self._assembly.observers.wants("workers_begin"):
            say(
                "restart_needed",
                "bee.application.observers: a new observer would add up the numbers of all workers,"
                " which needs a restart; /metrics is incomplete until then",
                level=logging.WARNING,
                paths=["bee.application.observers"],
            )
        self._watch_files()
        return usable

    def _watch_files(self) -> None:
        """Watch the files of the configuration, as long as it says so."""
        if self._reloads.wants_watch and not self._processes.ending:
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
        processes = self._processes
        processes.open(loop)
        observers = self._assembly.observers
        try:
            await self._status.open(on_thread=False, lives=self._lives)
            self._adds_up = observers.wants("workers_begin")
            observers.tell_exposing("workers_begin")
            for number in range(1, self._settings.workers + 1):
                processes.fork(number)
            await self._started(stopping)
            if not stopping.is_set():
                await self._serve_until(loop, stopping)
            await self._drain_workers()
        finally:
            processes.ending = True
            processes.send_signal(signal.SIGKILL)
            await processes.ended(5.0)
            self._status.close()
            observers.tell_exposing("workers_ended")
            processes.close(loop)

    async def _started(self, stopping: asyncio.Event) -> None:
        """Wait until all workers serve, one of them fails, or this process is to stop."""
        processes = self._processes
        stopped = asyncio.ensure_future(stopping.wait())
        stopped.add_done_callback(lambda _: processes.changed())
        in_time = await processes.until(
            lambda: stopping.is_set() or bool(processes.failed) or processes.all_ready,
            seconds := _START_TIMEOUT + self._settings.start_timeout + self._settings.stop_timeout,
        )
        stopped.cancel()
        if processes.failed or not in_time:
            raise BeeError(processes.failed or f"the workers did not serve within {seconds:g} s")

    async def _serve_until(self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
        settings, count = self._settings, self._settings.workers
        self._processes.serving = True
        for url in self._sockets:
            say(
                "listening",
                f"listening on {url} as {settings.name} {settings.version} with {count} workers",
                url=url,
                service=settings.name,
                version=settings.version,
                workers=count,
            )
        say_faults(settings)
        # Log lines are written on this thread, which forks. The lock of a log stream that another
        # thread held would stay locked in the child.
        self._readiness.listening()
        announcer = self._assembly.announce(
            tuple(self._sockets),
            count,
            lambda: self._processes.ticks,
            loop.call_soon_threadsafe,
            self._readiness.registration,
        )
        if announcer is None:
            self._readiness.registration()
        self._status.announcer = announcer
        self._watch_files()
        await stopping.wait()
        self._readiness.draining()
        left = len(self._processes.running)
        say("draining", f"draining: {left} workers", workers=left)
        if announcer is not None:
            await announcer.leave()

    async def _drain_workers(self) -> None:
        processes = self._processes
        processes.ending = True
        self._readiness.draining()
        if self._watching is not None:
            self._watching.cancel()
        # Our copies first: a socket that we alone held open would take connections that nobody
        # accepts.
        self._release()
        processes.send_signal(signal.SIGTERM)
        if not await processes.ended(self._patience() + 1.0):
            count, seconds = len(processes.running), self._settings.drain_timeout
            say(
                "workers_killed",
                f"{count} workers hang past drain_timeout ({seconds:g} s) and are killed",
                level=logging.WARNING,
                workers=count,
            )
        if processes.serving:
            say("gone", "gone")

    def _lives(self) -> Verdict:
        # As long as a lease is renewed without a tick: three of them make a heartbeat.
        return self._processes.lives(self._assembly.registry_section.heartbeat_interval)
