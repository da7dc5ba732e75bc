"""The histories of ``tests/model`` with real processes: their verbs, on a real registry.

Servers and clients reach it through relays of their own. The first server is left alone. So a call
of a client that knows nodes never fails, whatever befalls the others.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from typing import TYPE_CHECKING

import bee_core
from cluster.load import Load
from cluster.servers import ClusterServer, client_config, listed, urls, when
from registry_faults.conftest import SAFE, World
from support.consul_parts import ask
from support.etcd_servers import etcdctl
from support.patience import scaled
from support.ports import fixed_port
from support.tcp_relay import TcpRelay
from support.zookeeper_rig import plain_client

if TYPE_CHECKING:
    from model.language import Step

HEARTBEAT = 1.0
SETTLED = scaled(25.0)
"""Seconds until everything is right again.

The longest of them: Consul elects itself, and a server waits for a lease of 3 s.
"""
FITS, OTHER = "1.0.0", "2.0.0"


class Relays:
    """Relays to one registry, on a loop of their own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._made: list[TcpRelay] = []

    def make(self) -> TcpRelay:
        relay = self._do(TcpRelay(self._port).__aenter__())
        self._made.append(relay)
        return relay

    def tell(self, relay: TcpRelay, *names: str) -> None:
        async def call() -> None:
            for name in names:
                getattr(relay, name)()

        self._do(call())

    def close(self) -> None:
        for relay in self._made:
            self._do(relay.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


class Place:
    """Where a server is: its process, its address, its way to the registry."""

    def __init__(self, relay: TcpRelay) -> None:
        self.relay = relay
        self.address = f"127.0.0.1:{fixed_port()}"
        self.version = FITS
        self.server: ClusterServer | None = None
        self.frozen = False


class Caller:
    """A client under load, with a folder for its lists, and its way to the registry."""

    def __init__(self, relay: TcpRelay, folder) -> None:
        self.relay = relay
        self.folder = folder
        self.client = None
        self.load: Load | None = None
        self.calls = 0
        self.failed: list[str] = []


class HistoryWorld(World):
    """See above. Verbs that make no sense now do nothing, as in the model."""

    def __init__(self, name, folder, *, servers=3, clients=2) -> None:
        super().__init__(name, folder)
        self.registry.start()
        self.up, self.silent = True, False
        self.section["heartbeat_interval"] = HEARTBEAT
        self._relays = Relays(self.registry.port)
        self.places = [Place(self._relays.make()) for _ in range(servers)]
        self.callers = [
            Caller(self._relays.make(), folder / f"lists-{number}") for number in range(clients)
        ]
        for place in self.places:
            self._begin(place)
        self._settled()
        for caller in self.callers:
            self._connect(caller)

    def do(self, step: Step) -> None:
        getattr(self, step.verb)(*step.numbers)

    # Servers.

    def _begin(self, place: Place) -> None:
        section = {**self.section, "address": place.relay.address}
        place.server = ClusterServer(
            section, wait=False, address=place.address, version=place.version, drain_timeout=2
        )

    def _place(self, number: int) -> Place:
        """The first is left alone."""
        return self.places[1 + number % (len(self.places) - 1)]

    def _end(self, place: Place) -> None:
        if place.server is not None:
            place.server.kill()
            place.server, place.frozen = None, False

    def kill(self, number: int) -> None:
        self._end(self._place(number))

    def freeze(self, number: int) -> None:
        place = self._place(number)
        if place.server is not None and not place.frozen:
            place.server.freeze()
            place.frozen = True

    def thaw(self, number: int) -> None:
        self._thaw(self._place(number))

    def _thaw(self, place: Place) -> None:
        if place.server is not None and place.frozen:
            place.server.thaw()
            place.frozen = False

    def drain(self, number: int) -> None:
        place = self._place(number)
        if place.server is not None and not place.frozen:
            assert place.server.terminate() == 0
            self._end(place)

    def restart(self, number: int) -> None:
        self._restart(self._place(number), FITS)

    def upgrade(self, number: int) -> None:
        self._restart(self._place(number), OTHER)

    def _restart(self, place: Place, version: str) -> None:
        self._end(place)
        place.version = version
        self._begin(place)

    def lose_server(self, number: int) -> None:
        self._relays.tell(self._place(number).relay, "hold", "lose")

    def mend_server(self, number: int) -> None:
        self._relays.tell(self._place(number).relay, "release", "cut")

    def cut_server(self, number: int) -> None:
        """What is connected is reset, and can connect again."""
        self._relays.tell(self._place(number).relay, "cut")

    # The registry.

    def erase(self, number: int) -> None:
        """Somebody removes all records; the leases live, where the registry tells them apart."""
        if not self.up or self.silent:
            return
        if self.name == "etcd3":
            etcdctl(self.registry, "del", "--prefix", "/bee/rpc/calc/")
        elif self.name == "consul":
            for service in ask(self.registry, "/v1/agent/services"):
                ask(self.registry, f"/v1/agent/service/deregister/{service}", method="PUT")
        else:
            with plain_client(self.registry.address) as client:
                for name in client.get_children("/bee/rpc/calc/providers"):
                    client.delete(f"/bee/rpc/calc/providers/{name}")

    def wipe(self) -> None:
        self.come()
        self.registry.restart(wipe=True)

    def renew(self) -> None:
        self.come()
        self.registry.restart()

    def down(self) -> None:
        self.come()
        self.registry.kill()
        self.up = False

    def silence(self) -> None:
        self.come()
        self.registry.freeze()
        self.silent = True

    def come(self) -> None:
        if self.silent:
            self.registry.thaw()
            self.silent = False
        if not self.up:
            self.registry.restart()
            self.up = True

    # Clients.

    def _caller(self, number: int) -> Caller:
        return self.callers[number % len(self.callers)]

    def _connect(self, caller: Caller) -> None:
        section = {**self.section, "address": caller.relay.address}
        before = os.environ["BEE_CACHE_DIR"]
        os.environ["BEE_CACHE_DIR"] = str(caller.folder)
        try:
            caller.client = bee_core.build_client(
                client_config(section, **SAFE, version=">=1.0, <2")
            )
            caller.client.service("calc").echo("first")
        finally:
            os.environ["BEE_CACHE_DIR"] = before
        # Few: without a registry each call to a frozen server takes its read_timeout.
        caller.load = Load(caller.client, threads=1, pace=0.01, first=5)
        caller.load.__enter__()

    def _leave(self, caller: Caller) -> None:
        if caller.load is not None:
            caller.load.__exit__()
            caller.calls += len(caller.load.calls)
            caller.failed += caller.load.failed
        if caller.client is not None:
            caller.client.close()
        caller.load = caller.client = None

    def again(self, number: int) -> None:
        """It is closed, and begins again with the list that it kept."""
        caller = self._caller(number)
        self._leave(caller)
        self._connect(caller)

    def fresh(self, number: int) -> None:
        """It is closed, and begins without a list; for that the registry must be there."""
        caller = self._caller(number)
        if self.up and not self.silent:
            self.mend_client(number)
            self._leave(caller)
            shutil.rmtree(caller.folder, ignore_errors=True)
            self._connect(caller)

    def lose_client(self, number: int) -> None:
        self._relays.tell(self._caller(number).relay, "hold", "lose")

    def mend_client(self, number: int) -> None:
        self._relays.tell(self._caller(number).relay, "release", "cut")

    def cut_client(self, number: int) -> None:
        self._relays.tell(self._caller(number).relay, "cut")

    # The end.

    def wait(self, heartbeats: float) -> None:
        """Time passes; that is the step."""
        time.sleep(heartbeats * HEARTBEAT)

    def settle(self) -> float:
        """Everything is mended, and comes right.

        Returns:
            The seconds that it took.
        """
        self.come()
        for place in self.places:
            self._thaw(place)
            self._relays.tell(place.relay, "release", "cut")
            if place.server is None or place.version != FITS:
                self._restart(place, FITS)
        for caller in self.callers:
            self._relays.tell(caller.relay, "release", "cut")
        began = time.monotonic()
        self._settled()
        return time.monotonic() - began

    def _settled(self) -> None:
        wanted = urls(place.server for place in self.places)
        when(lambda: self.listed() == wanted, "the registry's list is not right", SETTLED)
        for caller in self.callers:
            if caller.client is not None:
                when(
                    lambda caller=caller: listed(caller.client) == wanted,
                    "the list of a client is not right",
                    SETTLED,
                )

    def ledger(self) -> tuple[int, list[str]]:
        """How many calls have ended since the last time, and what became of those that failed."""
        calls, failed = 0, []
        for caller in self.callers:
            made = caller.load.calls if caller.load is not None else []
            calls += caller.calls + len(made)
            failed += caller.failed + [f"{c.error!r}" for c in made if c.error is not None]
            caller.calls, caller.failed = 0, []
            made.clear()
        return calls, failed

    def close(self) -> None:
        for caller in self.callers:
            self._relays.tell(caller.relay, "release", "cut")
        for place in self.places:
            self._end(place)
        for caller in self.callers:
            self._leave(caller)
        super().close()
        self._relays.close()
