"""A registry, its servers and its clients on one virtual loop, and what may befall them.

The verbs of :mod:`.language` are methods here. A verb that makes no sense now (to thaw what runs)
does nothing, so that any sequence of steps is a history.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bee_core.control.snapshot_cache import SnapshotCache
from bee_core.terms.node import Node
from bee_core.testing import MemoryRegistry
from support.virtual_loop import VirtualLoop

from .invariants import Watchdog
from .parties import FITS, OTHER, SERVICE, Client, Server
from .troubles import Troubles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

    from .language import History, Step


class World(Troubles):
    """See above. Use it as a context manager.

    Args:
        beginning: What there is to begin with; its steps are not done.

    Attributes:
        servers: The present process of each place for one; killed ones stay until restarted.
        past: Processes that were replaced.
        clients: The present process of each place for one.
        left: Clients that were replaced.
        wrong: Promises that were broken.
        registry_ok: Whether the registry answers everybody rightly, as far as it itself goes.
        back: When it did not, last.
        stolen: Ids that a foreign server holds.
        others: Addresses where somebody serves beside the servers.
    """

    def __init__(self, beginning: History) -> None:
        self.heartbeat = beginning.heartbeat
        self.loop = VirtualLoop()
        self.loop.set_exception_handler(self._unexpected)
        self.folder = Path(tempfile.mkdtemp(prefix="bee-model-", dir=_memory_disk()))
        self.registry = MemoryRegistry(clock=self.loop.time)
        self._numbers = itertools.count(1000 * beginning.seed + 1)
        self._names = itertools.count(1)
        self.wrong: list[str] = []
        self.registry_ok = True
        self.slowness = 0.0
        self.back = self.loop.time()
        self.hidden: frozenset[str] | None = frozenset()
        self.stolen: set[str] = set()
        self.others: set[str] = set()
        self.past: list[Server] = []
        self.servers: list[Server] = []
        self.clients: list[Client] = []
        self.left: list[Client] = []
        self.watchdog = Watchdog(self)
        self.loop.before_time_passes = self.watchdog.look
        for _ in range(beginning.servers):
            self.start()
        for _ in range(beginning.clients):
            self.clients.append(self._client(f"client {len(self.clients)}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def number(self) -> int:
        """A seed that nobody else has."""
        return next(self._numbers)

    def broken(self, promise: str) -> None:
        """A promise was broken."""
        self.wrong.append(f"{self.loop.time() - self.watchdog.began:.3f} s: {promise}")

    def _unexpected(self, loop: object, context: dict[str, object]) -> None:
        if "exception" in context:
            self.broken(f"{context['message']}: {context['exception']!r}")

    def at(self, url: str) -> Server | None:
        """Who listens at an address."""
        for server in self.servers:
            if server.node.url == url and server.running:
                return server
        return None

    @property
    def everybody(self) -> Iterable[Server]:
        """All servers that there are and were."""
        return itertools.chain(self.servers, self.past)

    # What a history does.

    def do(self, step: Step) -> None:
        """Do a step of a history; AssertionError: a promise was broken by then."""
        self.watchdog.wake()
        getattr(self, step.verb)(*step.numbers)
        self.watchdog.wake()
        self.check()

    def check(self) -> None:
        assert not self.wrong, self.wrong[0]

    def wait(self, heartbeats: float) -> None:
        self.loop.run_for(heartbeats * self.heartbeat)

    def settle(self) -> None:
        """Everything is mended, and time passes until every bound has."""
        self.mend()
        self.watchdog.wake()
        self.loop.run_for(self.watchdog.longest)
        self.check()

    # Servers.

    def start(self) -> None:
        """One more server, at an address of its own."""
        if len(self.servers) < 8:
            self.servers.append(self._server(FITS))

    def _server(self, version: str, *, id_: str = "", url: str = "") -> Server:
        name = next(self._names)
        node = Node(id_ or f"calc-{name}", url or f"tcp://10.0.0.{name}:9000", version)
        return Server(self, node)

    def _again(self, number: int, version: str, *, id_: str = "", url: str = "") -> None:
        spot = self._spot(number)
        self.kill(spot)
        self.servers[spot].gone_at = self.loop.time()
        self.past.append(self.servers[spot])
        self.servers[spot] = self._server(version, id_=id_, url=url)

    def kill(self, number: int) -> None:
        self.servers[self._spot(number)].party.kill()

    def freeze(self, number: int) -> None:
        self.servers[self._spot(number)].party.freeze()

    def thaw(self, number: int) -> None:
        self.servers[self._spot(number)].party.thaw()

    def hang(self, number: int) -> None:
        """Its serving loop stands still; the rest of the process runs."""
        self.servers[self._spot(number)].hanging = True

    def work(self, number: int) -> None:
        """Its serving loop runs, and it takes calls."""
        server = self.servers[self._spot(number)]
        server.hanging = server.loaded = False

    def load(self, number: int) -> None:
        """It refuses pings for load."""
        self.servers[self._spot(number)].loaded = True

    def drain(self, number: int) -> None:
        server = self.servers[self._spot(number)]
        if server.party.state == "runs":
            server.drain()

    def restart(self, number: int) -> None:
        """A new process at the same address, with a new id."""
        self._again(number, FITS, url=self.servers[self._spot(number)].node.url)

    def replace(self, number: int) -> None:
        """A new process with the same id, at another address."""
        self._again(number, FITS, id_=self.servers[self._spot(number)].node.id)

    def repeat(self, number: int) -> None:
        """A new process with the same id, at the same address."""
        node = self.servers[self._spot(number)].node
        self._again(number, FITS, id_=node.id, url=node.url)

    def upgrade(self, number: int) -> None:
        """A new process at the same address, of a version that no client asks for."""
        self._again(number, OTHER, url=self.servers[self._spot(number)].node.url)

    # Clients.

    def _client(self, name: str, kept: frozenset[str] = frozenset()) -> Client:
        client = Client(self, name, self.folder / name, kept)
        client.line.hide(self.hidden)
        return client

    def _replace(self, number: int, *, keep: bool) -> None:
        number %= len(self.clients)
        old = self.clients[number]
        kept: frozenset[str] = frozenset()
        if keep:
            old.party.thaw()
            self.loop.run_until_complete(old.close())
            kept = frozenset(old.picked)
            on_disk = {node.id for node in SnapshotCache("memory", old.folder).load(SERVICE).nodes}
            if old.line.heard and not kept <= on_disk:
                self.broken(f"{old.name} did not keep {sorted(kept - on_disk)} on its disk")
        else:
            old.party.kill()
            shutil.rmtree(old.folder, ignore_errors=True)
        self.clients[number] = self._client(old.name, kept)
        self.left.append(old)  # kept: garbage that is collected would run its ``finally``

    def again(self, number: int) -> None:
        """A client is closed, and begins again with the list that it kept."""
        self._replace(number, keep=True)

    def fresh(self, number: int) -> None:
        """A client is killed, and another begins without a list."""
        self._replace(number, keep=False)

    def freeze_client(self, number: int) -> None:
        self.clients[number % len(self.clients)].party.freeze()

    def thaw_client(self, number: int) -> None:
        self.clients[number % len(self.clients)].party.thaw()

    # The end.

    def mend(self) -> None:
        """Whatever is wrong and can be repaired is repaired."""
        self.come()
        self.show()
        for id_ in list(self.stolen):
            self.registry.withdraw(SERVICE, id_)
        self.stolen.clear()
        for server in self.servers:
            server.party.thaw()
            server.hanging = server.loaded = False
            server.line.set()
        for client in self.clients:
            client.party.thaw()
            client.apart.clear()
            client.line.set()

    def close(self) -> None:
        self.loop.before_time_passes = None
        self.registry.come_back()
        for server in self.everybody:
            self.loop.run_until_complete(server.party.clean_up())
        for client in (*self.clients, *self.left):
            self.loop.run_until_complete(client.party.clean_up())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _memory_disk() -> str | None:
    """Where files are written fast: the lists of thousands of histories are thrown away at once."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def replay(history: History) -> str:
    """Live through a history to its end: the first promise that was broken; empty if none was."""
    with World(history) as world:
        try:
            for step in history.steps:
                world.do(step)
            world.settle()
        except AssertionError as error:
            return str(error)
    return ""
