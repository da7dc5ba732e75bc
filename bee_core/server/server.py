"""A server: what it exposes, where it listens, how it starts and leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from .. import serving_loops
from ..addresses import parse
from ..config import load_config
from ..errors import BeeError, ConfigError
from ..interfaces import ListenSettings
from ..messages import HelloAck
from ..payloads import SizeRule
from ..plugin_hub import PluginHub
from .endpoint import BoundHandler, ServiceEndpoint
from .handlers import collect
from .threads import HandlerThreads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType, TracebackType

    from typing_extensions import Self  # type checkers bring it

    from ..config.model import Config
    from ..interfaces import Codec, Compressor, Listener, Transport
    from .handlers import Handler

log = logging.getLogger("bee.server")

_HUNG_LOOP_SECONDS = 5.0
"""How long past drain_timeout a signalled process waits for its own event loop, before it leaves without it."""
_FLUSH_SECONDS = 0.2
"""How long a process that leaves at once waits for its last lines to be written."""


class Server:
    """Serves objects and functions as the methods of one service. See :func:`bee_core.build_server`.

    ``add`` what is to be served, then ``run()``, ``with server.in_thread()`` or ``async with server``. A server that has left can be started again.
    """

    def __init__(self, config: str | os.PathLike[str] | Mapping[str, Any] | Config, plugins: Sequence[object] = ()) -> None:
        self.config = load_config(config)
        if self.config.server is None:
            msg = "this configuration has no server section; a server needs at least a name"
            raise ConfigError(msg, path="bee.rpc.server", expected="name: <service>", source=self.config.source)
        self._settings = settings = self.config.server
        hub = PluginHub(plugins)
        origin = self.config.origin
        self._codecs: dict[str, Codec] = {ref.name: hub.create(ref, "codec", origin=origin) for ref in settings.codecs}
        compressors: dict[str, Compressor] = {ref.name: hub.create(ref, "compressor", origin=origin) for ref in settings.compressors}
        self._rules: dict[str | None, SizeRule] = {
            name: SizeRule(compressors.get(name), max_size=settings.max_size, max_inflated=settings.max_inflated, name=name) for name in ("", *compressors)
        }
        self._rules[None] = self._rules.pop("")
        self._transports: dict[str, Transport] = {
            scheme: hub.create(settings.transport(scheme), "transport", origin=origin) for scheme in {parse(url).scheme for url in settings.address}
        }
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
            msg = "methods are added before the server starts"
            raise RuntimeError(msg)
        handlers = collect(target, name, interface)
        taken = sorted(handlers.keys() & self._handlers.keys())
        if taken:
            msg = f"the service {self._settings.name} has the method {taken[0]!r} already; give the second object a name: add(obj, name='…')"
            raise ValueError(msg)
        bound = {
            codec_name: {method: BoundHandler(handler, codec.bind(handler.signature)) for method, handler in handlers.items()}
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
            msg = "the server has no address before it runs"
            raise RuntimeError(msg)
        return tuple(listener.url for listener in self._listeners)

    @property
    def in_flight(self) -> int:
        """Requests that have begun and not ended."""
        return 0 if self._endpoint is None else self._endpoint.in_flight

    # Life.

    async def start(self) -> None:
        """Listen, on the running loop.

        Raises:
            OSError: An address cannot be listened on.
            BeeError: Nothing was added, or it runs already.
        """
        settings = self._settings
        if self._endpoint is not None:
            msg = "the server runs already"
            raise BeeError(msg)
        if not self._handlers:
            msg = "the server has no methods; add an object or a function first"
            raise BeeError(msg)
        self._loop = asyncio.get_running_loop()
        self._threads = HandlerThreads(settings.name, settings.max_pool_size)
        ack = HelloAck(settings.name, settings.version, self._epoch, settings.max_size)
        self._endpoint = ServiceEndpoint(
            ack,
            self._tables,
            self._rules,
            self._threads,
            max_in_flight=settings.max_in_flight,
            send_tracebacks=settings.send_tracebacks,
            clock=time.monotonic,
        )
        bounds = ListenSettings(settings.backlog, settings.max_conn_size, settings.read_timeout, settings.write_timeout, settings.max_size)
        try:
            for url in settings.address:
                self._listeners.append(await self._transports[parse(url).scheme].listen(url, self._endpoint, bounds))
        except BaseException:
            await self._close()
            raise
        serving_loops.add(self._loop)
        for listener in self._listeners:
            log.info("listening on %s as %s %s", listener.url, settings.name, settings.version)

    async def stop(self) -> None:
        """Drain and leave: no new connections, goaway to the clients, what is in flight may end within drain_timeout, the rest is cancelled. Idempotent."""
        endpoint = self._endpoint
        if endpoint is None:
            return
        if endpoint.draining:
            return
        endpoint.draining = True
        log.info("draining: %d requests in flight", endpoint.in_flight)
        # Closing a door resets the connections that wait behind it, and their clients could not know whether anything ran. A few turns of the loop let them in (asyncio's own
        # takes four), to be refused properly.
        for _ in range(4):
            await asyncio.sleep(0)
        for listener in self._listeners:
            listener.stop_accepting()
            await listener.drain()
        if not await endpoint.wait_quiet(self._settings.drain_timeout):
            given_up = endpoint.give_up_rest()
            log.warning("drain_timeout (%g s) is over: %d requests were cancelled", self._settings.drain_timeout, given_up)
        await self._close()
        log.info("gone")

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
                log.warning("%d handlers still hang in threads and end with the process: %s", len(hung), ", ".join(hung))
        if self._loop is not None:
            serving_loops.remove(self._loop)

    async def __aenter__(self) -> Self:
        """Start on the running loop."""
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Drain and leave."""
        await self.stop()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain and leave; a second signal leaves at once. For the main thread; blocks.

        Raises:
            OSError: An address cannot be listened on.
        """
        loop = new_event_loop()
        stopping = asyncio.Event()
        signals = _Signals(loop, stopping, self._settings.drain_timeout + _HUNG_LOOP_SECONDS)
        try:
            with signals:
                loop.run_until_complete(self._serve(stopping))
        finally:
            _close_loop(loop)

    async def _serve(self, stopping: asyncio.Event) -> None:
        await self.start()
        await stopping.wait()
        await self.stop()

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[Server]:
        """Serve on a thread of its own while the block runs; for tests and notebooks.

        Raises:
            OSError: An address cannot be listened on.
        """
        loop = new_event_loop()
        stopping = asyncio.Event()
        started = threading.Event()
        failed: list[BaseException] = []

        async def serve() -> None:
            try:
                await self.start()
            finally:
                started.set()
            await stopping.wait()
            await self.stop()

        def work() -> None:
            try:
                loop.run_until_complete(serve())
            except BaseException as error:  # handed to the thread that waits
                failed.append(error)
            finally:
                _close_loop(loop)

        thread = threading.Thread(target=work, name=f"bee-server-{self._settings.name}", daemon=True)
        thread.start()
        started.wait()
        try:
            if not failed and self._endpoint is not None:
                yield self
        finally:
            if not loop.is_closed():
                with contextlib.suppress(RuntimeError):  # it closed in this very moment
                    loop.call_soon_threadsafe(stopping.set)
            thread.join()
        if failed:
            raise failed[0]


class _Signals:
    """The first SIGTERM or SIGINT asks the server to leave, the second makes the process leave.

    Not the loop's own signal handlers: those run only while the loop does, and a handler that hangs on the loop would make the process deaf.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event, patience: float) -> None:
        self._loop = loop
        self._stopping = stopping
        self._patience = patience
        self._before: dict[int, Any] = {}
        self._asked = False

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._on_signal)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # signal's signature
        if self._asked:
            self._leave(128 + number)
        self._asked = True
        self._loop.call_soon_threadsafe(self._stopping.set)
        watchdog = threading.Timer(self._patience, self._leave, (1,))
        watchdog.daemon = True
        watchdog.start()

    @staticmethod
    def _leave(code: int) -> None:
        # The signal may have come in the middle of a write to these streams, which cannot be flushed then, and whoever reads them may hang: neither keeps the process.
        flush = threading.Thread(target=_flush_output, daemon=True)
        flush.start()
        flush.join(_FLUSH_SECONDS)
        os._exit(code)


def _flush_output() -> None:
    for stream in (sys.stderr, sys.stdout):
        with contextlib.suppress(Exception):
            stream.flush()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The fastest loop there is: uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _close_loop(loop: asyncio.AbstractEventLoop) -> None:
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
