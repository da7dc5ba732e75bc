"""The asyncio client: belongs to the loop of its first call.

It shares one connection a node among all calls.
"""

from __future__ import annotations

import asyncio
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import finalize

from ..calls.call import Call, begin, encode, pack
from ..calls.plan import CallPlan, make_plan
from ..contracts.size_rule import HEAVY
from ..errors import BeeError, CallCancelled, DeadlineExceeded
from .asyncio_driver import drive
from .core import REPORT_PATIENCE, ClientCore
from .discoveries import on_loop
from .dropped import abandon, end_asyncio
from .open_connections import ask_on_loop
from .overdue import Overdue

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self  # type checkers bring it

    from ..calls.service import Service
    from ..calls.trace import CallTrace
    from ..config import ConfigSource
    from ..config.model import Config
    from ..contracts.channels import AsyncChannel
    from ..contracts.transport import ChannelSettings, Transport
    from ..nodes.report import NodesReport
    from ..terms.failures import Failure
    from ..terms.node import Node
    from ..terms.request import Form
    from .explanation import Explanation
    from .proxies import Reply

_running_loop = asyncio.get_running_loop


class AsyncClient(ClientCore["AsyncChannel"]):
    """Calls the services of a configuration from an event loop.

    See :func:`bee_core.build_async_client`. Belongs to the loop on which it is first used. Usable
    as an asynchronous context manager.
    """

    _closing: asyncio.Event

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any] | Config,
        plugins: Sequence[object] = (),
    ) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._late: set[asyncio.Future[None]] = set()
        self._reloading = asyncio.Lock()
        super().__init__(config, plugins, asyncio.Event())
        self._overdue = Overdue(self.assembly.clock)
        self._loops: list[asyncio.AbstractEventLoop] = []
        self._finalizer = finalize(
            self,
            end_asyncio,
            (self._channels, self._retired),
            (self._plane, self._status),
            self._loops,
        )
        self._finalizer.atexit = False

    async def invoke(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call; for proxies."""
        # _begin() written out: saves a coroutine for each call.
        form, body = self._encode(plan, args, kwargs)
        compressed = False
        if len(body) > plan.rule.threshold:
            body, compressed = await self._pack(plan, body)
        call = begin(plan, args, kwargs, form, body, compressed)
        if plan.service.undiscovered is not None:
            await self._discover(plan.service, call.started, call.deadline, plan.method)
        error = await drive(call, self._closing, self._overdue)
        if error is not None:
            raise error
        return call.value

    async def invoke_detailed(
        self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Reply[Any]:
        """Make a call and say how it went; for proxies."""
        call = await self._begin(plan, args, kwargs)
        error = await drive(call, self._closing, self._overdue)
        if error is not None:
            raise error
        return self._reply(call)

    def invoke_future(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Refuse: an asyncio client has asyncio's own futures.

        Raises:
            TypeError: Always; it says what to use.
        """
        name = f"{plan.service.name}.{plan.method}"
        raise TypeError(
            f"future() is for the blocking client; {name} is a method of an asyncio client: use"
            f" asyncio.ensure_future({name}(...)) or create_task"
        )

    async def _begin(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """A new call of a service whose nodes are known."""
        form, body = self._encode(plan, args, kwargs)
        compressed = False
        if len(body) > plan.rule.threshold:
            body, compressed = await self._pack(plan, body)
        call = begin(plan, args, kwargs, form, body, compressed)
        if plan.service.undiscovered is not None:
            await self._discover(plan.service, call.started, call.deadline, plan.method)
        return call

    def _encode(
        self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Form, bytes]:
        """The arguments of a call, if one can be made here."""
        loop = _running_loop()
        if loop is not self._loop:
            self._adopt(loop)
        if self._closing.is_set():
            self._check_open(plan.service, plan.method)
        return encode(plan, args, kwargs)

    async def _pack(self, plan: CallPlan, body: bytes) -> tuple[bytes, bool]:
        """Apply the size rule to a body over its threshold."""
        if len(body) < HEAVY:
            return pack(plan, body)
        # Compressing it takes long, so a thread does it and the loop goes on.
        packing = _running_loop().run_in_executor(None, pack, plan, body)
        try:
            return await asyncio.wait_for(packing, plan.timeout)
        except (TimeoutError, asyncio.TimeoutError):
            raise DeadlineExceeded(
                "the deadline came while the body was compressed",
                service=plan.service.name,
                method=plan.method,
            ) from None

    async def _discover(
        self, service: Service[AsyncChannel], began: float, until: float, method: str
    ) -> None:
        await self.discoveries.wait_async(service, began, until)
        self._check_open(service, method)

    async def reload(self, config: ConfigSource | None = None) -> None:
        """Take another configuration, like :meth:`bee_core.Client.reload`. Calls go on meanwhile.

        Raises:
            BeeError: The client belongs to another event loop.
        """
        loop = _running_loop()
        if self._loop is not None:
            self._adopt(loop)
        async with self._reloading:
            # Files are read and plugins imported on a thread.
            draft, found = await loop.run_in_executor(None, self._draft, config)
            if self._closing.is_set():
                raise CallCancelled("the client is closed")
            self._take_over(draft, found, known=self._loop is not None)

    async def _reload_files(self) -> None:
        loop = self._loop
        if loop is not None and loop.is_running():
            reloading = asyncio.run_coroutine_threadsafe(self.reload(), loop)
            await asyncio.wrap_future(reloading)

    async def nodes(self, service: str) -> NodesReport:
        """A report of the nodes of a service, like :meth:`bee_core.Client.nodes`."""
        found = self.find(service)
        self._adopt(_running_loop())
        until = self.assembly.clock() + REPORT_PATIENCE
        await self.discoveries.wait_for_report_async(found, until)
        self._check_open(found, "")
        return self._report(found)

    async def explain(
        self,
        service: str,
        method: str | None = None,
        *,
        key: str | None = None,
        ask: bool = False,
        interface: Any = None,
    ) -> Explanation:
        """What would happen to a call now, and why, like :meth:`bee_core.Client.explain`."""
        from .health import ask_health_async  # loaded at its first use

        known = await self.nodes(service)
        health = await ask_health_async(self.find(service).nodes) if ask else {}
        return self._explain(known, method, key, health, interface)

    async def trace(self, service: str, method: str, /, *args: Any, **kwargs: Any) -> CallTrace:
        """Make one real call and tell how it went, like :meth:`bee_core.Client.trace`."""
        from ..calls.trace import CallRecorder  # loaded at its first use

        call = await self._begin(make_plan(self.find(service), method), args, kwargs)
        recorder = CallRecorder()
        error = await drive(call, self._closing, self._overdue, recorder.flow)
        return recorder.finish(call, error)

    def _adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is None:
            self._loop = loop
            self._loops.append(loop)
            self._status.open_on_plane(self._shown)
            self.assembly.apply_known_nodes()
            self._watch_files()
        elif self._loop is not loop:
            raise BeeError(
                "this asyncio client belongs to another event loop; build one for each loop"
            )

    def _make_channel(
        self, transport: Transport, node: Node, settings: ChannelSettings
    ) -> AsyncChannel:
        channel = self._usable(transport.async_channel(node, settings))
        if self._closing.is_set():
            # `close` did not see this channel. It closes after the call that made it has begun on
            # it, so that this call ends like the others.
            closing = asyncio.ensure_future(channel.close())
            self._late.add(closing)
            closing.add_done_callback(self._late.discard)
        else:
            self._channels.add(channel)
        return channel

    def _drop_channel(self, channel: AsyncChannel) -> None:
        # Lists come in on the control plane's thread, and channels belong to the loop.
        def drop() -> None:
            self._channels.discard(channel)
            self._retired.add(channel)
            channel.retire()

        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001  # None and no error off loops
            drop()
        elif self._loop is not None:
            on_loop(self._loop, drop)

    async def _ask_open(self, channel: AsyncChannel, timeout: float) -> str | Failure | None:
        return await ask_on_loop(self._loop, channel, timeout)

    async def close(self) -> None:
        """Close all connections; calls in flight end with CallCancelled. Idempotent.

        On another loop than that of the calls it cleans up as well, with a ResourceWarning.
        """
        self._finalizer.detach()
        own = self._loop
        if own is not None and own is not _running_loop() and not self._closing.is_set():
            await self._close_elsewhere(own)
            return
        self._closing.set()
        self._overdue.close()
        self.discoveries.release()
        channels = self._all_channels()
        if channels:
            await asyncio.gather(*(channel.close() for channel in channels))
        await self._status.stop_async()
        await self._plane.stop_async()
        self._leave()

    async def _close_elsewhere(self, own: asyncio.AbstractEventLoop) -> None:
        warnings.warn(
            "an asyncio client is closed on another event loop than that of its calls: close it"
            " there, at best by an async with block",
            ResourceWarning,
            stacklevel=3,
        )
        if own.is_running():  # on another thread
            closing = asyncio.run_coroutine_threadsafe(self.close(), own)
            await asyncio.wrap_future(closing)
            return
        with suppress(RuntimeError):  # calls that were left on a loop that is closed
            self._closing.set()
        self._overdue.close()
        self.discoveries.release()
        abandon(self._all_channels())
        await self._status.stop_async()
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
