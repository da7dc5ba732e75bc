"""The asyncio client: belongs to the loop of its first call and shares one connection a node among all of them."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from typing import TYPE_CHECKING, Any, TypeVar, overload
from weakref import WeakSet

from ..config import load_config
from ..contracts.size_rule import HEAVY
from ..control.discovery import PATIENCE
from ..control.plane import ControlPlane
from ..control.prober import Prober
from ..errors import BeeError, CallCancelled
from ..nodes.report import report_nodes
from ..plugins.hub import PluginHub
from .assembly import Assembly
from .asyncio_driver import drive
from .discoveries import ClientDiscovery
from .first_nodes import await_nodes, on_loop
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
    from ..contracts.transport import AsyncChannel
    from ..nodes.report import NodesReport
    from ..terms.node import Snapshot
    from .explanation import Explanation

T = TypeVar("T")
log = logging.getLogger("bee.client")
_running_loop = asyncio.get_running_loop


class AsyncClient:
    """Calls the services of a configuration from an event loop. See :func:`bee_core.build_async_client`.

    Belongs to the loop on which it is first used. Usable as an asynchronous context manager.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any] | Config,
        plugins: Sequence[object] = (),
    ) -> None:
        self.config = load_config(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()
        self._channels: set[AsyncChannel] = set()
        self._retired: WeakSet[AsyncChannel] = (
            WeakSet()
        )  # whose nodes have left; kept alive by the calls that are still on them
        self._late: set[asyncio.Future[None]] = set()
        rng = random.Random()  # noqa: S311  # balancing and jitter, not secrets
        self._assembly: Assembly[AsyncChannel] = Assembly(
            self.config,
            PluginHub(plugins),
            make_channel=self._make_channel,
            drop_channel=self._drop_channel,
            clock=time.monotonic,
            rng=rng,
            random_bytes=os.urandom,
            complain=log.warning,
        )
        self._plane = ControlPlane(self.config.application or "client")
        self._prober = Prober(
            self._plane.spawn,
            self._assembly.async_channel,
            heartbeat_interval=self._assembly.heartbeat_interval,
            rng=rng,
        )
        self._assembly.watch_breakers(self._prober.breaker_changed)
        self._discovery: ClientDiscovery[AsyncChannel] = ClientDiscovery(
            self._assembly, self._plane, self._deliver, clock=time.monotonic, rng=rng
        )

    @overload
    def service(self, name: str) -> ServiceProxy: ...
    @overload
    def service(self, name: str, interface: Callable[..., T]) -> T: ...
    def service(self, name: str, interface: Any = None) -> Any:
        """A proxy of a service, as :meth:`bee_core.client.blocking.Client.service`; its methods are awaited, and an interface declares ``async def``."""
        self.config.client(name)
        return make_proxy(self, self._assembly.services[name], interface)

    async def invoke(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call; for proxies."""
        call = self._begin(plan, args, kwargs) or await self._begin_heavy(plan, args, kwargs)
        if plan.service.undiscovered is not None:
            await self._discover(plan.service, (call.deadline - call.started) / 2, plan.method)
        error = await drive(call, self._closing, plan.service.clock)
        if error is not None:
            raise error
        return call.value

    async def invoke_detailed(
        self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Reply[Any]:
        """Make a call and say how it went; for proxies."""
        call = self._begin(plan, args, kwargs) or await self._begin_heavy(plan, args, kwargs)
        if plan.service.undiscovered is not None:
            await self._discover(plan.service, (call.deadline - call.started) / 2, plan.method)
        error = await drive(call, self._closing, plan.service.clock)
        if error is not None:
            raise error
        return Reply(
            call.value, call.node, call.attempts, call.degraded, plan.service.clock() - call.started
        )

    def invoke_future(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Refuse: an asyncio client has asyncio's own futures.

        Raises:
            TypeError: Always; it says what to use.
        """
        name = f"{plan.service.name}.{plan.method}"
        raise TypeError(
            f"future() is for the blocking client; {name} is a method of an asyncio client: use asyncio.ensure_future({name}(...)) or create_task"
        )

    def _begin(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """A new call; None for one whose body must be compressed off the loop."""
        loop = _running_loop()
        if loop is not self._loop:
            self._adopt(loop)
        service: Service[AsyncChannel] = plan.service
        if self._closing.is_set():
            raise CallCancelled("the client is closed", service=service.name, method=plan.method)
        form, body = service.encode(plan, args, kwargs)
        compressed = False
        if len(body) > plan.rule.threshold:
            if len(body) >= HEAVY:
                return None
            body, compressed = service.pack(plan, body)
        return service.begin(plan, args, kwargs, form, body, compressed)

    async def _begin_heavy(
        self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call:
        service: Service[AsyncChannel] = plan.service
        form, body = service.encode(plan, args, kwargs)
        body, compressed = await asyncio.get_running_loop().run_in_executor(
            None, service.pack, plan, body
        )
        return service.begin(plan, args, kwargs, form, body, compressed)

    async def _discover(self, service: Service[AsyncChannel], patience: float, method: str) -> None:
        """Wait for the first nodes of a service, ``patience`` seconds at most; then go on with what is known."""
        await await_nodes(self._discovery, service, patience)
        if self._closing.is_set():
            raise CallCancelled("the client was closed", service=service.name, method=method)

    def _deliver(self, service: Service[AsyncChannel], snapshot: Snapshot) -> None:
        """On the control plane's thread, so that a long list does not hold up the loop; only channels, which are the loop's, are made and dropped there."""
        if not self._closing.is_set():
            service.learn(snapshot)

    async def nodes(self, service: str) -> NodesReport:
        """What is known of a service's nodes, as :meth:`bee_core.client.blocking.Client.nodes`."""
        self.config.client(service)
        loop = _running_loop()
        if loop is not self._loop:
            self._adopt(loop)
        found = self._assembly.services[service]
        if found.undiscovered is not None:
            await self._discover(found, PATIENCE, "")
        return report_nodes(
            service, found.nodes.snapshot, found.nodes.selection, self._discovery.trouble(service)
        )

    async def explain(
        self, service: str, method: str | None = None, *, key: str | None = None, ask: bool = False
    ) -> Explanation:
        """What would happen to a call now, and why, as :meth:`bee_core.client.blocking.Client.explain`."""
        from .async_health import ask_health
        from .explanation import explain

        known = await self.nodes(service)
        found = self._assembly.services[service]
        health = await ask_health(found.nodes) if ask else {}
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

    async def trace(self, service: str, method: str, /, *args: Any, **kwargs: Any) -> CallTrace:
        """Make one call, for real, and say how it went, as :meth:`bee_core.client.blocking.Client.trace`."""
        from ..calls.trace import CallRecorder

        self.config.client(service)
        plan = self._assembly.services[service].plan(method)
        call = self._begin(plan, args, kwargs) or await self._begin_heavy(plan, args, kwargs)
        if plan.service.undiscovered is not None:
            await self._discover(plan.service, (call.deadline - call.started) / 2, plan.method)
        recorder = CallRecorder()
        return recorder.finish(
            call, await drive(call, self._closing, plan.service.clock, recorder.flow)
        )

    def _adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None:
            raise BeeError(
                "this asyncio client belongs to another event loop; build one for each loop"
            )
        self._loop = loop
        self._assembly.apply_known_nodes()

    def _make_channel(self, transport: Any, node: Any, settings: Any) -> AsyncChannel:
        channel: AsyncChannel = transport.async_channel(node, settings)
        if self._closing.is_set():
            # `close` has gone through them already. Closed when the call that made it has begun on it, which so ends as others did.
            closing = asyncio.ensure_future(channel.close())
            self._late.add(closing)
            closing.add_done_callback(self._late.discard)
        else:
            self._channels.add(channel)
        return channel

    def _drop_channel(self, channel: AsyncChannel) -> None:
        def drop() -> None:
            self._channels.discard(channel)
            self._retired.add(channel)
            channel.retire()

        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001  # documented for this use: returns None instead of raising
            drop()
        elif self._loop is not None:
            on_loop(self._loop, drop)

    async def close(self) -> None:
        """Close all connections; calls in flight end with CallCancelled. Idempotent."""
        self._closing.set()
        self._discovery.release()
        channels, self._channels = self._channels, set()
        channels.update(self._retired)
        if channels:
            await asyncio.gather(*(channel.close() for channel in channels))
        await self._plane.stop_async()

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()
