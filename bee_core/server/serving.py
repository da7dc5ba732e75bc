"""The life of a server in one process: start, announce, drain, stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING

from ..control import fork
from ..control.recent_calls import RecentCalls
from ..control.serving_loops import serving_loops
from ..errors import BeeError
from .announcement import Announcer, LoopTicks
from .drain import close, drain
from .event_loop import unless_stopped
from .log_lines import say, say_faults
from .readiness import Readiness
from .status import ServerStatus

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from ..config.server_model import ServerConfig
    from ..contracts.flight_recorder import Kept
    from ..contracts.transport import AcceptTurns, Listener
    from .assembly import Assembly
    from .endpoint import ServiceEndpoint
    from .exposed import Exposed
    from .life import Life
    from .reloads import Reloads


class Serving:
    """What a server has while it serves. On one loop at a time, and again after it has left.

    Args:
        assembly: The parts of the server.
        exposed: Its methods.
        life: Its objects and hooks.
        reloads: Change what it has meanwhile.

    Attributes:
        readiness: Whether it is ready for calls, and why not.
        ticks: Show that its loop runs.
        status: Shows metrics and probes.
        recent: Its last requests; None where the recorder is off.
        bound: Sockets to listen on that are bound already, by the url of the configuration.
        listeners: What the transports listen with; empty before and after.
        endpoint: Decides about peers and requests while it serves; None before and after.
    """

    def __init__(self, assembly: Assembly, exposed: Exposed, life: Life, reloads: Reloads) -> None:
        self._assembly = assembly
        self._exposed = exposed
        self._life = life
        self._reloads = reloads
        self._epoch = os.urandom(8)
        self._is_worker = False
        self._announcer: Announcer | None = None
        self.readiness = Readiness()
        self.ticks = LoopTicks(assembly.registry_section.heartbeat_interval)
        self.status = ServerStatus(
            assembly.config.application.metrics_address,
            lambda: assembly.observers,
            self.readiness,
        )
        recorder = assembly.recorder
        self.recent = (
            None
            if recorder is None
            else RecentCalls(recorder, "server", self._settings.name, self._running)
        )
        self.bound: dict[str, socket.socket] = {}
        self.listeners: list[Listener] = []
        self.endpoint: ServiceEndpoint | None = None

    @property
    def _settings(self) -> ServerConfig:
        return self._assembly.settings

    @property
    def urls(self) -> tuple[str, ...]:
        """All that it listens on, with the real ports."""
        return tuple(listener.url for listener in self.listeners)

    async def start(self) -> None:
        """See :meth:`bee_core.server.server.Server.start`."""
        settings = self._settings
        if settings.workers > 1:
            say(
                "one_process",
                f"workers is {settings.workers}, but only Server.run() and bee serve make worker "
                "processes; here one process serves",
                level=logging.WARNING,
            )
        self.check_startable()
        await self.compare()
        await self.status.open(on_thread=True)
        try:
            await self._listen({})
        except BaseException:
            self.status.close()
            raise
        for url in self.urls:
            say(
                "listening",
                f"listening on {url} as {settings.name} {settings.version}",
                url=url,
                service=settings.name,
                version=settings.version,
            )
        say_faults(settings)
        self.readiness.listening()
        self._announcer = self._assembly.announce(
            self.urls,
            1,
            lambda: self.ticks.count,
            lambda line: line(),
            self.readiness.registration,
        )
        if self._announcer is None:
            self.readiness.registration()
        if self._announcer is not None or self.ticks.told is not None:
            self.ticks.start()
        self.status.announcer = self._announcer
        self._reloads.watch()

    def check_startable(self) -> None:
        """Look whether it may start.

        Raises:
            BeeError: It serves already, or there is nothing to serve.
        """
        if self.readiness.state != "stopped":
            raise BeeError("the server runs already")
        if not self._exposed.described:
            raise BeeError("the server has no methods; add an object or a function first")

    async def compare(self) -> None:
        """Compare the methods with those of the other nodes, where the configuration asks for it.

        Raises:
            BeeError: They would break callers, and ``on_breaking`` is ``refuse``.
        """
        if self._settings.on_breaking is not None:
            from .compatibility import compare_with_others

            await compare_with_others(self._assembly, self._exposed.methods)

    async def _listen(
        self, sockets: Mapping[str, socket.socket], turns: AcceptTurns | None = None
    ) -> None:
        """Start, and listen: where the configuration says, or on sockets that are bound, by url."""
        self.check_startable()
        self._exposed.describe_itself(lambda: self._settings, self._assembly.codecs)
        self.readiness.starting()
        try:
            await self._life.start()
            self.endpoint = self._assembly.endpoint(
                self._epoch,
                self._exposed.tables,
                self._exposed.methods,
                self._exposed.streams,
                1 if turns is None else turns.count,
            )
            for url in sockets or self._settings.address:
                sock = sockets.get(url) or self.bound.pop(url, None)
                listening = self._assembly.listen(url, self.endpoint, sock, turns)
                self.listeners.append(await listening)
        except BaseException:
            await self._close()
            raise
        serving_loops.add(asyncio.get_running_loop())
        self._reloads.begin()
        fork.watch(self)
        if self.recent is not None:
            await self.recent.open()
        self._assembly.observers.server_changed("serving")

    async def stop(self) -> None:
        """See :meth:`bee_core.server.server.Server.stop`."""
        endpoint = self.endpoint
        if endpoint is None or endpoint.draining:
            return
        endpoint.draining = True
        self.readiness.draining()
        self._assembly.observers.server_changed("draining")
        if not self._is_worker:
            in_flight = endpoint.flight.count
            say("draining", f"draining: {in_flight} requests in flight", in_flight=in_flight)
        announcer, self._announcer = self._announcer, None
        if announcer is not None:
            await announcer.leave()
        given_up = await drain(self.listeners, endpoint, self._settings.drain_timeout)
        drained = {"service": self._settings.name, "cancelled": given_up}
        self._assembly.observers.event("drained", drained)
        await self._close()
        self._assembly.observers.server_changed("stopped")
        self.status.close()
        if not self._is_worker:
            say("gone", "gone")

    async def _close(self) -> None:
        self._reloads.end()
        if self.recent is not None:
            self.recent.close()
        listeners, self.listeners = self.listeners, []
        endpoint, self.endpoint = self.endpoint, None
        await close(listeners, endpoint)
        serving_loops.discard(asyncio.get_running_loop())
        await self._life.stop()
        self.ticks.stop()
        self.readiness.stopped()

    def _running(self) -> list[Kept]:
        endpoint = self.endpoint
        return [] if endpoint is None else endpoint.running()

    def after_fork_in_child(self) -> None:
        """In a child that a handler forked: let go of the server's sockets."""
        for listener in self.listeners:
            discard = getattr(listener, "discard_after_fork", None)
            if discard is not None:
                with contextlib.suppress(OSError):
                    discard()

    async def serve(self, stopping: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve until the event, and call back once it serves."""
        if await unless_stopped(stopping, self.start()):
            ready()
            await stopping.wait()
        await self.stop()

    async def serve_as_worker(
        self,
        sockets: Mapping[str, socket.socket],
        turns: AcceptTurns,
        stopping: asyncio.Event,
        ready: Callable[[], None],
        tick: Callable[[], None],
    ) -> None:
        """Serve in a forked worker, until its parent says so."""
        self._is_worker = self._reloads.told_by_parent = True
        self._epoch = os.urandom(8)  # it is a process of its own
        self.readiness, self.ticks.told = Readiness(), tick
        with self._reloads.on_hangup(asyncio.get_running_loop(), lambda: None):
            if await unless_stopped(stopping, self._listen(sockets, turns)):
                self.readiness.listening()
                self.readiness.registration()  # its parent's
                self.ticks.start()
                ready()
                await stopping.wait()
            await self.stop()
