"""A small simulation of clients, balancers and servers in virtual time: for tests of balancers.

Calls come at random moments (Poisson). A server has slots and a queue. No sockets, no threads, no
retries. The same seed gives the same calls.
"""

from __future__ import annotations

import heapq
from collections import deque
from random import Random

from bee_core.interfaces import Failure, Load, Node, Success


class Server:
    """Serves ``slots`` requests at a time; each takes about ``mean`` seconds.

    Args:
        node: As clients see it.
        mean: Mean of the time that a request takes, exponential above a fixed half.
        slots: Requests at a time.
        fails: The share of requests that fail, at once.
        reports: Whether answers carry the load.
    """

    def __init__(self, node, mean, slots=8, *, fails=0.0, reports=True):
        self.node = node
        self.mean = mean
        self.slots = slots
        self.fails = fails
        self.reports = reports
        self.running = 0
        self.queue = deque()
        self.served = 0


class Fleet:
    """Runs clients against servers.

    Args:
        servers: The servers.
        balancers: One for each client.
        rate: Calls a second of all clients together.
        seed: Of the moments and times.
    """

    def __init__(self, servers, balancers, rate, seed=1):
        self.servers = {server.node.id: server for server in servers}
        self.balancers = balancers
        self.rate = rate
        self.rng = Random(seed)
        self.picks = Random(seed + 1)
        self.now = 0.0
        self.events = []
        self.order = 0
        self.ended = []  # (when it began, seconds, node id, whether it succeeded)
        for balancer in balancers:
            balancer.update([server.node for server in servers])

    def at(self, when, what, *args):
        """Let something happen later."""
        self.order += 1
        heapq.heappush(self.events, (when, self.order, what, args))

    def run(self, seconds):
        """Run for so many seconds of virtual time; what is in flight then ends too."""
        until = self.now + seconds
        self.at(self.now, self._arrive, until)
        while self.events:
            self.now, _, what, args = heapq.heappop(self.events)
            what(*args)
        return self

    def _arrive(self, until):
        if self.now >= until:
            return
        self.at(self.now + self.rng.expovariate(self.rate), self._arrive, until)
        balancer = self.balancers[self.rng.randrange(len(self.balancers))]
        node = balancer.pick(None, (), self.now, self.picks)
        server = self.servers[node.id]
        if self.rng.random() < server.fails:
            failed = Failure("unavailable", "it failed", "no", "other", "node")
            self.at(self.now + 0.0002, self._answer, balancer, server, self.now, failed)
            return
        server.queue.append((balancer, self.now))
        self._serve(server)

    def _serve(self, server):
        while server.queue and server.running < server.slots:
            balancer, began = server.queue.popleft()
            server.running += 1
            seconds = server.mean * (0.5 + 0.5 * self.rng.expovariate(1.0))
            self.at(self.now + seconds, self._served, balancer, server, began)

    def _served(self, balancer, server, began):
        server.served += 1
        load = Load(server.running + len(server.queue), 0.0) if server.reports else None
        server.running -= 1
        self._answer(balancer, server, began, Success(b"", load=load))
        self._serve(server)

    def _answer(self, balancer, server, began, outcome):
        seconds = self.now - began
        if balancer.settle is not None:
            balancer.settle(server.node, outcome, seconds, self.now)
        self.ended.append((began, seconds, server.node.id, outcome.ok))

    def percentile(self, share, after=0.0):
        """Seconds within which this share of the successful calls ended."""
        times = sorted(seconds for began, seconds, _, ok in self.ended if ok and began >= after)
        return times[min(len(times) - 1, int(share * len(times)))]

    def share_of(self, node_id, after=0.0):
        """The share of the calls that a node got."""
        got = [one == node_id for began, _, one, _ in self.ended if began >= after]
        return sum(got) / len(got)


def fleet_of(number, **weights):
    """Nodes ``n0``, ``n1`` and so on."""
    return [
        Node(f"n{index}", f"tcp://10.0.0.{index + 1}:9000", weight=weights.get(f"n{index}", 1.0))
        for index in range(number)
    ]
