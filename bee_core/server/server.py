"""A server: what it exposes, where it listens, how it starts and leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..config import load_config
from ..control import fork
from ..control.crash_dump import crashed, dump
from ..control.monkey_patching import refuse_patched_threads
from ..control.recent_calls import RecentCalls
from ..control.serving_loops import serving_loops
from ..errors import BeeError
from .announcement import Announcer, LoopTicks
from .assembly import Assembly
from .drain import close, drain
from .event_loop import LEFT, patience, run_in_thread, run_until_signal, unless_stopped
from .exposed import Exposed
from .life import Life
from .log_lines import say
from .log_output import shown_when_nobody_listens
from .readiness import Readiness
from .reloads import Reloads
from .service_manager import service_manager
from .status import ServerStatus
from .workers import WorkerPool

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self  # type checkers bring it

    from ..config import ConfigSource
    from ..config.model import Config
    from ..config.server_model import ServerConfig
    from ..contracts.flight_recorder import Kept
    from ..contracts.transport import AcceptTurns, Listener
    from .endpoint import ServiceEndpoint

H = TypeVar("H", bound="Callable[[], Any]")


class Server:
    """Serves objects and functions as the methods of one service.

    See :func:`bee_core.build_server`. ``add`` what is to be served, then ``run()``,
    ``with server.in_thread()`` or ``async with server``. A server that has left can be started
    again.

    Attributes:
        amend: Changes each configuration that is read again, as ``bee serve --address`` does.
        endpoint: Decides about peers and requests while the server runs; None before and after.
        listeners: What the transports listen with; empty before and after.
        readiness: Whether it is ready for calls, and why not.
        recent: Its last requests, for others to ask for; None where the recorder is off.
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
        self._life = Life(
            self._settings.name, self._settings.start_timeout, self._settings.stop_timeout
        )
        self.readiness = Readiness()
        self._is_worker = False
        self._announcer: Announcer | None = None
        self.amend: Callable[[Config], Config] = lambda config: config
        recorder = self._assembly.recorder
        self.recent = (
            None
            if recorder is None
            else RecentCalls(recorder, "server", self._settings.name, self._running)
        )
        self._ticks = LoopTicks(self._assembly.registry_section.heartbeat_interval)
        self._status = ServerStatus(
            self.config.application.metrics_address,
            lambda: self._assembly.observers,
            self.readiness,
        )
        self._bound: dict[str, socket.socket] = {}
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
                A context manager is entered as the server starts, and left after the drain.
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
        self._check_stopped("methods are added")
        self._exposed.add(target, name, interface)
        self._life.add_object(target)

    def on_start(self, hook: H) -> H:
        """Call a function as the server starts, before it listens. A decorator.

        Hooks and objects begin in the order in which they were given to the server. ``async def``
        runs on the server's loop, ``def`` on a thread of its own. What a hook raises ends the
        start, with a ``BeeError``.

        Raises:
            TypeError: The hook needs arguments.
            RuntimeError: The server runs.
        """
        self._check_stopped("hooks are given")
        self._life.add_start(hook)
        return hook

    def on_stop(self, hook: H) -> H:
        """Call a function once the server has drained, in reverse order. As :meth:`on_start`.

        If a start hook raises, the stop hooks that were given before it are called, and no others.
        What a stop hook raises is logged.
        """
        self._check_stopped("hooks are given")
        self._life.add_stop(hook)
        return hook

    def listen_on(self, sockets: Mapping[str, socket.socket]) -> None:
        """Listen on sockets that are bound already, by the url of the configuration."""
        self._bound = dict(sockets)

    def _check_stopped(self, what: str) -> None:
        if self.readiness.state != "stopped":
            raise RuntimeError(f"{what} before the server starts")

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
    def metrics_address(self) -> str | None:
        """Where it shows metrics and probes, ``http://127.0.0.1:9464``, with the real port.

        None where the configuration names no ``metrics_address``, and before and after it runs.
        """
        return self._status.url

    @property
    def in_flight(self) -> int:
        """Requests that have begun and not ended."""
        return 0 if self.endpoint is None else self.endpoint.flight.count

    # Life.

    async def start(self) -> None:
        """Serve on the running loop: objects, start hooks, addresses, then the registry.

        One process serves, whatever ``workers`` says: only ``run`` makes workers. A start that
        fails or is cancelled ends what had begun.

        Raises:
            OSError: An address cannot be listened on.
            BeeError: Nothing was added, it runs already, an object or a start hook raised (which is
                the cause), or these took longer than ``start_timeout``.
        """
        settings = self._settings
        if settings.workers > 1:
            say(
                "one_process",
                f"workers is {settings.workers}, but only Server.run() and bee serve make worker "
                "processes; here one process serves",
                level=logging.WARNING,
            )
        self._check_startable()
        await self._compare()
        await self._status.open(on_thread=True)
        try:
            await self._listen({})
        except BaseException:
            self._status.close()
            raise
        for url in self.addresses:
            say(
                "listening",
                f"listening on {url} as {settings.name} {settings.version}",
                url=url,
                service=settings.name,
                version=settings.version,
            )
        self.readiness.listening()
        self._announcer = self._assembly.announce(
            self.addresses,
            1,
            lambda: self._ticks.count,
            lambda line: line(),
            self.readiness.registration,
        )
        if self._announcer is None:
            self.readiness.registration()
        if self._announcer is not None or self._ticks.told is not None:
            self._ticks.start()
        self._status.announcer = self._announcer
        self._reloads.watch()

    def _check_startable(self) -> None:
        if self.readiness.state != "stopped":
            raise BeeError("the server runs already")
        if not self._exposed.described:
            raise BeeError("the server has no methods; add an object or a function first")

    async def _compare(self) -> None:
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
        self._check_startable()
        self._exposed.describe_itself(self._settings, self._assembly.codecs)
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
                sock = sockets.get(url) or self._bound.pop(url, None)
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
        """Drain and leave. Idempotent.

        The registry comes first, so that nobody new comes. Then the server takes no new connections
        and tells its clients to go (goaway). What is in flight may end within drain_timeout; the
        rest is cancelled. Then stop hooks are called and objects are left, within stop_timeout.
        """
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
        self._status.close()
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
        self._ticks.stop()
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
            BeeError: As for :meth:`start`, or a worker could not start.
        """
        with shown_when_nobody_listens(), service_manager(self.readiness, self._ticks):
            try:
                self._run()
            except BaseException as error:
                crashed(error)
                raise

    def _run(self) -> None:
        if self._settings.workers > 1:
            self._check_startable()
            if self._settings.on_breaking is not None:
                asyncio.run(self._compare())
            WorkerPool(
                self._assembly,
                self._status,
                lambda sockets, turns: partial(self._serve_as_worker, sockets, turns),
                self.readiness,
                self._ticks.told,
                self._reloads,
            ).run()
            return
        run_until_signal(
            self._serve,
            lambda: patience(self._settings),
            partial(dump, LEFT),
            self._reloads.on_hangup,
        )

    async def _serve(self, stopping: asyncio.Event, ready: Callable[[], None]) -> None:
        if await unless_stopped(stopping, self.start()):
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
        self.readiness, self._ticks.told = Readiness(), tick
        with self._reloads.on_hangup(asyncio.get_running_loop(), lambda: None):
            if await unless_stopped(stopping, self._listen(sockets, turns)):
                self.readiness.listening()
                self.readiness.registration()  # its parent's
                self._ticks.start()
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
