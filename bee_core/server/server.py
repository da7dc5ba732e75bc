"""A server: what it exposes, where it listens, how it starts and leaves."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import attrs

from ..config import RegistryConfig, load_config
from ..contracts.registry import RegistrySettings
from ..contracts.size_rule import SizeRule
from ..contracts.transport import ListenSettings
from ..control import serving_loops
from ..errors import BeeError, ConfigError
from ..plugins.hub import PluginHub
from ..terms.addresses import parse
from ..tokens import Tokens
from ..wire.messages import HelloAck
from .announced import announce, instance_id
from .announcer import DEREGISTER_TIMEOUT, TICKS_A_BEAT, WATCH_GRACE, Announcer, LoopTicks, at_once
from .doors import make_transports
from .endpoint import BoundHandler, ServiceEndpoint
from .event_loop import close_loop, new_event_loop
from .handlers import collect
from .in_thread import serve_in_thread
from .log_lines import log, say
from .stop_signals import StopSignals
from .threads import HandlerThreads
from .workers import WorkerPool

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from typing_extensions import Self  # type checkers bring it

    from ..config.model import Config
    from ..contracts.codec import Codec, Compressor
    from ..contracts.policies import Limiter
    from ..contracts.registry import Registry
    from ..contracts.transport import Listener
    from .announcer import Run
    from .handlers import Handler

_HUNG_LOOP_SECONDS = 5.0 + 2 * DEREGISTER_TIMEOUT + WATCH_GRACE
"""How long past drain_timeout a signalled process waits for its registry and its own event loop, before it leaves without them."""


class Server:
    """Serves objects and functions as the methods of one service. See :func:`bee_core.build_server`.

    ``add`` what is to be served, then ``run()``, ``with server.in_thread()`` or ``async with server``. A server that has left can be started again.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any] | Config,
        plugins: Sequence[object] = (),
    ) -> None:
        self.config = load_config(config)
        if self.config.server is None:
            raise ConfigError(
                "this configuration has no server section; a server needs at least a name",
                path="bee.rpc.server",
                expected="name: <service>",
                source=self.config.source,
            )
        self._settings = settings = self.config.server
        hub = PluginHub(plugins)
        origin = self.config
        self._codecs: dict[str, Codec] = {
            ref.name: hub.create(ref, "codec", origin=origin) for ref in settings.codecs
        }
        compressors: dict[str, Compressor] = {
            ref.name: hub.create(ref, "compressor", origin=origin) for ref in settings.compressors
        }
        self._rules: dict[str | None, SizeRule] = {
            name: SizeRule(
                compressors.get(name),
                max_size=settings.max_size,
                max_inflated=settings.max_inflated,
                name=name,
            )
            for name in ("", *compressors)
        }
        self._rules[None] = self._rules.pop("")
        self._transports = make_transports(self.config, settings, hub)
        self._tokens = (
            Tokens([token.values for token in settings.tokens]) if settings.tokens else None
        )
        limiter = settings.limiter
        self._make_limiter: Callable[[], Limiter | None] = lambda: (
            None if limiter is None else hub.create(limiter, "limiter", origin=origin)
        )
        self._make_limiter()  # wrong options are found now
        section = self.config.registry or RegistryConfig()
        self._heartbeat_interval = section.heartbeat_interval
        self._registry_name = section.protocol

        def make_registry() -> Registry:
            registry: Registry = hub.create(
                section.plugin,
                "registry",
                RegistrySettings(section.address, section.heartbeat_interval),
                origin=origin,
            )
            return registry

        self._make_registry = make_registry
        # Made now, so that what is wrong with it comes to light before anything runs.
        self._registry = make_registry() if settings.register else None
        self._announcer: Announcer | None = None
        self._ticks: LoopTicks | None = None
        self._is_worker = False
        self._handlers: dict[str, Handler] = {}
        self._tables: dict[str, dict[str, BoundHandler]] = {name: {} for name in self._codecs}
        self._epoch = os.urandom(8)
        self._listeners: list[Listener] = []
        self._endpoint: ServiceEndpoint | None = None
        self._threads: HandlerThreads | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, target: Any, name: str | None = None, interface: type | None = None) -> None:
        """Expose something; before the server starts.

        Args:
            target: An object, whose public methods become methods of the service, or a function.
            name: Methods of an object become ``<name>.<method>``; a function is exposed under this name.
            interface: Expose only what it declares, with its type hints.

        Raises:
            TypeError: There is nothing to expose, or a type that a codec cannot carry.
            ValueError: The name is not usable, or a method of that name is there already.
            RuntimeError: The server runs.
        """
        if self._endpoint is not None:
            raise RuntimeError("methods are added before the server starts")
        handlers = collect(target, name, interface)
        taken = sorted(handlers.keys() & self._handlers.keys())
        if taken:
            raise ValueError(
                f"the service {self._settings.name} has the method {taken[0]!r} already; give the second object a name: add(obj, name='…')"
            )
        bound = {
            codec_name: {
                method: BoundHandler(handler, codec.bind(handler.signature))
                for method, handler in handlers.items()
            }
            for codec_name, codec in self._codecs.items()
        }
        for codec_name, table in bound.items():
            self._tables[codec_name].update(table)
        self._handlers.update(handlers)

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of all methods, sorted."""
        return tuple(sorted(self._handlers))

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
        if not self._listeners:
            raise RuntimeError("the server has no address before it runs")
        return tuple(listener.url for listener in self._listeners)

    @property
    def in_flight(self) -> int:
        """Requests that have begun and not ended."""
        return 0 if self._endpoint is None else self._endpoint.in_flight

    # Life.

    async def start(self) -> None:
        """Listen, on the running loop, and announce the server where ``register`` says so. One process, whatever ``workers`` says: only ``run`` makes workers.

        Raises:
            OSError: An address cannot be listened on.
            BeeError: Nothing was added, or it runs already.
        """
        if self._settings.workers > 1:
            say(
                "one_process",
                f"workers is {self._settings.workers}, but only Server.run() and bee serve make worker processes; here one process serves",
                level=logging.WARNING,
            )
        await self._listen({})
        for url in self.addresses:
            say(
                "listening",
                f"listening on {url} as {self._settings.name} {self._settings.version}",
                **self._names(url),
            )
        self._announcer = self._announce(self.addresses, 1)
        if self._announcer is not None:
            self._ticks = LoopTicks(self._heartbeat_interval / TICKS_A_BEAT)
            self._ticks.start()
            self._announcer.start()

    def _names(self, url: str) -> dict[str, Any]:
        return {"url": url, "service": self._settings.name, "version": self._settings.version}

    def _count_ticks(self) -> int:
        return 0 if self._ticks is None else self._ticks.count

    def _check_startable(self) -> None:
        if self._endpoint is not None:
            raise BeeError("the server runs already")
        if not self._handlers:
            raise BeeError("the server has no methods; add an object or a function first")

    async def _listen(self, sockets: Mapping[str, socket.socket]) -> None:
        """Open the doors: those of the configuration, or sockets that were bound before, by url."""
        settings = self._settings
        self._check_startable()
        self._loop = asyncio.get_running_loop()
        self._threads = HandlerThreads(settings.name, settings.max_pool_size)
        ack = HelloAck(settings.name, settings.version, self._epoch, settings.max_size)
        self._endpoint = ServiceEndpoint(
            ack,
            self._tables,
            self._rules,
            self._threads,
            max_in_flight=settings.max_in_flight,
            limiter=self._make_limiter(),  # a new one for each start: hung threads of the run before never give their permits back
            send_tracebacks=settings.send_tracebacks,
            clock=time.monotonic,
            tokens=self._tokens,
        )
        bounds = ListenSettings(
            settings.backlog,
            settings.max_conn_size,
            settings.read_timeout,
            settings.write_timeout,
            settings.max_size,
        )
        try:
            for url in sockets or settings.address:
                bound = attrs.evolve(bounds, sock=sockets[url]) if sockets else bounds
                self._listeners.append(
                    await self._transports[parse(url).scheme].listen(url, self._endpoint, bound)
                )
        except BaseException:
            await self._close()
            raise
        serving_loops.add(self._loop)

    def _announce(
        self,
        urls: Sequence[str],
        workers: int,
        ticks: Callable[[], int] | None = None,
        run: Run = at_once,
    ) -> Announcer | None:
        """What announces this server, not started, or None where it is not to be announced."""
        settings = self._settings
        if not settings.register:
            return None
        registry, self._registry = self._registry or self._make_registry(), None
        if registry.known(settings.name, ()) is not None:
            # It says what it knows without asking anybody, so there is nobody who could be told.
            log.debug(
                "the registry %s keeps no list: clients have the address in their own configuration",
                self._registry_name,
            )
            self._registry = registry
            return None
        instance = announce(settings, instance_id(settings.name), urls, workers)
        return Announcer(
            registry,
            self._registry_name,
            instance,
            self._heartbeat_interval,
            ticks or self._count_ticks,
            run,
        )

    async def stop(self) -> None:
        """Drain and leave. Idempotent.

        The registry first, so that nobody new comes; then no new connections, goaway to the clients, what is in flight may end within drain_timeout, the rest is
        cancelled.
        """
        endpoint = self._endpoint
        if endpoint is None:
            return
        if endpoint.draining:
            return
        endpoint.draining = True
        if not self._is_worker:
            say(
                "draining",
                f"draining: {endpoint.in_flight} requests in flight",
                in_flight=endpoint.in_flight,
            )
        announcer, self._announcer = self._announcer, None
        if announcer is not None:
            await announcer.leave()
        # Closing a door resets the connections that wait behind it, and their clients could not know whether anything ran. A few turns of the loop let them in (asyncio's own
        # takes four), to be refused properly.
        for _ in range(4):
            await asyncio.sleep(0)
        for listener in self._listeners:
            listener.stop_accepting()
            await listener.drain()
        if not await endpoint.wait_quiet(self._settings.drain_timeout):
            given_up = endpoint.give_up_rest()
            text = f"drain_timeout ({self._settings.drain_timeout:g} s) is over: {given_up} requests were cancelled"
            say("drain_timeout", text, level=logging.WARNING, cancelled=given_up)
        await self._close()
        if not self._is_worker:
            say("gone", "gone")

    async def _close(self) -> None:
        listeners, self._listeners = self._listeners, []
        await asyncio.gather(*(listener.close() for listener in listeners))
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            endpoint.close()
        threads, self._threads = self._threads, None
        if threads is not None:
            hung = threads.close(0.1)
            if hung:
                text = f"{len(hung)} handlers still hang in threads and end with the process: {', '.join(hung)}"
                say("hung_handlers", text, level=logging.WARNING, threads=hung)
        if self._ticks is not None:
            self._ticks.stop()
        if self._loop is not None:
            serving_loops.remove(self._loop)

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
        """Serve until SIGTERM or SIGINT, then drain and leave; a second signal leaves at once. For the main thread; blocks.

        With ``workers`` above 1 this process only watches over that many others, which it forks: they have everything that it had before, and nothing in common after.

        Raises:
            OSError: An address cannot be listened on.
            BeeError: Nothing was added, it runs already, or a worker could not start.
        """
        if self._settings.workers > 1:
            self._check_startable()
            WorkerPool(
                self._settings,
                self._transports,
                self._serve_as_worker,
                self._announce,
                _HUNG_LOOP_SECONDS,
            ).run()
            return
        loop = new_event_loop()
        stopping = asyncio.Event()
        signals = StopSignals(loop, stopping, self._settings.drain_timeout + _HUNG_LOOP_SECONDS)
        try:
            with signals:
                loop.run_until_complete(self._serve(stopping))
        finally:
            close_loop(loop)

    async def _serve(self, stopping: asyncio.Event) -> None:
        await self.start()
        await stopping.wait()
        await self.stop()

    async def _serve_as_worker(
        self,
        sockets: Mapping[str, socket.socket],
        ready: Callable[[], None],
        tick: Callable[[], None],
        stopping: asyncio.Event,
    ) -> None:
        """Serve in a forked worker, until its parent says so."""
        self._is_worker = True
        self._epoch = os.urandom(8)  # it is a process of its own
        await self._listen(sockets)
        self._ticks = LoopTicks(self._heartbeat_interval / TICKS_A_BEAT, tick)
        self._ticks.start()
        ready()
        await stopping.wait()
        await self.stop()

    def in_thread(self) -> AbstractContextManager[Server]:
        """Serve on a thread of its own while the block runs; for tests and notebooks.

        Raises:
            OSError: An address cannot be listened on.
        """
        return serve_in_thread(self, self._settings.name)
