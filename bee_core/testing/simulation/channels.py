"""The way from one simulated client to one node: what a transport's channel is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...terms.causes import (
    cancelled,
    connect_timed_out,
    passed_over,
    read_timed_out,
    refused,
)
from .exchange import OVER, Exchange
from .nodes import DOWN, DRAINING, UNREACHABLE, UP
from .remembering import may_ask, note_where
from .world import ATTEMPT

if TYPE_CHECKING:
    from ...calls.call import Call
    from ...terms.request import Sent
    from .counts import Counts
    from .exchange import Owner
    from .nodes import SimulatedNode
    from .world import World

_REFUSED = ConnectionRefusedError()


class SimulatedChannel:
    """Carries attempts to a node.

    It remembers whether a connection is open: a network that goes away shows on an open connection
    as silence, and on a new one as a time-out of connecting.

    Args:
        world: The clock.
        node: The node.
        counts: Counts attempts.
        network: Seconds, there and back.
        wants_load: The balancer wants to know how busy the servers are.
        client: The number of the client.
    """

    __slots__ = ("_client", "_counts", "_process", "_world", "network", "node", "wants_load")

    def __init__(
        self,
        world: World,
        node: SimulatedNode,
        counts: Counts,
        network: float,
        *,
        wants_load: bool,
        client: int = 0,
    ) -> None:
        self.node = node
        self.network = network
        self.wants_load = wants_load
        self._world = world
        self._counts = counts
        self._client = client
        self._process = 0  # the process that it is connected to; 0: to none

    def send(self, call: Call, owner: Owner) -> Exchange:
        """Send a call to the node. The owner hears of the outcome later, never in here."""
        # The first request goes out before it is known that the server remembers its answers.
        memory = self.node.memory if self._process == self.node.process else None
        return self._send(call, owner, note_where(call, memory, self._world.now))

    def repeat(self, call: Call, owner: Owner) -> Exchange:
        """Send a write once more, to the process that may have run it, and to no other."""
        return self._send(call, owner, call.where_sent)

    def _send(self, call: Call, owner: Owner, sent: Sent | None) -> Exchange:
        world, node = self._world, self.node
        now = world.now
        self._counts.attempt(now, node.bad)
        node.attempts += 1
        world.note(ATTEMPT, node.number)
        until = now + call.read_timeout
        full = until <= call.deadline
        exchange = Exchange(call, owner, self, until if full else call.deadline, full)
        exchange.sent = sent
        if node.mode == UP:
            if self._process != node.process:
                self._process = node.process
                node.connections.opened(self._client, node.number)
            refusal = None
            if sent is not None and sent.repeated:
                refusal = may_ask(sent, node.memory)
            if refusal is None:
                node.accept(exchange)
            else:
                exchange.answer(world, self.network, refusal)
        else:
            self._meet_trouble(exchange)
        return exchange

    def _meet_trouble(self, exchange: Exchange) -> None:
        world, mode, call = self._world, self.node.mode, exchange.call
        if mode == DOWN:
            self.close()
            exchange.answer(world, self.network, refused(_REFUSED))
        elif mode == DRAINING:
            self.close()
            exchange.answer(world, self.network, passed_over("the server is leaving"))
        elif mode == UNREACHABLE and self._process != self.node.process:
            allowed, left = call.may_connect(world.now), call.deadline - world.now
            full, delay = allowed <= left, min(allowed, left)
            late = connect_timed_out(
                allowed, full=full, waited=delay, configured=call.connect_timeout
            )
            exchange.answer(world, delay, late)
        else:
            self.node.watch(exchange)

    def out_of_patience(self, exchange: Exchange) -> None:
        """The caller has waited for an answer as long as it may."""
        if exchange.state == OVER:
            return
        if self.node.mode == UNREACHABLE:
            self.close()
        self.node.give_up(exchange)
        exchange.state = OVER
        failure = read_timed_out(exchange.call.read_timeout, full=exchange.full)
        exchange.owner.answered(exchange, failure)

    def close(self) -> None:
        """Let the connection go. Attempts that are under way go on."""
        self._process = 0
        self.node.connections.closed(self._client, self.node.number)

    def cancel(self, exchange: Exchange) -> None:
        """Give an attempt up, as on the wire: its owner hears no more of it."""
        if exchange.state != OVER:
            self.node.give_up(exchange)
            exchange.state = OVER
            exchange.outcome = cancelled("another attempt was quicker", sent=True)
