"""A service under overload, in virtual time: clients, one server, and the limiters between them.

An open stream of calls reaches a server of a few threads. A client gives up at its deadline, and
sends a call again as ``failover`` does, within the retry budget. What runs here of bee is the
limiters and the budget; the rest is a model of a queue.
"""

from __future__ import annotations

from collections import Counter, deque
from heapq import heappop, heappush
from itertools import count
from random import Random

import attrs

from bee_core.calls.retry_budget import RetryBudget
from bee_core.interfaces import Success
from bee_core.terms.causes import local, read_timed_out
from bee_core.terms.criticality import SHARES
from bee_core.terms.failures import Failure
from bee_core.testing import AnyCall

DONE = Success(b"")


@attrs.define(eq=False)
class SimulatedCall:
    """One call of an application."""

    level: str
    deadline: float
    attempts: int = 0
    ended: bool = False


@attrs.define(eq=False)
class Job:
    """One attempt of a call at the server."""

    call: SimulatedCall
    arrived: float = 0.0
    permitted: float | None = None


class Overload:
    """See the module.

    Args:
        load: Calls a second, as a multiple of what the threads can do.
        limiter: The server's, or None.
        client: The client's, or None.
        mix: The share of each level of criticality.
        threads: Of the server.
        service: Seconds that a call takes on average; exponential.
        patience: Seconds until a call's deadline.
        retries: Attempts after the first.
        budget: Of retries, or None for as many as ``retries`` says.
        seed: Of all chance.
    """

    def __init__(
        self,
        load,
        *,
        limiter=None,
        client=None,
        mix=None,
        threads=8,
        service=0.02,
        patience=1.0,
        retries=2,
        budget=None,
        seed=1,
    ):
        self.rng = Random(seed)  # repeatable is the point
        self.limiter = limiter
        self.client = client
        self.mix = mix or {"critical": 1.0}
        self.threads = threads
        self.service = service
        self.patience = patience
        self.retries = retries
        self.budget = budget
        self.capacity = threads / service
        self.rate = load * self.capacity
        self.now = 1000.0
        self.events = []
        self.order = count()
        self.free = threads
        self.queue = deque()  # of jobs that wait for a thread
        self.offered, self.good, self.refused = Counter(), Counter(), Counter()
        self.sent = self.late = self.longest = 0

    def run(self, seconds):
        """Let calls arrive for so long, and count those that arrive after a fifth of the time."""
        self.counted_from = self.now + seconds / 5
        until = self.now + seconds
        self.at(self.now, self.arrive, until)
        while self.events:
            self.now, _, action, args = heappop(self.events)
            action(*args)
        self.seconds = seconds * 4 / 5
        return self

    @property
    def goodput(self):
        """The calls that had their answer in time, as a share of what the threads can do."""
        return self.good.total() / (self.capacity * self.seconds)

    def success(self, level):
        """The share of the calls of a level that had their answer in time."""
        return self.good[level] / self.offered[level]

    # Clients.

    def at(self, when, action, *args):
        heappush(self.events, (when, next(self.order), action, args))

    def arrive(self, until):
        if self.now >= until:
            return
        self.at(self.now + self.rng.expovariate(self.rate), self.arrive, until)
        level = self.rng.choices(list(self.mix), list(self.mix.values()))[0]
        call = SimulatedCall(level, self.now + self.patience)
        if self.now >= self.counted_from:
            self.offered[level] += 1
        if self.budget is not None:
            self.budget.deposit(self.now)
        if self.client is not None:
            admitted = self.client.admit(self.request(call), self.now)
            if isinstance(admitted, Failure):
                self.refused[level] += 1
                return
        self.at(call.deadline, self.expire, call)
        self.send(call)

    def request(self, call):
        return AnyCall("calc", "add", deadline=call.deadline, criticality=call.level)

    def send(self, call):
        call.attempts += 1
        self.sent += 1
        self.serve(Job(call, self.now))

    def answered(self, call, outcome):
        if call.ended:
            return
        if outcome.ok:
            self.end(call, outcome)
            if call.deadline - self.patience >= self.counted_from:
                self.good[call.level] += 1
            return
        again = call.attempts <= self.retries and (
            self.budget is None or self.budget.withdraw(self.now, SHARES[call.level])
        )
        if not again:
            self.end(call, outcome)
            return
        ceiling = 0.025 * 2 ** (call.attempts - 1)
        self.at(self.now + self.rng.uniform(0, ceiling), self.resend, call)

    def resend(self, call):
        if not call.ended:
            self.send(call)

    def expire(self, call):
        if not call.ended:
            self.end(call, read_timed_out(self.patience, full=True))

    def end(self, call, outcome):
        call.ended = True
        if not outcome.ok:
            self.refused[call.level] += 1
        if self.client is not None:
            self.client.release(outcome, 0.0)

    # The server.

    def serve(self, job):
        if self.limiter is None:
            self.start(job)
            return
        ticket = self.limiter.admit(self.request(job.call), self.now)
        if ticket is True:
            self.permit(job)
        elif isinstance(ticket, Failure):
            self.answered(job.call, ticket)
        else:
            waits = [True]

            def admitted():
                if waits:
                    waits.clear()
                    if ticket.refusal is None:
                        self.permit(job)
                    else:
                        self.answered(job.call, ticket.refusal)

            def impatient():
                if waits:
                    waits.clear()
                    if not ticket.leave():
                        self.limiter.release(None, 0.0)
                    self.answered(job.call, local("overloaded", "no turn"))

            if ticket.timeout is not None:
                self.at(self.now + ticket.timeout, impatient)
            ticket.on_admitted(admitted)

    def permit(self, job):
        job.permitted = self.now
        self.start(job)

    def start(self, job):
        if self.free and not self.queue:
            self.begin(job)
        else:
            self.queue.append(job)
            self.longest = max(self.longest, len(self.queue))

    def begin(self, job):
        if self.now >= job.call.deadline:  # a thread looks before it begins
            self.done(job, local("deadline_exceeded", "late"))
            return
        self.free -= 1
        self.at(self.now + self.rng.expovariate(1 / self.service), self.finish, job)

    def finish(self, job):
        self.free += 1
        self.late += self.now > job.call.deadline
        self.done(job, DONE)
        while self.queue and self.free:
            self.begin(self.queue.popleft())

    def done(self, job, outcome):
        if job.permitted is not None:
            self.limiter.release(outcome, self.now - job.permitted)
        self.answered(job.call, outcome)


def usual_budget():
    """The budget of a service that states nothing."""
    return RetryBudget()
