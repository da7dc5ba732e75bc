"""A simulated server process: its limiter, its workers with their queue, and how it is broken.

It decides in the order of ``server/endpoint.py`` and ``server/accepted_call.py``:
``max_in_flight``, the limiter, a place among the workers, the handler.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from ...terms.causes import cancelled, reported
from ...terms.criticality import part_of
from ...terms.failures import Failure, Load, Success
from ...terms.metadata import NOTHING
from .exchange import ANSWERED, FATES, OVER, QUEUED, RUNNING, WAITING

if TYPE_CHECKING:
    from ...terms.node import Node
    from .exchange import Exchange
    from .site import Site

UP, DOWN, UNREACHABLE, HANGING, DRAINING = range(5)
"""Modes of a node: serving; no process; no network; a process that is stopped; one that leaves."""

_SUCCESS = Success(b"")  # nobody changes one, so all answers without a load are this one
_NOT_RUN = cancelled("its caller gave it up before it began", sent=False)


class SimulatedNode:
    """One server process, or the place where one was.

    Attributes:
        node: As registries list it.
        number: Its number in the log of events.
        mode: See above.
        bad: Whether calls had better go elsewhere; for the figures.
        factor: How much longer its handlers take.
        failure, failure_rate: What a share of its calls ends in; see ``scenario.py``.
        warm_times, warm_up: How slow the process is at first, and for how many seconds.
        listed: Whether the registry has it.
        memory: Of its answers, or None.
        process: How many processes there have been. A connection ends with its process.
        attempts: How many came here.
        connections: See the site.
    """

    def __init__(self, site: Site, node: Node, number: int) -> None:
        self.node = node
        self.number = number
        self.mode = UP
        self.bad = False
        self.factor = 1.0
        self.failure = ""
        self.failure_rate = 0.0
        self.warm_times, self.warm_up = 1.0, 0.0
        self.listed = True
        self._site = site
        self._world = site.world
        self._workers = site.workers
        self.connections = site.connections
        self.process = 0
        self.attempts = 0
        self._born = -1e9
        self._begin()

    def _begin(self) -> None:
        """A new process: nothing is under way in it."""
        self.process += 1
        make_cache = self._site.make_cache
        self._cache = None if make_cache is None else make_cache()
        self._limiter_of = self._site.make_limiters()
        self.memory = self._site.remember()
        self._open: dict[Exchange, None] = {}
        self._queue: OrderedDict[Exchange, None] = OrderedDict()
        self._busy = 0

    @property
    def in_flight(self) -> int:
        """Calls that it has accepted and not ended."""
        return len(self._open)

    # What happens to the process.

    def start(self) -> None:
        """A new process serves."""
        self._begin()
        self._born = self._world.now
        self.mode = UP

    def die(self) -> None:
        """The process is gone, and so are its connections."""
        broken = tuple(self._open)
        self.connections.died(self.number)
        self._begin()
        self.mode = DOWN
        for exchange in broken:
            if exchange.state != ANSWERED:
                exchange.answer(self._world, 0.0, FATES["reset"]())

    def fall_silent(self, mode: int) -> None:
        """Nothing arrives or leaves any more: callers wait until their patience ends."""
        self.mode = mode
        for exchange in self._open:
            self.watch(exchange)

    def watch(self, exchange: Exchange) -> None:
        """Plan the end of the caller's patience, once."""
        if not exchange.timed:
            exchange.timed = True
            self._world.at(exchange.until, exchange.channel.out_of_patience, exchange)

    # The way of a request.

    def accept(self, exchange: Exchange) -> None:
        """A request has come to a process that serves."""
        site, count = self._site, len(self._open)
        if count >= site.nearly_full and count >= part_of(
            site.max_in_flight, exchange.call.criticality
        ):
            full = f"max_in_flight is {site.max_in_flight}"
            self._refuse(exchange, reported("overloaded", full))
            return
        if self.failure and self._site.rng.random() < self.failure_rate:
            if self.failure in {"unavailable", "overloaded"}:
                self._refuse(exchange, reported(self.failure, "the scenario says so"))
                return
            exchange.fate = self.failure
        if self.memory is not None and self.memory.knows(exchange):
            return
        self._open[exchange] = None
        limiter_of = self._limiter_of
        limiter = None if limiter_of is None else limiter_of(exchange.call.method)
        if limiter is None:
            self._work(exchange)
            return
        exchange.limiter = limiter
        try:
            admitted: Any = limiter.admit(exchange.call, self._world.now)
            if admitted is not True and not isinstance(admitted, Failure):
                self._wait(exchange, admitted)
                return
        except Exception as error:  # as a server does: it costs this call, and no other one
            exchange.ticket = None
            self._end(exchange, self._site.broken(limiter, "admit", error))
            return
        if admitted is True:
            exchange.permitted = self._world.now
            self._work(exchange)
        else:
            wish = admitted.retry_after
            self._end(exchange, reported(admitted.kind, admitted.message, retry_after=wish))

    def _refuse(self, exchange: Exchange, failure: Failure) -> None:
        if exchange.channel.wants_load:
            failure.load = self._load()
        exchange.answer(self._world, exchange.channel.network, failure)

    def _load(self) -> Load:
        return Load(len(self._open), 0.0)

    def _wait(self, exchange: Exchange, ticket: Any) -> None:
        """Wait for the permit of the server's limiter."""
        world = self._world
        exchange.state, exchange.ticket = WAITING, ticket
        self.watch(exchange)
        if ticket.timeout is not None:
            world.at(world.now + ticket.timeout, self._waited_enough, exchange)
        # Not at once: it may be called in the middle of another call's release.
        ticket.on_admitted(lambda: world.at(world.now, self._permitted, exchange))

    def _permitted(self, exchange: Exchange) -> None:
        if exchange.state == WAITING:
            ticket, exchange.ticket = exchange.ticket, None
            refusal: Failure | None = getattr(ticket, "refusal", None)
            if refusal is not None:  # it was turned away after it had waited
                wish = refusal.retry_after
                self._end(exchange, reported(refusal.kind, refusal.message, retry_after=wish))
                return
            exchange.permitted = self._world.now
            self._work(exchange)
        elif self._open.pop(exchange, self) is None:
            self._give_back(exchange, None, 0.0)  # its caller is gone, and could not say so

    def _waited_enough(self, exchange: Exchange) -> None:
        if exchange.state == WAITING and exchange in self._open and self._leave(exchange):
            exchange.ticket = None
            late = "the limiter's queue_timeout was over"
            self._end(exchange, reported("overloaded", late))

    def _work(self, exchange: Exchange) -> None:
        """Take a worker, or wait for one."""
        if self._busy < self._workers:
            self._busy += 1
            self._run(exchange)
        else:
            exchange.state = QUEUED
            self._queue[exchange] = None
            self.watch(exchange)

    def _run(self, exchange: Exchange) -> None:
        if exchange.state != OVER:  # else its caller is gone, and could not say so
            exchange.state = RUNNING
        ledger = exchange.owner.ledger
        if ledger.began(self.number):
            self._site.ran_again += 1
            self._site.ran_twice += not ledger.idempotent
        if exchange.fate == "hang":
            self.watch(exchange)
            return
        world = self._world
        now = world.now
        site = self._site
        durations = site.durations
        if site.of_method:
            durations = site.of_method.get(exchange.call.method, durations)
        seconds = durations.draw() * self.factor
        if self._cache is not None:
            seconds *= self._cache.part(ledger.key)
        if self.warm_up and now < self._born + self.warm_up:
            left = 1 - (now - self._born) / self.warm_up
            seconds *= 1 + (self.warm_times - 1) * left
        end = now + seconds
        if end + exchange.channel.network > exchange.until:
            self.watch(exchange)
        world.at(end, self._finished, exchange)

    def _finished(self, exchange: Exchange) -> None:
        """A handler has ended. One that was cancelled, or died with its process, has not."""
        if exchange.state != RUNNING or exchange not in self._open:
            if exchange.state == OVER and self._open.pop(exchange, self) is None:
                self._free(exchange, None)  # its caller gave up, and it went on all the same
            return
        if self.mode == UNREACHABLE or self.mode == HANGING:  # noqa: PLR1714  # a hot path
            del self._open[exchange]
            self._remember(exchange, _SUCCESS)
            self._free(exchange, None)
            return
        if exchange.fate is not None:
            self._end(exchange, FATES[exchange.fate]())
        elif exchange.channel.wants_load:
            self._end(exchange, Success(b"", NOTHING, None, self._load()))
        else:
            self._end(exchange, _SUCCESS)

    def _end(self, exchange: Exchange, outcome: Any) -> None:
        """Send the answer, and give everything back."""
        ran = exchange.state == RUNNING
        if exchange.channel.wants_load and not outcome.ok:
            outcome.load = self._load()
        self._remember(exchange, _SUCCESS if exchange.fate == "reset" else outcome)
        del self._open[exchange]
        exchange.answer(self._world, exchange.channel.network, outcome)
        if ran:
            self._free(exchange, outcome)

    def _remember(self, exchange: Exchange, outcome: Any) -> None:
        if exchange.entry is not None and self.memory is not None:
            self.memory.ended(exchange, outcome)

    def _free(self, exchange: Exchange, outcome: Any) -> None:
        """A worker and a permit are free: the next one begins."""
        self._release(exchange, outcome)
        queue = self._queue
        while queue:
            following = queue.popitem(last=False)[0]
            if following.state != OVER or self._world.now < following.call.deadline:
                self._run(following)
                return
            del self._open[following]
            self._release(following, None)
        self._busy -= 1

    def _release(self, exchange: Exchange, outcome: Any) -> None:
        if exchange.permitted is not None:
            self._give_back(exchange, outcome, self._world.now - exchange.permitted)
            exchange.permitted = None

    def _give_back(self, exchange: Exchange, outcome: Any, seconds: float) -> None:
        """Give a permit back; once more without a verdict where that raises."""
        limiter = exchange.limiter
        try:
            limiter.release(outcome, seconds)
        except Exception as error:
            self._site.broken(limiter, "release", error)
            try:
                limiter.release(None, 0.0)
            except Exception as again:
                self._site.broken(limiter, "release", again)

    def _leave(self, exchange: Exchange) -> bool:
        """Give a place in the limiter's queue up; False where there is a permit already."""
        try:
            return bool(exchange.ticket.leave())
        except Exception as error:  # what it holds nobody can tell
            self._site.broken(exchange.limiter, "leave", error)
            return True

    def give_up(self, exchange: Exchange) -> None:
        """The caller has given an attempt up, and the server hears of it.

        The exchange is not over yet, so that its state says where it stands.
        """
        if exchange not in self._open or self.mode in {UNREACHABLE, HANGING}:
            return
        if exchange.state == RUNNING:
            if self._site.cancels or exchange.fate == "hang":
                self._remember(exchange, None)
                del self._open[exchange]
                self._free(exchange, None)
            return
        self._remember(exchange, _NOT_RUN)
        del self._open[exchange]
        if exchange.state == QUEUED:
            del self._queue[exchange]
            self._release(exchange, None)
        elif exchange.state == WAITING:
            if not self._leave(exchange):
                self._give_back(exchange, None, 0.0)
            exchange.ticket = None
