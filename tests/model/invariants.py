"""What must hold at every moment of a history.

The watchdog looks before time passes. Nothing happens between two looks, so what it sees holds for
all of the time until the next. Each promise has a clock that starts when the last excuse ends:
"a node that lives, fits and is reachable is listed within …" has no meaning while the registry is
silent, say. A clock that runs longer than its bound is a broken promise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee_core.control.registry_states import grace

from . import bounds
from .parties import FITS, SERVICE

if TYPE_CHECKING:
    from bee_core.terms.node import Node

    from .parties import Client, Server
    from .world import World

SLACK = 0.1
"""Seconds, of trips and of steps between events."""
STEP = 0.02
"""Seconds. What is so close together is looked at once, at its end."""
WINDOW = 10.0
"""Seconds over which requests of a server are counted."""


class Watchdog:
    """Looks at a world.

    Attributes:
        began: When the world did.
        looks: How often it has looked.
        longest: Seconds after which every promise must hold, once nothing is wrong any more.
    """

    def __init__(self, world: World) -> None:
        heartbeat = self._heartbeat = world.heartbeat
        self._world = world
        self.began = world.loop.time()
        self.looks = 0
        self._looked = self._before = self.began
        self._clocks: dict[tuple[object, ...], float] = {}
        # Since when, and how many seconds it took at most to ask everybody in doubt once.
        self._dead: dict[Client, dict[str, tuple[float, float]]] = {}
        self._picked: dict[Client, dict[str, Node]] = {}
        self._found = bounds.right(heartbeat) + bounds.heard(heartbeat) + SLACK
        self._right = bounds.right(heartbeat) + SLACK
        self._let_go = bounds.not_serving(heartbeat) + SLACK
        self._let_go_taken = bounds.doubt(heartbeat) + 2 * heartbeat + SLACK
        self.longest = bounds.lease(heartbeat) + max(self._let_go, self._let_go_taken) + self._found

    def look(self, then: float) -> None:
        """Nothing will happen until then. Steps that follow each other closely are one."""
        if then - self._looked < STEP:
            return
        self._looked = then
        self.looks += 1
        listed = self._world.registry.nodes(SERVICE)
        for server in self._world.servers:
            self._look_at_record(server, then, excused=server.node in listed)
            self._look_at_requests(server)
        for client in self._world.clients:
            self._look_at_client(client, then)
        self._before = self._world.loop.time()

    def wake(self) -> None:
        """Something was done to the world: look at it, however little time passes."""
        self._looked = -1.0

    def _clock(self, then: float, bound: float, excused: bool, *key: object) -> float | None:
        """How long a promise has been open; None where it is within its bound."""
        if excused:
            self._clocks[key] = then
            return None
        waited = then - self._clocks.setdefault(key, self._world.loop.time())
        if waited <= bound:
            return None
        self._clocks[key] = then
        return waited

    # Servers.

    def _look_at_record(self, server: Server, then: float, *, excused: bool) -> None:
        excused = excused or not self._can_register(server)
        bound = self._right + 2 * self._world.slowness
        waited = self._clock(then, bound, excused, "record", server)
        if waited is not None:
            self._world.broken(
                f"the record of {server.node.id} has been wrong for {waited:.2f} s, "
                f"{bound:g} s are promised"
            )

    def _can_register(self, server: Server) -> bool:
        world = self._world
        return (
            server.serves
            and world.registry_ok
            and server.line.ok
            and server.node.id not in world.stolen
            and not self._held_by_another(server)
        )

    def _held_by_another(self, server: Server) -> bool:
        """Whether a process with its id, which has ended, may still have a lease."""
        world = self._world
        until = self._world.loop.time() - bounds.lease(self._heartbeat)
        return any(
            other.node.id == server.node.id
            and other is not server
            and max(other.gone_at or other.since, world.back) > until
            for other in world.past
        )

    def _look_at_requests(self, server: Server) -> None:
        now = self._world.loop.time()
        requests = server.line.requests
        if not requests or requests[-1] < self._before:
            return
        lately = sum(1 for at in requests if at > now - WINDOW)
        allowed = (bounds.REQUESTS_PER_SECOND + 1 / self._heartbeat) * WINDOW + 2
        if lately > allowed:
            requests.clear()
            self._world.broken(
                f"{server.node.id} sent {lately} requests in {WINDOW:g} s, {allowed:g} are allowed"
            )

    # Clients.

    def _look_at_client(self, client: Client, then: float) -> None:
        runs = client.party.state == "runs"
        hears = runs and self._world.registry_ok and client.line.ok
        picked = {id_: node.url for id_, node in client.picked.items()}
        if runs:
            self._look_at_pings(client)
            self._look_at_losses(client, client.picked)
        for server in self._world.servers:
            self._look_at_missing(client, server, picked, then, hears=hears)
        self._look_at_dead(client, picked, then, hears=hears)
        self._look_at_addresses(client, picked, then, excused=not runs)
        self._look_at_hearing(client, then, excused=not hears)
        self._look_at_reports(client, picked, then, excused=not runs)

    def _look_at_missing(
        self, client: Client, server: Server, picked: dict[str, str], then: float, *, hears: bool
    ) -> None:
        """A node that lives, fits and is reachable is not missing for long."""
        node = server.node
        excused = (
            picked.get(node.id) == node.url
            or not hears
            or node.version != FITS
            or node.url in client.apart
            or not self._can_register(server)
        )
        bound = self._found + 2 * self._world.slowness
        waited = self._clock(then, bound, excused, "missing", client, server)
        if waited is not None:
            self._world.broken(
                f"{node.id} has been missing at {client.name} for {waited:.2f} s, "
                f"{bound:g} s are promised"
            )

    def _look_at_dead(
        self, client: Client, picked: dict[str, str], then: float, *, hears: bool
    ) -> None:
        """A node that is dead, or has left, is not picked for long once the registry says so."""
        living = {(s.node.id, s.node.url) for s in self._world.servers if s.serves}
        if not client.line.heard:
            return  # it goes on with its disk's list: the registry has said nothing yet
        said = client.line.heard[-1].nodes
        crowd = len(picked.keys() - said.keys()) / bounds.PINGS_PER_SECOND
        before, self._dead[client] = self._dead.get(client, {}), {}
        for id_, url in picked.items():
            listed = id_ in said and said[id_].url == url
            if listed or not hears or (id_, url) in living or url in self._world.others:
                continue
            other = self._world.at(url)
            taken = other is not None and other.node.id != id_
            if taken and self._world.slowness:
                continue  # answers that come so late count as silence, which stops the clock
            since, most = before.get(id_, (self._world.loop.time(), 0.0))
            most = max(most, crowd)
            self._dead[client][id_] = since, most
            # Where many are in doubt, each of its three pings has to wait for its turn.
            bound = (self._let_go_taken if taken else self._let_go) + 3 * most
            if then - since > bound:
                self._dead[client][id_] = then, 0.0
                self._world.broken(
                    f"{id_} is dead, not listed, and still picked by {client.name} after "
                    f"{then - since:.2f} s, {bound:g} s are promised"
                )

    def _look_at_addresses(
        self, client: Client, picked: dict[str, str], then: float, *, excused: bool
    ) -> None:
        """A node is not picked whose address a newer record has, by the registry's last word."""
        heard = client.line.heard
        newest = {node.url: id_ for id_, node in heard[-1].nodes.items()} if heard else {}
        older = [id_ for id_, url in picked.items() if newest.get(url, id_) != id_]
        key = ("addresses", client)
        if self._clock(then, SLACK, excused or not older, *key) is not None:
            self._world.broken(f"{client.name} picks {older}, whose addresses newer records have")

    def _look_at_hearing(self, client: Client, then: float, *, excused: bool) -> None:
        """While the registry answers, the client hears it."""
        bound = bounds.heard(self._heartbeat) + client.line.confirms_every + SLACK
        bound += 2 * self._world.slowness
        heard = client.line.heard[-1].at if client.line.heard else 0.0
        key = ("hears", client)
        if heard > self._clocks.get(key, 0.0):
            self._clocks[key] = heard
        waited = self._clock(then, bound, excused, *key)
        if waited is not None:
            self._world.broken(
                f"{client.name} has not heard the registry for {waited:.2f} s although it "
                f"answers, {bound:g} s are promised"
            )

    def _look_at_reports(
        self, client: Client, picked: dict[str, str], then: float, *, excused: bool
    ) -> None:
        """A client says that the registry is silent, and which nodes are in doubt."""
        heard, first = client.line.heard, client.first
        if not heard:
            # It goes on with what is on its disk.
            lacks = first is not None and bool(client.kept - set(picked))
            if self._clock(then, SLACK, excused or not lacks, "kept", client) is not None:
                self._world.broken(f"{client.name} does not use the list that it has on disk")
            return
        every = client.line.confirms_every
        late = every + grace(every) + SLACK
        silent = then - heard[-1].at > late and client.discovery.outlook().silent is None
        if self._clock(then, SLACK, excused or not silent, "silent", client) is not None:
            self._world.broken(f"{client.name} does not say that the registry is silent")
        doubtful = set(picked) - set(heard[-1].nodes)
        if doubtful:
            doubtful -= {doubt.node_id for doubt in client.discovery.outlook().doubts}
        if self._clock(then, SLACK, excused or not doubtful, "doubts", client) is not None:
            self._world.broken(f"{client.name} does not say that it doubts {sorted(doubtful)}")

    def _look_at_pings(self, client: Client) -> None:
        now = self._world.loop.time()
        if not client.pings or client.pings[-1] < self._before:
            return
        lately = sum(1 for at in client.pings if at > now - 0.999)
        if lately > bounds.PINGS_PER_SECOND:
            client.pings.clear()
            self._world.broken(f"{client.name} sent {lately} pings in a second")

    def _look_at_losses(self, client: Client, picked: dict[str, Node]) -> None:
        """A node is let go only on evidence, or when its time is over."""
        before = self._picked.get(client, {})
        self._picked[client] = dict(picked)
        for id_, node in before.items():
            if id_ not in picked and not self._may_go(client, node):
                server = next((s for s in self._world.servers if s.node == node), None)
                serves = server is not None and server.serves
                self._world.broken(
                    f"{client.name} let {id_} go without evidence"
                    + (", and it serves" if serves else "")
                )

    def _may_go(self, client: Client, node: Node) -> bool:
        for heard in reversed(client.line.heard):
            said = heard.nodes.get(node.id, node)
            if said != node:
                return True  # the registry says something else of it
            if any(one.url == node.url and one.id != node.id for one in heard.nodes.values()):
                return True  # somebody else is said to be at its address
            if heard.at < self._before:
                break  # what it heard since the last look counts
        answers = list(client.answers.get(node.id, ()))
        if answers and (answers[-1] in {"refused", "draining"} or answers[-3:] == ["failed"] * 3):
            return True
        return self._answered_without(client, node.id) >= bounds.doubt(self._heartbeat) - SLACK

    def _answered_without(self, client: Client, id_: str) -> float:
        """For how long the registry has answered this client and not listed a node."""
        total, later = 0.0, None
        for heard in reversed(client.line.heard):
            if id_ in heard.nodes:
                break
            if later is not None and not later.begins:
                total += later.at - heard.at
            later = heard
        return total
