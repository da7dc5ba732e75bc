"""The programs of the model: servers that register, clients that discover them.

A server's registration and a client's discovery are bee's own. What a process has beside them (a
socket, a serving loop) is a few fields here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from bee_core.control.discovery import Discovery
from bee_core.control.doubts import Doubts
from bee_core.control.registration import Registration, RegistrationEvent
from bee_core.control.snapshot_cache import SnapshotCache
from bee_core.interfaces import Instance, RegistrySettings
from bee_core.nodes.directory import Directory
from bee_core.nodes.node_set import NodeSet
from bee_core.terms.causes import read_timed_out, refused, reported
from bee_core.terms.versions import Range

from .bounds import PING_TIMEOUT
from .line import KEPT, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from bee_core.terms.failures import Failure
    from bee_core.terms.node import Node

    from .world import World

SERVICE = "calc"
FITS, OTHER = "1.0.0", "2.0.0"
RANGE = ">=1.0, <2"

Answer = Literal["serving", "draining", "refused", "failed", "loaded"]


FAILURES = {
    "refused": refused(ConnectionRefusedError("nobody listens there")),
    "failed": read_timed_out(PING_TIMEOUT, full=True),
    "loaded": reported("overloaded", "it is full"),
}


class Server:
    """A process that serves at an address.

    Attributes:
        node: What it announces.
        party: The process.
        line: Its access to the registry.
        draining: Whether it answers pings so, and takes its registration back.
        hanging: Whether its serving loop stands still, while the rest of the process runs.
        loaded: Whether it refuses pings for load.
        events: What its registration has reported.
        since: When it began.
        gone_at: When it stopped to serve; None while it does.
    """

    def __init__(self, world: World, node: Node) -> None:
        self.node = node
        self.party = world.loop.party(f"server {node.id}")
        self.line = Line(
            world.registry.session(RegistrySettings((), world.heartbeat)),
            world.loop,
            world.heartbeat,
            lambda what: world.broken(f"{node.id}: {what}"),
        )
        self.draining = self.hanging = self.loaded = False
        self.events: list[RegistrationEvent] = []
        self.since = world.loop.time()
        self.gone_at: float | None = None
        self._world = world
        self._stood = 0
        self.registration = Registration(
            self.line,
            Instance(SERVICE, node),
            world.heartbeat,
            self._ticks,
            self.events.append,
            rng=Random(world.number()),
            clock=world.loop.time,
        )
        self.party.spawn(self.registration.keep())

    def __repr__(self) -> str:
        return f"<{self.node.id} at {self.node.url} {self.node.version} {self.party.state}>"

    @property
    def running(self) -> bool:
        """Whether the process is there, frozen ones included."""
        return self.party.state != "killed"

    @property
    def serves(self) -> bool:
        """Whether it takes calls."""
        return self.party.state == "runs" and not self.draining and not self.hanging

    def _ticks(self) -> int:
        if not self.hanging:
            self._stood = int(self._world.loop.time() * 10 / self._world.heartbeat)
        return self._stood

    def drain(self) -> None:
        """As after SIGTERM: it leaves the registry, then ends."""
        if not self.draining and self.running:
            self.draining = True
            self.line.leaving = True
            self.party.spawn(self._leave())

    async def _leave(self) -> None:
        await self.registration.leave(LEAVING)
        await asyncio.sleep(DRAINING)
        self.party.kill()


LEAVING = 2.0
"""Seconds that a server grants to leaving the registry."""
DRAINING = 8.0
"""Seconds that its calls take to end."""


class Plane:
    """What a discovery needs of a control plane, on the model's loop."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def spawn(self, make_coroutine: Callable[[], Coroutine[Any, Any, object]]) -> Any:
        return self._client.party.spawn(make_coroutine())

    def call_soon(self, function: Callable[[], object]) -> bool:
        async def call() -> None:
            function()

        self._client.party.spawn(call())
        return True


class Picked:
    """A balancer that notes which nodes calls may be sent to."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def update(self, ready: tuple[Node, ...]) -> None:
        self.nodes = {node.id: node for node in ready}


class Client:
    """A process that calls the service.

    Attributes:
        party: The process.
        line: Its access to the registry.
        picked: The nodes that its calls may go to, by id.
        apart: Addresses that it cannot reach.
        pings: When it pinged.
        answers: By node id, what its last pings gave.
        first: When its first call had an outcome (nodes are known, or none are); None until then.
        kept: Ids of nodes that are on its disk when it begins, and fit.
    """

    def __init__(
        self, world: World, name: str, folder: Path, kept: frozenset[str] = frozenset()
    ) -> None:
        self.name = name
        self.kept = kept
        self.folder = folder
        self.party = world.loop.party(name)
        self.line = Line(
            world.registry.session(RegistrySettings((), world.heartbeat)),
            world.loop,
            world.heartbeat,
            lambda what: world.broken(f"{name}: {what}"),
        )
        self.apart: set[str] = set()
        self.pings: deque[float] = deque(maxlen=KEPT)
        self.answers: dict[str, deque[Answer]] = {}
        self.began = world.loop.time()
        self.first: float | None = None
        self._world = world
        self._balancer = Picked()
        directory = Directory(Range.parse(RANGE))
        self.nodes: NodeSet[Any] = NodeSet(
            SERVICE,
            directory,
            self._balancer,  # type: ignore[arg-type]
            lambda node: None,
            None,
            lambda channel: None,
            None,  # type: ignore[arg-type]
        )
        self.discovery = Discovery(
            SERVICE,
            registry=lambda: self.line,
            registry_name="memory",
            addresses=(),
            deliver=self.nodes.apply,
            ask=self._ask,
            fits=directory.fits,
            objection=lambda node: "" if "://" in node.url else "not a url",
            cache=SnapshotCache("memory", folder),
            doubts=Doubts(world.loop.time, Random(world.number())),
            heartbeat_interval=world.heartbeat,
            clock=world.loop.time,
            rng=Random(world.number()),
            registry_changed=lambda *_: None,
        )
        self.discovery.start(Plane(self))  # type: ignore[arg-type]
        self.party.spawn(self._first_call())

    async def _first_call(self) -> None:
        """As a client's own: it waits for nodes as long as it may, then goes on."""
        if not await self.discovery.first.wait_async(self.began, self.began + FIRST_CALL):
            self.discovery.fall_back()
        self.first = self._world.loop.time()

    @property
    def picked(self) -> dict[str, Node]:
        return self._balancer.nodes

    @property
    def running(self) -> bool:
        return self.party.state != "killed"

    async def close(self) -> None:
        """End it as a program that closes its client."""
        await self.party.clean_up()
        self.party.kill()

    async def _ask(self, node: Node) -> str | Failure:
        self.pings.append(self._world.loop.time())
        answer: Answer = "failed"
        try:
            answer = await self._ping(node.url)
        finally:
            self.answers.setdefault(node.id, deque(maxlen=8)).append(answer)
        return FAILURES.get(answer, answer)

    async def _ping(self, url: str) -> Answer:
        """What whoever listens at an address says."""
        await asyncio.sleep(TRIP)
        until = self._world.loop.time() + PING_TIMEOUT
        while True:
            server = self._world.at(url)
            if url not in self.apart:
                if url in self._world.others:
                    return "serving"
                if server is None:
                    return "refused"
                if server.party.state == "runs" and not server.hanging:
                    if server.draining:
                        return "draining"
                    return "loaded" if server.loaded else "serving"
            if self._world.loop.time() >= until:
                return "failed"
            await asyncio.sleep(PING_TIMEOUT / 4)


FIRST_CALL = 5.0
"""Seconds that a client's first call may take."""
TRIP = 0.002
"""Seconds that a ping takes."""
