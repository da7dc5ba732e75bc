"""The blocking client: safe from many threads, its sockets are used by the threads that call."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
import warnings
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, TypeVar, overload
from weakref import WeakSet

from ..config import load_config
from ..control import fork
from ..control.discovery import PATIENCE
from ..control.plane import ControlPlane
from ..control.prober import Prober
from ..control.serving_loops import is_serving
from ..errors import BeeError, CallCancelled, CallError
from ..nodes.report import report_nodes
from ..plugins.hub import PluginHub
from .assembly import Assembly
from .blocking_driver import drive
from .discoveries import ClientDiscovery
from .futures import FutureCalls
from .proxies import Reply, ServiceProxy, make_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self  # type checkers bring it

    from ..calls.flow import Call
    from ..calls.plan import CallPlan
    from ..calls.service import Service
    from ..calls.trace import CallTrace
    from ..config.model import Config
    from ..contracts.transport import Channel
    from ..nodes.report import NodesReport
    from ..terms.node import Snapshot
    from .explanation import Explanation
    from .futures import CallFuture

T = TypeVar("T")
log = logging.getLogger("bee.client")
_running_loop = asyncio._get_running_loop  # noqa: SLF001  # documented for this use: returns None instead of raising


class Client:
    """Calls the services of a configuration. See :func:`bee_core.build_client`.

    Thread-safe. Does no network until the first call. Usable as a context manager.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any] | Config,
        plugins: Sequence[object] = (),
    ) -> None:
        self.config = load_config(config)
        self._closing = Event()
        self._lock = Lock()
        self._warned = False
        self._rng = random.Random()  # noqa: S311  # balancing and jitter, not secrets
        self._channels: set[Channel] = set()
        self._retired: WeakSet[Channel] = (
            WeakSet()
        )  # whose nodes have left; kept alive by the calls that are still on them
        self._assembly: Assembly[Channel] = Assembly(
            self.config,
            PluginHub(plugins),
            make_channel=self._make_channel,
            drop_channel=self._drop_channel,
            clock=time.monotonic,
            rng=self._rng,
            random_bytes=os.urandom,
            complain=log.warning,
        )
        self._plane = ControlPlane(self.config.application or "client")
        self._prober = Prober(
            self._plane.spawn,
            self._assembly.async_channel,
            heartbeat_interval=self._assembly.heartbeat_interval,
            rng=self._rng,
        )
        self._assembly.watch_breakers(self._prober.breaker_changed)
        self._discovery: ClientDiscovery[Channel] = ClientDiscovery(
            self._assembly, self._plane, self._deliver, clock=time.monotonic, rng=self._rng
        )
        self._futures = FutureCalls(
            f"{self.config.application or 'client'}-futures",
            self._assembly.async_channel,
            self._discovery,
            time.monotonic,
        )
        self._assembly.apply_known_nodes()
        self._ready = True
        fork.watch(self)

    @overload
    def service(self, name: str) -> ServiceProxy: ...
    @overload
    def service(self, name: str, interface: Callable[..., T]) -> T: ...
    def service(self, name: str, interface: Any = None) -> Any:
        """A proxy of a service.

        Args:
            name: The key under ``bee.rpc.client``.
            interface: A class, Protocol or ABC whose type hints are the contract; the proxy has its type.

        Raises:
            ConfigError: No such service is configured.
            TypeError: The interface cannot be used.
        """
        self.config.client(name)
        return make_proxy(self, self._assembly.services[name], interface)

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
        return Reply(
            call.value, call.node, call.attempts, call.degraded, plan.service.clock() - call.started
        )

    def invoke_future(
        self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> CallFuture[Any]:
        """Begin a call and return its future; for proxies. Does not wait, so it may be called on an event loop."""
        try:
            if not self._ready:
                self._prepare(plan)
            call = plan.service.make(plan, args, kwargs)
        except CallError as error:
            return self._futures.failed(error)
        return self._futures.start(call)

    def _begin(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        if _running_loop() is not None:
            self._called_on_a_loop(plan)
        if not self._ready:
            self._prepare(plan)
        service: Service[Channel] = plan.service
        call = service.make(plan, args, kwargs)
        if service.undiscovered is not None:
            self._discover(service, (call.deadline - call.started) / 2, plan.method)
        return call

    def _prepare(self, plan: CallPlan) -> None:
        """What the first call after a fork has to do, and every call after close. One flag says both, so that other calls look at nothing else."""
        self._ready = True
        if self._closing.is_set():
            self._ready = False
            raise CallCancelled(
                "the client is closed", service=plan.service.name, method=plan.method
            )
        self._prober.resume(self._assembly.services.values())

    def _discover(self, service: Service[Channel], patience: float, method: str) -> None:
        """Wait for the first nodes of a service, ``patience`` seconds at most; then go on with what is known."""
        discovery = self._discovery.begin(service)
        if discovery is None:
            return
        if not discovery.wait(min(discovery.patience(), patience)):
            discovery.fall_back()
        if self._closing.is_set():
            raise CallCancelled("the client was closed", service=service.name, method=method)

    def _deliver(self, service: Service[Channel], snapshot: Snapshot) -> None:
        if not self._closing.is_set():
            service.learn(snapshot)

    def nodes(self, service: str) -> NodesReport:
        """What is known of a service's nodes: which there are, which fit, why the others do not. Discovers them like a first call, so it may wait a second.

        Args:
            service: The key under ``bee.rpc.client``.

        Raises:
            ConfigError: No such service is configured.
            CallCancelled: The client was closed meanwhile.
        """
        self.config.client(service)
        found = self._assembly.services[service]
        if found.undiscovered is not None:
            self._discover(found, PATIENCE, "")
        return report_nodes(
            service, found.nodes.snapshot, found.nodes.selection, self._discovery.trouble(service)
        )

    def explain(
        self, service: str, method: str | None = None, *, key: str | None = None, ask: bool = False
    ) -> Explanation:
        """What would happen to a call now, and why: nodes, the next picks, and each setting with the line that states it. Makes no call. Waits like :meth:`nodes`.

        Args:
            service: The key under ``bee.rpc.client``.
            method: A method, for what ``methods`` states for it.
            key: The routing key that the call would have.
            ask: Ping the nodes too, for their health; takes a second at most.

        Raises:
            ConfigError: No such service is configured.
            CallCancelled: The client was closed meanwhile.
        """
        from .explanation import explain
        from .health import ask_health

        known = self.nodes(service)
        found = self._assembly.services[service]
        health = ask_health(found.nodes) if ask else {}
        return explain(
            found,
            self.config,
            known,
            method,
            key=key,
            make_balancer=lambda: self._assembly.make_balancer(found),
            make_rng=random.Random,
            health=health,
        )

    def trace(self, service: str, method: str, /, *args: Any, **kwargs: Any) -> CallTrace:
        """Make one call, for real, and say how it went, attempt by attempt. An error of the call is told in the trace and not raised.

        Args:
            service: The key under ``bee.rpc.client``.
            method: The method's full name.
            *args: Its arguments.
            **kwargs: Its arguments by name.

        Raises:
            ConfigError: No such service is configured.
            CallError: The call could not begin: arguments that cannot be sent, a closed client.
        """
        from ..calls.trace import CallRecorder

        self.config.client(service)
        call = self._begin(self._assembly.services[service].plan(method), args, kwargs)
        recorder = CallRecorder()
        return recorder.finish(
            call, drive(call, self._closing, call.plan.service.clock, recorder.flow)
        )

    def _called_on_a_loop(self, plan: CallPlan) -> None:
        name = f"{plan.service.name}.{plan.method}"
        if is_serving(_running_loop()):
            raise BeeError(
                f"{name}: a blocking call on the loop of a bee server stops every other call of the process; make the handler a plain def, or use build_async_client"
            )
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{name}: a blocking call on a running event loop stops it; use build_async_client (said once)",
                RuntimeWarning,
                stacklevel=5,
            )

    def _make_channel(self, transport: Any, node: Any, settings: Any) -> Channel:
        channel: Channel = transport.channel(node, settings)
        with self._lock:
            self._channels.add(channel)
        if self._closing.is_set():
            channel.close()  # `close` may have gone through them already
        return channel

    def _drop_channel(self, channel: Channel) -> None:
        with self._lock:
            self._channels.discard(channel)
            self._retired.add(channel)
        channel.retire()
        self._futures.drop(channel)

    def close(self) -> None:
        """Close all connections; calls in flight end with CallCancelled. Idempotent, from any thread."""
        self._closing.set()
        self._ready = False
        self._discovery.release()
        self._close_channels()
        self._futures.close()
        self._plane.stop()
        self._close_channels()  # those of a list that came in just now

    def _close_channels(self) -> None:
        with self._lock:
            channels, self._channels = self._channels, set()
            channels.update(self._retired)
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
        self._rng.seed()
        for channel in (*self._channels, *self._retired):
            channel.discard_after_fork()
        self._futures.after_fork()
        self._assembly.after_fork()
        self._discovery.after_fork()

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
