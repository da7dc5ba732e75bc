"""Verbs of histories: what befalls records, the registry, and the ways to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .invariants import STEP
from .parties import FITS, SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bee_core.testing import MemoryRegistry
    from support.virtual_loop import VirtualLoop

    from .line import Line
    from .parties import Client, Server

SLOWEST = 0.9
"""Of a heartbeat: a registry whose answers take no longer counts as answering rightly."""

CROWD = 25
"""Nodes: more than a client may ask in a second."""


class Troubles:
    """A part of :class:`model.world.World`, which has these attributes."""

    heartbeat: float
    loop: VirtualLoop
    registry: MemoryRegistry
    registry_ok: bool
    slowness: float
    back: float
    hidden: frozenset[str] | None
    stolen: set[str]
    others: set[str]
    servers: list[Server]
    clients: list[Client]
    _names: Iterator[int]

    def _spot(self, number: int) -> int:
        return number % len(self.servers)

    # Records.

    def overwrite(self, number: int) -> None:
        """Somebody writes another address into a server's record."""
        self._overwrite(number, living=False)

    def steal(self, number: int) -> None:
        """Another living server takes a server's id."""
        self._overwrite(number, living=True)

    def _overwrite(self, number: int, *, living: bool) -> None:
        node = self.servers[self._spot(number)].node
        if any(listed.id == node.id for listed in self.registry.nodes(SERVICE)):
            url = f"tcp://10.9.9.{next(self._names)}:9000"
            self.registry.overwrite(SERVICE, node.id, living=living, url=url)
            if living:
                self.stolen.add(node.id)

    def erase(self, number: int) -> None:
        """Somebody removes a server's record; its lease lives."""
        self.registry.erase(SERVICE, self.servers[self._spot(number)].node.id)

    def withdraw(self, number: int) -> None:
        """The registry drops a server's lease, and its record with it."""
        node = self.servers[self._spot(number)].node
        self.registry.withdraw(SERVICE, node.id)
        self.stolen.discard(node.id)

    def crowd(self) -> None:
        """Many nodes beside the servers, once. They serve, and somebody else wrote their records."""
        if not self.others:
            self.others.update(f"tcp://10.1.0.{number}:9000" for number in range(CROWD))
        for url in self.others:
            self.registry.publish(SERVICE, url, version=FITS)

    # The registry.

    def wipe(self) -> None:
        """It loses everything, and goes on."""
        self.registry.wipe()
        self.stolen.clear()

    def renew(self) -> None:
        """It restarts with its data: all watches break."""
        if self.registry_ok:
            self.down()
            self.loop.run_for(2 * STEP)
            self.come()

    def down(self) -> None:
        self._ill(0.0)
        self.registry.go_out_of_reach()

    def silence(self) -> None:
        """It takes requests, and answers none until it comes back; then all of them."""
        self._ill(0.0)
        self.registry.go_silent()

    def garble(self) -> None:
        self._ill(0.0)
        self.registry.garble()

    def slow(self, heartbeats: float) -> None:
        """Each answer takes so long."""
        self._ill(heartbeats * self.heartbeat)
        self.registry.slow(self.slowness)
        self.registry_ok = heartbeats <= SLOWEST

    def _ill(self, slowness: float) -> None:
        self.come()
        self.registry_ok, self.slowness = False, slowness

    def come(self) -> None:
        """It answers again, at once and rightly."""
        self.registry.come_back()
        self.registry_ok, self.slowness = True, 0.0
        self.back = self.loop.time()

    def blank(self) -> None:
        """It lists no node to any client, although it has them."""
        self._hide(None)

    def hide(self, number: int) -> None:
        """It leaves a server out of its lists, although it has it."""
        if self.hidden is not None:
            self._hide(self.hidden | {self.servers[self._spot(number)].node.id})

    def show(self) -> None:
        """It lists what it has."""
        self._hide(frozenset())

    def _hide(self, nodes: frozenset[str] | None) -> None:
        self.hidden = nodes
        for client in self.clients:
            client.line.hide(nodes)

    # Lines to the registry, and from clients to servers.

    def cut_server(self, number: int) -> None:
        self.servers[self._spot(number)].line.set("refused")

    def lose_server(self, number: int) -> None:
        self.servers[self._spot(number)].line.set("lost")

    def garble_server(self, number: int) -> None:
        self.servers[self._spot(number)].line.set("garbled")

    def deny_server(self, number: int) -> None:
        """The registry answers a server, and refuses."""
        self.servers[self._spot(number)].line.set("denied")

    def mend_server(self, number: int) -> None:
        self.servers[self._spot(number)].line.set()

    def cut_client(self, number: int) -> None:
        self._line(number).set("refused")

    def lose_client(self, number: int) -> None:
        self._line(number).set("lost")

    def garble_client(self, number: int) -> None:
        self._line(number).set("garbled")

    def slow_client(self, number: int, heartbeats: float) -> None:
        self._line(number).set("", heartbeats * self.heartbeat)

    def deny_client(self, number: int) -> None:
        self._line(number).set("denied")

    def mend_client(self, number: int) -> None:
        self._line(number).set()

    def _line(self, number: int) -> Line:
        return self.clients[number % len(self.clients)].line

    def part(self, client: int, server: int) -> None:
        """A client cannot reach a server."""
        url = self.servers[self._spot(server)].node.url
        self.clients[client % len(self.clients)].apart.add(url)

    def join(self, client: int) -> None:
        """A client reaches every server."""
        self.clients[client % len(self.clients)].apart.clear()
