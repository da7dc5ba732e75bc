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

from .. import fork
from ..assembly import Assembly
from ..config import load_config
from ..errors import BeeError, CallCancelled
from ..plugin_hub import PluginHub
from ..proxies import Reply, ServiceProxy, make_proxy
from ..serving_loops import is_serving
from .driver import drive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self  # type checkers bring it

    from ..call_flow import Call
    from ..call_plan import CallPlan
    from ..config.model import Config
    from ..interfaces import Channel
    from ..service import Service

T = TypeVar("T")
log = logging.getLogger("bee.client")
_running_loop = asyncio._get_running_loop  # noqa: SLF001  # documented for this use: returns None instead of raising


class Client:
    """Calls the services of a configuration. See :func:`bee_core.build_client`.

    Thread-safe. Does no network until the first call. Usable as a context manager.
    """

    def __init__(self, config: str | os.PathLike[str] | Mapping[str, Any] | Config, plugins: Sequence[object] = ()) -> None:
        self.config = load_config(config)
        self._closing = Event()
        self._lock = Lock()
        self._warned = False
        self._rng = random.Random()  # noqa: S311  # balancing and jitter, not secrets
        self._channels: set[Channel] = set()
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
        self._assembly.apply_known_nodes()
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

    def invoke_detailed(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reply[Any]:
        """Make a call and say how it went; for proxies."""
        call = self._begin(plan, args, kwargs)
        error = drive(call, self._closing, plan.service.clock)
        if error is not None:
            raise error
        return Reply(call.value, call.node, call.attempts, call.degraded, plan.service.clock() - call.started)

    def _begin(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        if _running_loop() is not None:
            self._called_on_a_loop(plan)
        if self._closing.is_set():
            msg = "the client is closed"
            raise CallCancelled(msg, service=plan.service.name, method=plan.method)
        service: Service[Channel] = plan.service
        form, body = service.encode(plan, args, kwargs)
        compressed = False
        if len(body) > plan.rule.threshold:
            body, compressed = service.pack(plan, body)
        return service.begin(plan, args, kwargs, form, body, compressed)

    def _called_on_a_loop(self, plan: CallPlan) -> None:
        name = f"{plan.service.name}.{plan.method}"
        if is_serving(_running_loop()):
            msg = f"{name}: a blocking call on the loop of a bee server stops every other call of the process; make the handler a plain def, or use build_async_client"
            raise BeeError(msg)
        if not self._warned:
            self._warned = True
            warnings.warn(f"{name}: a blocking call on a running event loop stops it; use build_async_client (said once)", RuntimeWarning, stacklevel=5)

    def _make_channel(self, transport: Any, node: Any, settings: Any) -> Channel:
        channel: Channel = transport.channel(node, settings)
        with self._lock:
            self._channels.add(channel)
        return channel

    def _drop_channel(self, channel: Channel) -> None:
        with self._lock:
            self._channels.discard(channel)
        channel.retire()

    def close(self) -> None:
        """Close all connections; calls in flight end with CallCancelled. Idempotent, from any thread."""
        self._closing.set()
        with self._lock:
            channels, self._channels = self._channels, set()
        for channel in channels:
            channel.close()

    def after_fork_in_child(self) -> None:
        """See :class:`bee_core.fork.Forkable`."""
        closed = self._closing.is_set()
        self._closing = Event()
        if closed:
            self._closing.set()
        self._lock = Lock()
        self._rng.seed()
        for channel in self._channels:
            channel.discard_after_fork()
        for service in self._assembly.services.values():
            service.after_fork()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it."""
        self.close()
