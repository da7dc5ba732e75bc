"""A server: what it exposes, where it listens, how it starts and leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from ..config import load_config
from ..control import fork
from ..control.monkey_patching import refuse_patched_threads
from ..control.serving_loops import serving_loops
from ..errors import BeeError
from .announcement import Announcer, LoopTicks
from .assembly import Assembly
from .event_loop import (
    HUNG_LOOP_SECONDS,
    close_loop,
    new_event_loop,
    run_in_thread,
    stop_signals,
)
from .exposed import Exposed
from .log_lines import say, say_cancelled, say_hung
from .log_output import shown_when_nobody_listens
from .reloads import Reloads
from .workers import WorkerPool

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self  # type checkers bring it

    from ..config import ConfigSource
    from ..config.model import Config
    from ..config.server_model import ServerConfig
    from ..contracts.transport import AcceptTurns, Listener
    from .endpoint import ServiceEndpoint

_HUNG_HANDLER_SECONDS = 0.1
"""How long a server that leaves waits for handler threads: those that work have been given up."""


class Server:
    """Serves objects and functions as the methods of one service.

    See :func:`bee_core.build_server`. ``add`` what is to be served, then ``run()``,
    ``with server.in_thread()`` or ``async with server``. A server that has left can be started
    again.

    Attributes:
        amend: Changes each configuration that is read again, as ``bee serve --address`` does.
        endpoint: Decides about peers and requests while the server runs; None before and after.
        listeners: What the transports listen with; empty before and after.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any] | Config,
        plugins: Sequence[object] = (),
    ) -> None:
        refuse_patched_threads()
        self._assembly = Assembly(load_config(config), plugins)
        self._reloads = Reloads(self, self._assembly)
        self._exposed = Exposed(self._settings.name, self._assembly.codecs, self._assembly.bind)
        self._epoch = os.urandom(8)
        self._is_worker = False
        self._announcer: Announcer | None = None
        self.amend: Callable[[Config], Config] = lambda config: config
        self._ticks = LoopTicks(self._assembly.registry_section.heartbeat_interval)
        self.listeners: list[Listener] = []
        self.endpoint: ServiceEndpoint | None = None

    @property
    def config(self) -> Config:
        """The whole configuration that holds."""
        return self._assembly.config

    @property
    def _settings(self) -> ServerConfig:
        return self._assembly.settings

    def reload(self, config: ConfigSource | None = None) -> None:
        """Take another configuration, whole or not at all, without losing a call. Thread-safe.

        Bounds, tokens and policies hold for requests from then on; the log warns of what needs a
        restart. ``run`` does this by itself on SIGHUP, and with ``bee.application.watch``.

        Args:
            config: As for :func:`bee_core.build_server`; None reads the server's own file again.

        Raises:
            BeeError: It cannot be used, and nothing has changed; or the loop does not answer.
        """
        self._reloads.reload(config)

    def add(self, target: Any, name: str | None = None, interface: Any = None) -> None:
        """Expose something; before the server starts.

        Args:
            target: An object, whose public methods become methods of the service, or a function.
            name: Methods of an object become ``<name>.<method>``; a function is exposed under this
                name.
            interface: Expose only what it declares, with its type hints. A class, a Protocol, an
                ABC, or a generic one with its types given, ``Repo[User]``.

        Raises:
            TypeError: There is nothing to expose, or a type that a codec cannot carry.
            PluginError: What a codec made for a method does not keep its contract.
            ValueError: The name is not usable, or a method of that name is there already.
            RuntimeError: The server runs.
        """
        if self.endpoint is not None:
            raise RuntimeError("methods are added before the server starts")
        self._exposed.add(target, name, interface)

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of all methods, sorted."""
        return self._exposed.names

    @property
    def address(self) -> str:
        """The first url it listens on, with the real port.

        Raises:
            RuntimeError: It does not run.
        """
        return self.addresses[0]

    @property
    def addresses(self) -> tuple[str, ...]:
        """All urls it listens on, with the real ports."""
        if not self.listeners:
            raise RuntimeError("the server has no address before it runs")
        return tuple(listener.url for listener in self.listeners)

    @property
    def in_flight(self) -> int:
        """Requests that have begun and not ended."""
        return 0 if self.endpoint is None else self.endpoint.flight.count

    # Life.

    async def start(self) -> None:
        """Listen, on the running loop, and announce the server where ``register`` says so.

        One process serves, whatever ``workers`` says: only ``run`` makes workers.

        Raises:
            OSError: An address cannot be listened on.
            BeeError: Nothing was added, or it runs already.
        """
        settings = self._settings
        if settings.workers > 1:
            say(
                "one_process",
                f"workers is {settings.workers}, but only Server.run() and bee serve make worker "
                "processes; here one process serves",
                level=logging.WARNING,
            )
        await self._listen({})
        for url in self.addresses:
            say(
                "listening",
                f"listening on {url} as {settings.name} {settings.version}",
                url=url,
                service=settings.name,
                version=settings.version,
            )
        self._announcer = self._assembly.announce(
            self.addresses, 1, lambda: self._ticks.count, lambda line: line()
        )
        if self._announcer is not None:
            self._ticks.start()
        self._reloads.watch()

    def _check_startable(self) -> None:
        if self.endpoint is not None:
            raise BeeError("the server runs already")
        if not self._exposed.described:
            raise BeeError("the server has no methods; add an object or a function first")

    async def _listen(
        self, sockets: Mapping[str, socket.socket], turns: AcceptTurns | None = None
    ) -> None:
        """Listen: where the configuration says, or on sockets that were bound before, by url."""
        self._check_startable()
        workers = 1 if turns is None else turns.count
        self.endpoint = self._assembly.endpoint(
            self._epoch,
            self._exposed.tables,
            [self._exposed.described[name] for name in self.methods],
            self._exposed.streams,
            workers,
        )
        try:
            for url in sockets or self._settings.address:
                listening = self._assembly.listen(url, self.endpoint, sockets.get(url), turns)
                self.listeners.append(await listening)
        except BaseException:
            await self._close()
            raise
        serving_loops.add(asyncio.get_running_loop())
        self._reloads.begin()
        fork.watch(self)
        self._assembly.observers.server_changed("serving")

    async def stop(self) -> None:
        """Drain and leave. Idempotent.

        The registry comes first, so that nobody new comes. Then the server takes no new connections
        and tells its clients to go (goaway). What is in flight may end within drain_timeout; the
        rest is cancelled.
        """
        endpoint = self.endpoint
        if endpoint is None or endpoint.draining:
            return
        endpoint.draining = True
        self._assembly.observers.server_changed("draining")
        if not self._is_worker:
            in_flight = endpoint.flight.count
            say("draining", f"draining: {in_flight} requests in flight", in_flight=in_flight)
        announcer, self._announcer = self._announcer, None
        if announcer is not None:
            await announcer.leave()
        # A listening socket that closes resets the connections that wait behind it, and their
        # clients could not know whether anything ran. A few turns of the loop let them in, to be
        # refused properly; asyncio's own loop takes four.
        for _ in range(4):
            await asyncio.sleep(0)
        for listener in self.listeners:
            listener.stop_accepting()
            await listener.drain()
        if not await endpoint.flight.wait_quiet(self._settings.drain_timeout):
            given_up = endpoint.flight.give_up_rest()
            say_cancelled(given_up, self._settings.drain_timeout)
        await self._close()
        self._assembly.observers.server_changed("stopped")
        if not self._is_worker:
            say("gone", "gone")

    async def _close(self) -> None:
        self._reloads.end()
        listeners, self.listeners = self.listeners, []
        await asyncio.gather(*(listener.close() for listener in listeners))
        endpoint, self.endpoint = self.endpoint, None
        hung = [] if endpoint is None else endpoint.close(_HUNG_HANDLER_SECONDS)
        if hung:
            say_hung(hung)
        self._ticks.stop()
        serving_loops.discard(asyncio.get_running_loop())

    def after_fork_in_child(self) -> None:
        """In a child that a handler forked: let go of the server's sockets."""
        for listener in self.listeners:
            discard = getattr(listener, "discard_after_fork", None)
            if discard is not None:
                with contextlib.suppress(OSError):
                    discard()

    async def __aenter__(self) -> Self:
        """Start on the running loop."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drain and leave."""
        await self.stop()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain and leave; a second signal leaves at once.

        For the main thread; blocks. With ``workers`` above 1 this process forks that many others
        and only watches over them. They have everything that it had before, and nothing in common
        after. Where logging is not configured, bee's lines go to stderr meanwhile.

        Raises:
            OSError: An address cannot be listened on.
            BeeError: Nothing was added, it runs already, or a worker could not start.
        """
        with shown_when_nobody_listens():
            self._run()

    def _run(self) -> None:
        if self._settings.workers > 1:
            self._check_startable()
            WorkerPool(
                self._assembly,
                lambda sockets, turns: partial(self._serve_as_worker, sockets, turns),
                self._reloads,
            ).run()
            return
        loop = new_event_loop()
        try:
            with (
                stop_signals(
                    loop, lambda: self._settings.drain_timeout + HUNG_LOOP_SECONDS
                ) as stopping,
                self._reloads.on_hangup(loop, stopping.set),
            ):
                loop.run_until_complete(self._serve(stopping, lambda: None))
        finally:
            close_loop(loop)

    async def _serve(self, stopping: asyncio.Event, ready: Callable[[], None]) -> None:
        await self.start()
        ready()
        await stopping.wait()
        await self.stop()

    async def _serve_as_worker(
        self,
        sockets: Mapping[str, socket.socket],
        turns: AcceptTurns,
        stopping: asyncio.Event,
        ready: Callable[[], None],
        tick: Callable[[], None],
    ) -> None:
        """Serve in a forked worker, until its parent says so."""
        self._is_worker = True
        self._epoch = os.urandom(8)  # it is a process of its own
        await self._listen(sockets, turns)
        self._ticks.start(tick)
        with self._reloads.on_hangup(asyncio.get_running_loop(), lambda: None):
            ready()
            await stopping.wait()
            await self.stop()

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[Server]:
        """Serve on a thread of its own while the block runs; for tests and notebooks.

        Raises:
            OSError: An address cannot be listened on.
        """
        with run_in_thread(self._serve, self._settings.name):
            yield self
