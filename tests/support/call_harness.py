"""A service made of plain fakes, for tests of the call flow and its drivers.

Everything that happens in a call is written to one trace.
"""

from __future__ import annotations

import attrs

from bee_core.calls.call import begin, encode
from bee_core.calls.conclusion import abandon, conclude
from bee_core.calls.flow import flow
from bee_core.calls.options import CallOptions
from bee_core.calls.plan import make_plan
from bee_core.calls.retry_budget import RetryBudget
from bee_core.calls.service import Service
from bee_core.config import ClientConfig
from bee_core.contracts.effects import Attempt, Pause, Queue, Race
from bee_core.contracts.observation import Interception, Observation
from bee_core.contracts.plugin_faults import PluginFaults
from bee_core.contracts.policies import Change
from bee_core.contracts.size_rule import SizeRule
from bee_core.interfaces import Success
from bee_core.nodes.directory import Directory
from bee_core.nodes.node_set import NodeSet
from bee_core.terms.causes import local
from bee_core.terms.failures import Failure
from bee_core.terms.node import Node, Snapshot
from bee_core.testing import FakeClock, seeded_bytes, seeded_random
from bee_plugins.codecs.json_codec import JsonCodec
from bee_plugins.fault_tolerance.failfast import FailFast

SUCCESS = Success(b"3")


def said(outcome):
    """An outcome in one word, for traces."""
    if outcome is None:
        return "no verdict"
    return "ok" if outcome.ok else outcome.kind


class InOrder:
    """A balancer that takes the first node that was not tried."""

    def __init__(self, trace):
        self.trace = trace
        self.ready = ()
        self.picks = 0
        self.settled = []
        self.settle = self._settle

    def update(self, ready):
        self.ready = tuple(ready)

    def pick(self, key, tried, now, rng):
        for node in self.ready:
            if node.id not in tried and node.weight > 0:
                self.picks += 1
                self.trace.append(f"pick {node.id}")
                return node
        self.trace.append("pick none")
        return None

    def _settle(self, node, outcome, seconds, now):
        self.settled.append((node.id, said(outcome)))
        self.trace.append(f"balancer told {node.id} {said(outcome)}")


class Gate:
    """A breaker that gives ``permits`` permits (None: any number).

    It opens with the first verdict against the node, if told to.
    """

    standing = None  # each call asks

    def __init__(self, trace, node_id, permits=None, *, opens=False):
        self.trace = trace
        self.node = Node(node_id, f"tcp://{node_id}:9000")
        self.node_id = node_id
        self.permits = permits
        self.opens = opens
        self.state = "closed"
        self.held = 0
        self.verdicts = []

    def admit(self, now):
        if self.state == "open" or self.permits == 0:
            self.trace.append(f"no permit {self.node_id}")
            return None
        if self.permits is not None:
            self.permits -= 1
        self.held += 1
        self.trace.append(f"permit {self.node_id}")
        return object()

    def settle(self, permit, outcome, seconds, now):
        assert permit is not None
        self.held -= 1
        self.verdicts.append(said(outcome))
        self.trace.append(f"breaker told {self.node_id} {said(outcome)}")
        if self.opens and outcome is not None and not outcome.ok and outcome.blame == "node":
            self.state = "open"
            return Change(self.node, "closed", "open")
        return None

    def probed(self, ok, now):
        return None


class Gates:
    """The gates of a service; one for a node that has no options lets everything pass."""

    def __init__(self, trace, options):
        self.trace = trace
        self.options = options
        self.made = {}
        self.left = []
        self.sweeps = []

    def node(self, node):
        gate = self.made[node.id] = Gate(self.trace, node.id, **self.options.get(node.id, {}))
        return gate

    def sweep(self, now):
        self.sweeps.append(now)
        return (), None

    def forget(self, node):
        self.left.append(node.id)


class Turnstile:
    """A limiter: ``admits`` is ``at once``, ``queue`` or ``full``."""

    def __init__(self, trace, admits="at once"):
        self.trace = trace
        self.admits = admits
        self.granted = 0
        self.released = []
        self.ticket = Place(self)

    def admit(self, request, now):
        self.trace.append("limiter asked")
        if self.admits == "at once":
            self.granted += 1
            return True
        return (
            self.ticket
            if self.admits == "queue"
            else local("overloaded", "the queue is full", retry_after=0.5)
        )

    def release(self, outcome, seconds):
        self.released.append((said(outcome), seconds))
        self.trace.append(f"limiter told {said(outcome)}")


class Place:
    """A ticket of a :class:`Turnstile`."""

    def __init__(self, limiter):
        self.limiter = limiter
        self.timeout = None
        self.admitted = False
        self.left = False
        self.callback = None

    def on_admitted(self, callback):
        self.callback = callback
        if self.admitted:
            callback()

    def grant(self):
        self.admitted = True
        self.limiter.granted += 1
        if self.callback is not None:
            self.callback()

    def leave(self):
        self.left = not self.admitted
        return self.left


class Answering:
    """A fallback: a value, or an exception to raise; None declines with the error itself."""

    def __init__(self, trace, answer=None):
        self.trace = trace
        self.answers = answer
        self.asked = []

    def answer(self, service, method, args, kwargs, error):
        self.asked.append((service, method, args, kwargs, error))
        self.trace.append(f"fallback asked {error.kind}")
        if self.answers is None:
            raise error
        if isinstance(self.answers, BaseException):
            raise self.answers
        return self.answers


class Watching:
    """An observer."""

    def __init__(self, trace, error=None):
        self.trace = trace
        self.error = error
        self.records = []

    def call_ended(self, state, record):
        self.records.append(record)
        self.trace.append("observed")
        if self.error is not None:
            raise self.error


class TracedBudget(RetryBudget):
    """The real budget; its decisions are traced."""

    def __init__(self, trace, **options):
        super().__init__(**options)
        self.trace = trace

    def deposit(self, now):
        self.trace.append("budget paid in")
        super().deposit(now)

    def withdraw(self, now, share=1.0):
        granted = super().withdraw(now, share)
        self.trace.append("budget paid out" if granted else "budget is spent")
        return granted


@attrs.define
class Result:
    """How a call ended."""

    call: object
    error: Exception | None
    attempts: list
    pauses: list

    @property
    def value(self):
        assert self.error is None, self.error
        return self.call.value


class Harness:
    """A service and its parts.

    ``nodes`` are ids (or nodes); ``make_channel`` makes a node's channel, by default its id;
    ``gates`` are the arguments of each node's breaker, by id.
    """

    def __init__(
        self,
        nodes="ab",
        *,
        fail=None,
        gates=None,
        limiter=None,
        fallback=None,
        observers=(),
        interceptors=(),
        watchers=(),
        trace=None,
        budget=None,
        clock=None,
        make_channel=None,
        random_bytes=None,
        recorder=None,
        breakers=None,
        balancer=None,
        **config,
    ):
        self.trace = [] if trace is None else trace
        self.clock = clock or FakeClock()
        self.balancer = balancer or InOrder(self.trace)
        self.gates = {}
        self.complaints = []
        self.dropped = []
        self.faults = PluginFaults(self.complaints.append, self.clock)
        self.limiter = None if limiter is None else Turnstile(self.trace, limiter)
        self.fallback = (
            None
            if fallback is None
            else Answering(self.trace, None if fallback == "declines" else fallback)
        )
        self.observers = tuple(Watching(self.trace, error) for error in observers)
        self.nodes = NodeSet(
            "calc",
            Directory(),
            self.balancer,
            make_channel or (lambda node: node.id),
            breakers if gates is None else Gates(self.trace, gates),
            self.dropped.append,
            self.faults,
        )
        self.config = ClientConfig(name="calc", **{"timeout": 10.0, "retries": 2, **config})
        self.service = Service(
            self.config,
            codec=JsonCodec(),
            rule=SizeRule(None, max_size=1000, max_inflated=2000),
            balancer=self.balancer,
            nodes=self.nodes,
            budget=TracedBudget(self.trace, **(budget or {})),
            limiter=self.limiter,
            fault_tolerances={"": fail or FailFast()},
            fallbacks={"": self.fallback},
            faults=self.faults,
            observation=Observation((*self.observers, *watchers), self.faults),
            interception=Interception(interceptors, self.faults),
            clock=self.clock,
            rng=seeded_random(),
            random_bytes=random_bytes or seeded_bytes(),
            complain=self.complaints.append,
            recorder=recorder,
        )
        self.revision = 0
        self.list_nodes(nodes)
        if gates is not None:
            for node_id, options in gates.items():
                self.gates[node_id] = self.nodes.states[node_id].breaker = Gate(
                    self.trace, node_id, **options
                )

    def list_nodes(self, nodes):
        """A new snapshot."""
        self.revision += 1
        listed = tuple(
            node if isinstance(node, Node) else Node(node, f"tcp://{node}:9000") for node in nodes
        )
        self.nodes.apply(Snapshot(self.revision, "registry", listed))

    def begin(self, method="add", args=(1, 2), **options):
        """A call that has not been driven yet."""
        plan = make_plan(self.service, method, options=CallOptions(**options))
        form, body = encode(plan, args, {})
        return begin(plan, args, {}, form, body, False)

    def run(self, *script, turn=True, pause=None, **options):
        """Make a call by hand, answering each attempt from the script.

        A function in it is called with the harness and gives the outcome. For several attempts at
        a time it is ``(node, outcome)``: which one ends and how; or None: the time is over.

        ``turn`` answers the wait for the limiter, ``pause`` each pause.
        """
        return self.drive(self.begin(**options), *script, turn=turn, pause=pause)

    def drive(self, call, *script, turn=True, pause=None):
        """Like :meth:`run`, for a call that was begun before."""
        answers = iter(script)
        attempts, pauses = [], []
        steps = flow(call)
        answer = None
        try:
            while True:
                effect = steps.send(answer)
                if isinstance(effect, Attempt):
                    attempts.append(effect.channel)
                    self.trace.append(f"attempt {effect.channel}")
                    answer = next(answers)
                    if callable(answer):
                        answer = answer(self)
                elif isinstance(effect, Race):
                    answer = self.end_one(effect, next(answers), attempts)
                elif isinstance(effect, Pause):
                    pauses.append(effect.seconds)
                    self.trace.append("pause")
                    self.clock.advance(effect.seconds)
                    answer = pause
                else:
                    assert isinstance(effect, Queue)
                    self.trace.append("queue")
                    answer = turn(self, effect) if callable(turn) else turn
        except StopIteration as stop:
            unused = list(answers)
            assert not unused, f"the flow ended without asking for {unused}"
            return Result(call, conclude(call, stop.value), attempts, pauses)

    def end_one(self, effect, turn, attempts):
        """Begin the attempts of a race, and let one end."""
        for entrant in effect.entrants:
            if not entrant.begun:
                entrant.begun = True
                entrant.pending = Request(self, entrant.node.id)
                attempts.append(entrant.channel)
                self.trace.append(f"attempt {entrant.channel}")
        if turn is None:
            self.trace.append("no reply yet")
            self.clock.advance(effect.seconds)
            return None
        name, outcome = turn
        (entrant,) = [one for one in effect.entrants if one.node.id == name]
        entrant.outcome = outcome(self) if callable(outcome) else outcome
        entrant.pending = None
        return entrant


class Request:
    """A request under way that can be given up."""

    def __init__(self, harness, name):
        self._harness = harness
        self._name = name

    def cancel(self):
        self._harness.trace.append(f"cancelled {self._name}")


def whole(call):
    """The flow with its conclusion, for tests that step through it themselves.

    What a driver makes of the two.
    """
    try:
        failure = yield from flow(call)
    except GeneratorExit:
        abandon(call)
        raise
    return conclude(call, failure)


def later(seconds, outcome):
    """An outcome that takes its time."""

    def answer(harness):
        harness.clock.advance(seconds)
        return outcome

    return answer


def failure(kind="unavailable", executed="no", retry="same", blame="node", **more):
    """Any failure."""
    return Failure(kind, "it failed", executed, retry, blame, **more)
