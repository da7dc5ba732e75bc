"""The blocking client: thread-safe. The threads that call use its sockets."""

from __future__ import annotations

import asyncio
import warnings
from threading import Event, Lock
from typing import TYPE_CHECKING, Any
from weakref import finalize

from ..calls.call import Call, make
from ..calls.plan import CallPlan, make_plan
from ..control import fork
from ..control.serving_loops import serving_loops
from ..errors import BeeError, CallCancelled, CallError
from .blocking_driver import drive
from .core import REPORT_PATIENCE, ClientCore
from .dropped import end_blocking
from .futures import CallFuture, FutureCalls
from .open_connections import ask_on_thread

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self  # type checkers bring it

    from ..calls.service import Service
    from ..calls.trace import CallTrace
    from ..config import ConfigSource
    from ..config.model import Config
    from ..contracts.channels import Channel
    from ..contracts.transport import ChannelSettings, Transport
    from ..nodes.report import NodesReport
    from ..terms.failures import Failure
    from ..terms.node import Node
    from .explanation import Explanation
    from .proxies import Reply

_running_loop = asyncio._get_running_loop  # noqa: SLF001  # None and no error off loops


class Client(ClientCore["Channel"]):
    """Calls the services of a configuration. See :func:`bee_core.build_client`.

    Thread-safe. Does no network until the first call. Usable as a context manager.
    """

    _closing: Event

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any] | Config,
        plugins: Sequence[object] = (),
    ) -> None:
        self._lock = Lock()
        self._reloading = Lock()
        self._warned = False
        super().__init__(config, plugins, Event())
        self.futures = FutureCalls(
            f"{self.config.application.name or 'client'}-futures",
            self.assembly.async_channel,
            self.discoveries,
            self.assembly.clock,
        )
        self.assembly.apply_known_nodes()
        # False before the first call where metrics are shown or files are watched, after close and
        # in a forked child: calls look at this one flag only.
        application = self.config.application
        self._ready = application.metrics_address is None and not application.watch
        fork.watch(self)
        self._finalizer = finalize(
            self,
            end_blocking,
            (self._channels, self._retired),
            (self._plane, self.futures.plane, self._status),
        )
        self._finalizer.atexit = False

    def invoke(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call; for proxies."""
        call = self._begin(plan, args, kwargs)
        error = drive(call, self._closing, plan.service.clock)
        if error is not None:
            raise error
        return call.value

    def invoke_detailed(
        self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Reply[Any]:
        """Make a call and say how it went; for proxies."""
        call = self._begin(plan, args, kwargs)
        error = drive(call, self._closing, plan.service.clock)
        if error is not None:
            raise error
        return self._reply(call)

    def invoke_future(
        self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> CallFuture[Any]:
        """Begin a call and return its future; for proxies.

        Does not wait, so it may be called on an event loop.
        """
        try:
            if not self._ready:
                self._prepare(plan)
            call = make(plan, args, kwargs)
        except CallError as error:
            return self.futures.failed(error)
        return self.futures.start(call)

    def _begin(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        if _running_loop() is not None:
            self._called_on_a_loop(plan)
        if not self._ready:
            self._prepare(plan)
        call = make(plan, args, kwargs)
        if plan.service.undiscovered is not None:
            self._discover(plan.service, call.started, call.deadline, plan.method)
        return call

    def _prepare(self, plan: CallPlan) -> None:
        """Make the client ready for a first call, or refuse the call after close."""
        self._ready = True  # set before `_closing` is read, so that a concurrent `close` wins
        if self._closing.is_set():
            self._ready = False
        self._check_open(plan.service, plan.method)
        self._status.open_on_plane(self._shown)
        self._prober.resume(self.assembly.services.values())
        self._watch_files()

    def _discover(self, service: Service[Channel], began: float, until: float, method: str) -> None:
        self.discoveries.wait(service, began, until)
        self._check_open(service, method)

    def reload(self, config: ConfigSource | None = None) -> None:
        """Take another configuration, whole or not at all, without losing a call. Thread-safe.

        A service whose section is the same keeps its connections, breakers, limiter and retry
        budget; with other settings of calls only, such as ``timeout``, as well. Any other one is
        made anew: calls in flight end with what they began with, and then its connections are
        closed. Proxies go on with the new configuration. Those of a service that is not configured
        any more raise ConfigError.

        Args:
            config: As for :func:`bee_core.build_client`; None reads the client's own file again.

        Raises:
            ConfigError, PluginError: It cannot be used. Nothing has changed.
            CallCancelled: The client is closed.
        """
        with self._reloading:
            draft, found = self._draft(config)
            if self._closing.is_set():
                raise CallCancelled("the client is closed")
            self._take_over(draft, found, known=True)

    async def _reload_files(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.reload)

    def nodes(self, service: str) -> NodesReport:
        """A report of the nodes of a service: which fit, and why the others do not.

        Discovers them like a first call, and waits until nodes that the registry does not list were
        asked. That takes a second at most.

        Args:
            service: The key under ``bee.rpc.client``.

        Raises:
            ConfigError: No such service is configured.
            CallCancelled: The client was closed meanwhile.
        """
        found = self.find(service)
        self.discoveries.wait_for_report(found, self.assembly.clock() + REPORT_PATIENCE)
        self._check_open(found, "")
        return self._report(found)

    def explain(
        self,
        service: str,
        method: str | None = None,
        *,
        key: str | None = None,
        ask: bool = False,
        interface: Any = None,
    ) -> Explanation:
        """What would happen to a call now, and why. Makes no call. Waits like :meth:`nodes`.

        Args:
            service: The key under ``bee.rpc.client``.
            method: A method, to tell the settings that ``methods`` has for it.
            key: The routing key that the call would have.
            ask: Ping the nodes too, for their health; takes a second at most.
            interface: The interface whose marks (idempotent, oneway) the call would have.

        Returns:
            The nodes, the next picks, and each setting with the line that states it.

        Raises:
            ConfigError: No such service is configured.
            CallCancelled: The client was closed meanwhile.
        """
        from .health import ask_health  # loaded at its first use

        known = self.nodes(service)
        health = ask_health(self.find(service).nodes) if ask else {}
        return self._explain(known, method, key, health, interface)

    def trace(self, service: str, method: str, /, *args: Any, **kwargs: Any) -> CallTrace:
        """Make one real call and tell how it went, attempt by attempt.

        The trace has the error of the call. It is not raised.

        Args:
            service: The key under ``bee.rpc.client``.
            method: The method's full name.
            *args: Its arguments.
            **kwargs: Its arguments by name.

        Raises:
            ConfigError: No such service is configured.
            CallError: The call could not begin: arguments that cannot be sent, a closed client.
        """
        from ..calls.trace import CallRecorder  # loaded at its first use

        call = self._begin(make_plan(self.find(service), method), args, kwargs)
        recorder = CallRecorder()
        error = drive(call, self._closing, call.plan.service.clock, recorder.flow)
        return recorder.finish(call, error)

    def _called_on_a_loop(self, plan: CallPlan) -> None:
        name = f"{plan.service.name}.{plan.method}"
        if _running_loop() in serving_loops:
            raise BeeError(
                f"{name}: a blocking call on the loop of a bee server stops every other call of the"
                " process; make the handler a plain def, or use build_async_client"
            )
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{name}: a blocking call on a running event loop stops it; use build_async_client"
                " (said once)",
                RuntimeWarning,
                stacklevel=5,
            )

    def _make_channel(self, transport: Transport, node: Node, settings: ChannelSettings) -> Channel:
        channel = self._usable(transport.channel(node, settings))
        with self._lock:
            self._channels.add(channel)
        if self._closing.is_set():
            channel.close()  # `close` may not have seen this one
        return channel

    def _drop_channel(self, channel: Channel) -> None:
        with self._lock:
            self._channels.discard(channel)
            self._retired.add(channel)
        channel.retire()
        self.futures.drop(channel)

    async def _ask_open(self, channel: Channel, timeout: float) -> str | Failure | None:
        answer = await ask_on_thread(channel, timeout)
        return answer if isinstance(answer, str) else await self.futures.ask_open(channel, timeout)

    def close(self) -> None:
        """Close all connections; calls in flight end with CallCancelled.

        Idempotent, from any thread.
        """
        self._finalizer.detach()
        self._closing.set()
        self._ready = False
        self.discoveries.release()
        self._close_channels()
        self.futures.close()
        self._status.stop()
        self._plane.stop()
        self._close_channels()  # a list of nodes may have come in just now
        self._leave()

    def _close_channels(self) -> None:
        with self._lock:
            channels = self._all_channels()
        for channel in channels:
            channel.close()

    def after_fork_in_child(self) -> None:
        """See :class:`bee_core.control.fork.Forkable`."""
        closed = self._closing.is_set()
        self._closing = Event()
        if closed:
            self._closing.set()
        self._ready = False
        self._lock = Lock()
        self._reloading = Lock()
        for channel in (*self._channels, *self._retired):
            channel.discard_after_fork()
        self.futures.after_fork()
        self._renew_after_fork()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()
