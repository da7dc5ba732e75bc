"""What both clients share: their construction, and all that does not wait.

``blocking.py`` and ``asyncio.py`` add the waiting, the channels and the closing.
"""

from __future__ import annotations

import os
import random
import time
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from weakref import WeakSet

from ..config import load_config, source_of
from ..config.differences import told
from ..contracts.plugin_faults import kind_of
from ..control.file_watch import FileWatch
from ..control.monkey_patching import refuse_patched_threads
from ..control.plane import ControlPlane
from ..control.prober import Prober
from ..control.recent_calls import RecentCalls
from ..control.status import Source, StatusPlace
from ..errors import BeeError, CallCancelled
from ..nodes.report import NodesReport, report_nodes
from ..plugins.hub import PluginHub
from ..terms.loggers import logger
from .assembly import Assembly
from .discoveries import Discoveries
from .dropped import weakly
from .proxies import Reply, ServiceProxy, make_proxy
from .remote_methods import Prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..calls.call import Call
    from ..calls.service import Service
    from ..config import ConfigSource
    from ..config.model import Config
    from ..contracts.transport import ChannelSettings, Transport
    from ..control.plane import Handle
    from ..terms.failures import Failure
    from ..terms.node import Node, Snapshot
    from .draft import Draft
    from .explanation import Explanation
    from .searches import Found

C = TypeVar("C")
T = TypeVar("T")
log = logger("bee.client")

REPORT_PATIENCE = 1.0
"""Seconds that a report waits for the registry's first answer, and for pings of nodes in question.

Many times what a registry takes, and less than a person notices as an outage.
"""


class ClientCore(ABC, Generic[C]):
    """A client without the waiting. ``C`` is the kind of its channels.

    Args:
        config: A path, a mapping, or a configuration.
        plugins: Plugin objects without an entry point.
        closing: Set when the client is closed: an ``Event`` of threading or of asyncio.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any] | Config,
        plugins: Sequence[object],
        closing: Any,
    ) -> None:
        refuse_patched_threads()
        self.config = load_config(config)
        self._closing = closing
        self.prepared = Prepared()
        self._left = False
        self._watching: Handle | None = None
        self._watched: str | None = None  # the file whose changes are watched for
        self._channels: set[C] = set()
        # Channels whose nodes have left. The calls that are still on them keep them alive.
        self._retired: WeakSet[C] = WeakSet()
        self._rng = random.Random()  # noqa: S311  # balancing and jitter, not secrets
        self.assembly: Assembly[C] = Assembly(
            self.config,
            PluginHub(plugins),
            make_channel=weakly(self._make_channel),
            drop_channel=weakly(self._drop_channel),
            clock=time.monotonic,
            rng=self._rng,
            random_bytes=os.urandom,
            complain=log.warning,
        )
        self._plane = ControlPlane(self.config.application.name or "client")
        self._recent: RecentCalls | None = None
        if self.assembly.recorder is not None:
            name = self.config.application.name
            self._recent = RecentCalls(self.assembly.recorder, "client", name)
            self._recent.serve_later(self._plane.spawn)
        self._prober = Prober(
            self._plane.spawn,
            self.assembly.async_channel,
            heartbeat_interval=self.assembly.registry_config.heartbeat_interval,
            rng=self._rng,
        )
        self._status = StatusPlace(self.config.application.metrics_address)
        self._shown = Source(self.assembly.exposition())
        for service in self.assembly.services.values():
            self._prober.watch(service)
        self.discoveries: Discoveries[C] = Discoveries(
            self.assembly,
            self._plane,
            weakly(self._deliver),
            weakly(self._ask_open),
            clock=time.monotonic,
            rng=self._rng,
        )

    @property
    def metrics_address(self) -> str | None:
        """Where the process shows metrics, ``http://127.0.0.1:9464``, with the real port.

        None before the first call, and where the configuration names no ``metrics_address`` or it
        cannot be listened on.
        """
        return self._status.url

    @overload
    def service(self, name: str) -> ServiceProxy: ...
    @overload
    def service(self, name: str, interface: Callable[..., T]) -> T: ...
    def service(self, name: str, interface: Any = None) -> Any:
        """A proxy of a service. The methods of an asyncio client's proxy are awaited.

        Args:
            name: The key under ``bee.rpc.client``.
            interface: A class, Protocol or ABC whose type hints are the contract; the proxy has its
                type. For an asyncio client it declares ``async def``.

        Raises:
            ConfigError: No such service is configured.
            TypeError: The interface cannot be used.
        """
        # Each of the two clients has the methods of a Caller.
        return make_proxy(self, self.find(name), interface)  # type: ignore[arg-type]

    def find(self, name: str) -> Service[C]:
        """A service, as it is now; for proxies.

        Raises:
            ConfigError: No such service is configured.
        """
        found = self.assembly.services.get(name)
        if found is None:
            self.config.client(name)  # says what is configured
            raise BeeError(f"the service {name!r} is just being replaced; try again")
        return found

    # Another configuration.

    def _draft(self, source: ConfigSource | None) -> tuple[Draft[C], Found[C]]:
        """Read and make another configuration, whole. Nothing changes. From any thread.

        Raises:
            ConfigError, PluginError: It cannot be used.
        """
        draft = self.assembly.draft(load_config(source_of(self.config, source)))
        found = self.discoveries.prepare(draft)
        self.prepared.check({service.name: service for service in draft.fresh})
        return draft, found

    def _take_over(self, draft: Draft[C], found: Found[C], *, known: bool) -> None:
        """Put a draft in use: first what is new, last what leaves. Raises nothing.

        Args:
            draft: The draft.
            found: How its nodes are found.
            known: Whether to make the channels of nodes that are known; on the client's loop.
        """
        before = self.config
        self._prober.pace(draft.registry_config.heartbeat_interval)
        for service in draft.fresh:
            self._prober.watch(service)
        leaving = self.discoveries.adopt(found, draft.gone)
        for service, snapshot in found.known.items() if known else ():
            service.learn(snapshot)
        self.config = draft.config
        self.assembly.adopt(draft)
        self.prepared.drop()
        for service in draft.gone:
            service.nodes.retire()
            service.leave()
        self.discoveries.retire(leaving)
        log.info("%s", told(before, draft.config))
        if draft.waiting:
            log.warning(
                "%s: a change of this needs a restart; the value before stays in use",
                ", ".join(draft.waiting),
            )
        self._watch_files()

    def _watch_files(self) -> None:
        """Watch the configuration's files where it says so, and not otherwise."""
        config = self.config
        wanted = config.source if config.application.watch else None
        if wanted == self._watched:
            return  # the watch that is there follows the files by itself
        watching, self._watching, self._watched = self._watching, None, wanted
        if watching is not None:
            watching.cancel()
        if wanted is not None and not self._closing.is_set():
            watch = FileWatch(config.files, weakly(self._files_changed))
            self._watching = self._plane.spawn(watch.run)

    @abstractmethod
    async def _reload_files(self) -> None:
        """Reload the configuration's own files; called on the control plane's loop."""

    async def _files_changed(self) -> Mapping[str, bytes]:
        """Files have changed: reload them. Returns which to watch from now on."""
        try:
            await self._reload_files()
        except BeeError as error:
            if self._closing.is_set():
                return {}
            said = " ".join(str(error).split())
            # Without a traceback: it is the file that is wrong.
            log.error("%s; the configuration before stays in use", said)  # noqa: TRY400
            return {**self.config.files, **getattr(error, "files", {})}
        return self.config.files

    @abstractmethod
    def _make_channel(self, transport: Transport, node: Node, settings: ChannelSettings) -> C:
        """A channel that :meth:`close` will find."""

    @staticmethod
    def _usable(channel: C) -> C:
        """The channel that a transport has made, if it is one.

        Raises:
            TypeError: It is none.
        """
        if not hasattr(channel, "start"):
            raise TypeError(f"made {kind_of(channel)}, which is no channel")
        return channel

    @abstractmethod
    def _drop_channel(self, channel: C) -> None:
        """The node of this channel has left."""

    @abstractmethod
    async def _ask_open(self, channel: C, timeout: float) -> str | Failure | None:
        """Ping on an open connection of a channel; on the control plane's loop.

        Returns:
            The answer, or None where there is no such connection.
        """

    def _deliver(self, service: Service[C], snapshot: Snapshot) -> None:
        """Take a list of nodes.

        Runs on the control plane's thread, so that a long list delays no call.
        """
        if not self._closing.is_set():
            service.learn(snapshot)

    def _check_open(self, service: Service[C], method: str) -> None:
        if self._closing.is_set():
            raise CallCancelled("the client is closed", service=service.name, method=method)

    def _report(self, service: Service[C]) -> NodesReport:
        nodes = service.nodes
        # Taken first: a list that comes meanwhile is then newer than its doubts, and lists nodes
        # that are in doubt no more.
        outlook = self.discoveries.outlook(service.name)
        unknown = "" if nodes.snapshot.nodes else nodes.explain_none()[1]
        now = service.clock()
        cut_off = {
            node_id: reason
            for node_id in nodes.states
            if (reason := nodes.why_cut_off(node_id, now))
        }
        return report_nodes(
            service.name, nodes.snapshot, nodes.selection, outlook, unknown, cut_off
        )

    def _explain(
        self,
        known: NodesReport,
        method: str | None,
        key: str | None,
        health: Mapping[str, str],
        interface: Any,
    ) -> Explanation:
        from .explanation import explain  # loaded at its first use

        service = self.find(known.service)
        return explain(
            service,
            self.config,
            known,
            method,
            key=key,
            make_balancer=partial(self.assembly.make_balancer, service),
            make_rng=random.Random,
            health=health,
            interface=interface,
        )

    @staticmethod
    def _reply(call: Call) -> Reply[Any]:
        seconds = call.plan.service.clock() - call.started
        return Reply(
            call.value,
            call.node,
            call.attempts,
            call.degraded,
            seconds,
            call.reply_metadata,
            getattr(call, "age", None) if call.degraded else None,
            {} if call.degraded else getattr(call, "answers", {}),
        )

    def _leave(self) -> None:
        """The client is closed: tell the observers, once."""
        if not self._left:
            self._left = True
            for service in self.assembly.services.values():
                service.leave()

    def _all_channels(self) -> set[C]:
        """Every channel that may be open. The caller must close them."""
        channels, self._channels = self._channels, set()
        channels.update(self._retired)
        return channels

    def _renew_after_fork(self) -> None:
        """In a forked child: other randomness, new locks, and services to be discovered anew."""
        self._rng.seed()
        self._watching = self._watched = None
        self.prepared.renew_lock()
        self.assembly.after_fork()
        self.discoveries.after_fork()
