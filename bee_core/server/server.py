"""A server as its program sees it: what it exposes, where it listens, how it is run."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..config import load_config
from ..control.crash_dump import crashed, dump
from ..control.monkey_patching import refuse_patched_threads
from .assembly import Assembly
from .event_loop import LEFT, patience, run_in_thread, run_until_signal
from .exposed import Exposed
from .life import Life
from .log_output import shown_when_nobody_listens
from .reloads import Reloads
from .service_manager import service_manager
from .serving import Serving
from .workers import WorkerPool

if TYPE_CHECKING:
    import os
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self  # type checkers bring it

    from ..config import ConfigSource
    from ..config.model import Config
    from ..config.server_model import ServerConfig
    from ..contracts.transport import Listener
    from ..control.recent_calls import RecentCalls
    from .endpoint import ServiceEndpoint
    from .readiness import Readiness

H = TypeVar("H", bound="Callable[[], Any]")


class Server:
    """Serves objects and functions as the methods of one service.

    See :func:`bee_core.build_server`. ``add`` what is to be served, then ``run()``,
    ``with server.in_thread()`` or ``async with server``. A server that has left can be started
    again.

    Attributes:
        amend: Changes each configuration that is read again, as ``bee serve --address`` does.
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
        self._life = Life(
            self._settings.name, self._settings.start_timeout, self._settings.stop_timeout
        )
        self._serving = Serving(self._assembly, self._exposed, self._life, self._reloads)
        self.amend: Callable[[Config], Config] = lambda config: config

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
        self._serving.bound = dict(sockets)

    def _check_stopped(self, what: str) -> None:
        if self.readiness.state != "stopped":
            raise RuntimeError(f"{what} before the server starts")

    @property
    def readiness(self) -> Readiness:
        """Whether it is ready for calls, and why not."""
        return self._serving.readiness

    @property
    def recent(self) -> RecentCalls | None:
        """Its last requests, for others to ask for; None where the recorder is off."""
        return self._serving.recent

    @property
    def endpoint(self) -> ServiceEndpoint | None:
        """Decides about peers and requests while the server runs; None before and after."""
        return self._serving.endpoint

    @property
    def listeners(self) -> list[Listener]:
        """What the transports listen with; empty before and after."""
        return self._serving.listeners

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
        return self._serving.urls

    @property
    def metrics_address(self) -> str | None:
        """Where it shows metrics and probes, ``http://127.0.0.1:9464``, with the real port.

        None where the configuration names no ``metrics_address``, and before and after it runs.
        """
        return self._serving.status.url

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
        await self._serving.start()

    async def stop(self) -> None:
        """Drain and leave. Idempotent.

        The registry comes first, so that nobody new comes. Then the server takes no new connections
        and tells its clients to go (goaway). What is in flight may end within drain_timeout; the
        rest is cancelled. Then stop hooks are called and objects are left, within stop_timeout.
        """
        await self._serving.stop()

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
        with shown_when_nobody_listens(), service_manager(self.readiness, self._serving.ticks):
            try:
                self._run()
            except BaseException as error:
                crashed(error)
                raise

    def _run(self) -> None:
        serving = self._serving
        if self._settings.workers > 1:
            serving.check_startable()
            if self._settings.on_breaking is not None:
                asyncio.run(serving.compare())
            WorkerPool(
                self._assembly,
                serving.status,
                lambda sockets, turns: partial(serving.serve_as_worker, sockets, turns),
                serving.readiness,
                serving.ticks.told,
                self._reloads,
            ).run()
            return
        run_until_signal(
            serving.serve,
            lambda: patience(self._settings),
            partial(dump, LEFT),
            self._reloads.on_hangup,
        )

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[Server]:
        """Serve on a thread of its own while the block runs; for tests and notebooks.

        Raises:
            OSError: An address cannot be listened on.
        """
        with run_in_thread(self._serving.serve, self._settings.name):
            yield self
