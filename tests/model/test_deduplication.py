"""Every order of send, lose, come late, crash, forget and repeat: no write runs twice.

The client is the real call flow with ``failtry`` and the real note of where a request went. The
server is the real memory with its real decision. Between them is a network that loses, delays and
reorders: what one side sends waits in a queue of its connection, and the search chooses what
happens next. All choices up to a depth are tried, each from the start.
"""

from __future__ import annotations

from collections import Counter

import pytest

from bee_core.contracts.connection_numbers import ConnectionNumbers
from bee_core.contracts.effects import Attempt, Pause
from bee_core.interfaces import Success
from bee_core.server.answer_memory import GONE, AnswerMemory, judge
from bee_core.terms.causes import lost, refused
from bee_core.terms.failures import Failure
from bee_core.testing import FakeClock
from bee_core.wire.deduplication import Deduplication, Repetition, note_sent
from bee_plugins.fault_tolerance.failtry import BackoffOptions, FailTry
from support.call_harness import Harness, whole

WINDOW = 4.0
DEPTH = 6
FAILTRY = FailTry(BackoffOptions(base=0.5, cap=0.5))


class Process:
    """A server process: what it remembers, and what ran."""

    def __init__(self, epoch, clock, count):
        self.epoch = epoch
        self.clock = clock
        self.memory = AnswerMemory(WINDOW, count, 1000)
        numbers = iter(range(1, 1000))
        self.numbers = ConnectionNumbers(lambda: next(numbers).to_bytes(8, "big"), clock)
        self.alive = True

    def fill(self, number):
        """Another client's write, which may push the key out."""
        entry = self.memory.take(b"other %d" % number, "other", self.clock()).entry
        self.memory.end(entry, "done", 1, self.clock())


class Connection:
    """A connection of the client to a process, with what is on its way."""

    def __init__(self, process):
        self.process = process
        self.line = process.numbers.add()
        self.sent = []  # requests that the server has not read
        self.open = True  # at the client's side


class World:
    """One write of one client, and one address behind which one process lives at a time.

    Attributes:
        ran: How often the write ran.
        ended: How it ended: ``ok``, or the error; None while it goes on.
    """

    def __init__(self, handler, count):
        self.clock = FakeClock()
        self.count = count
        self.handler = handler
        self.ran = 0
        self.ended = None
        self.epochs = iter(range(1, 100))
        self.fillers = iter(range(100))
        self.connections = []
        self.running = []  # what the process at hand runs: entry, connections that wait
        self.restart()
        self.harness = Harness(
            "a", fail=FAILTRY, retries=4, timeout=100, clock=self.clock, make_channel=lambda _: self
        )
        self.steps = whole(self.harness.begin(read_timeout=50))
        self.waits = None  # the connection on which the client waits for its answer
        self._go_on(None)

    # The client.

    def _go_on(self, answer):
        self.waits = None
        try:
            while True:
                effect = self.steps.send(answer)
                if isinstance(effect, Pause):
                    self.clock.advance(effect.seconds)
                    answer = None
                    continue
                assert isinstance(effect, Attempt)
                answer = effect.channel.start(self.call_of(effect))
                if answer is None:
                    return
        except StopIteration as stop:
            self.ended = "ok" if stop.value is None else stop.value

    def call_of(self, effect):
        return self.steps.gi_frame.f_locals["call"]

    def start(self, call):
        """An attempt: on a new connection, after its hello-ack."""
        return self.transmit(call, self.connect())

    def repeat(self, call):
        """A repetition: as the channels do it."""
        connection = self.connect()
        if connection is not None and connection.process.epoch != call.sent.epoch:
            return Failure("unavailable", "another process", "no", "never", "none")
        return self.transmit(call, connection)

    def connect(self):
        if not self.process.alive:
            return None
        connection = Connection(self.process)
        self.connections.append(connection)
        return connection

    def transmit(self, call, connection):
        if connection is None:
            return refused(ConnectionRefusedError())
        said = Deduplication(WINDOW, connection.line.number)
        field = note_sent(call, said, connection.process.epoch, self.clock())
        mark = Repetition.parse(field[3:]) if field else None
        connection.sent.append((call.dedupe_key, mark))
        self.waits = connection
        return None

    def _answer(self, connection, answer):
        """An answer reaches the client, if it waits for it."""
        if self.waits is connection and connection.open:
            self._go_on(answer.copy() if isinstance(answer, Failure) else answer)

    # What may happen.

    def choices(self):
        """The names of what may happen now; none once nothing can change any more."""
        pending = [one for one in self.connections if one.sent and one.process.alive]
        if self.ended is not None and not pending and not self.running:
            return []
        found = []
        if self.waits is not None:
            found.append("lose the connection")
        for index, connection in enumerate(self.connections):
            if connection.sent and connection.process.alive:
                found.append(f"deliver {index}")
        found += ["finish"] if self.running else []
        if not self.process.alive:
            return [*found, "restart"]
        return [*found, "crash", "crash and restart", "forget by count", "forget by time"]

    def do(self, choice):
        word, _, number = choice.partition(" ")
        if word == "deliver":
            self.deliver(self.connections[int(number)])
        else:
            getattr(self, choice.replace(" ", "_"))()

    def deliver(self, connection):
        """The server reads a request."""
        key, mark = connection.sent.pop(0)
        process = connection.process
        verdict, entry = judge(
            process.memory, process.numbers, connection.line, key, "write", mark, self.clock()
        )
        if entry is None:
            if verdict == "again":
                self.running.append((None, [connection]))
                return
            self._answer(connection, Failure("unavailable", verdict, "no", "other", "none"))
        elif verdict == "new":
            self.running.append((entry, [connection]))
        elif entry.ended is None:
            next(waiting for one, waiting in self.running if one is entry).append(connection)
        else:
            gone = Failure("unavailable", "gone", "yes", "never", "none")
            self._answer(connection, gone if entry.answer is GONE else entry.answer)

    def finish(self):
        """A handler ends."""
        entry, waiting = self.running.pop(0)
        if self.handler == "rejects":
            answer = Failure("overloaded", "rejected", "no", "same", "none")
            if entry is not None:
                self.process.memory.drop(entry)
        else:
            self.ran += 1
            answer = RAISED if self.handler == "raises" else Success(b"3")
            if entry is not None:
                size = 1000 if self.handler == "returns much" else 1
                self.process.memory.end(entry, answer, size, self.clock())
        for connection in waiting:
            self._answer(connection, answer)

    def lose_the_connection(self):
        """The client sees a reset. What it has sent may still come."""
        self.waits.open = False
        self._go_on(lost(ConnectionResetError()))

    def crash(self):
        """The process is killed. A handler that it ran may have done its work just before."""
        self.process.alive = False
        self.ran += len(self.running) if self.handler != "rejects" else 0
        self.running = []
        if self.waits is not None:
            self.lose_the_connection()

    def restart(self):
        """Another process serves at the address; a client that waits sees its connection end."""
        epoch = next(self.epochs).to_bytes(8, "big")
        self.process = Process(epoch, self.clock, self.count)

    def crash_and_restart(self):
        """At once, before the client connects again."""
        old, waits = self.process, self.waits
        self.waits = None
        self.crash()
        old.alive = False
        self.restart()
        self.waits = waits
        if waits is not None:
            self.lose_the_connection()

    def forget_by_count(self):
        self.process.fill(next(self.fillers))

    def forget_by_time(self):
        self.clock.advance(WINDOW + 1)
        self.forget_by_count()

    def let_all_come(self):
        """The end: whatever is on its way comes, and whatever runs ends."""
        if self.ended is None and self.waits is not None and not self.waits.process.alive:
            self.lose_the_connection()
        for _ in range(50):
            todo = [one for one in self.connections if one.sent and one.process.alive]
            if todo:
                self.deliver(todo[0])
            elif self.running:
                self.finish()
            else:
                return
        raise AssertionError("it does not end")


RAISED = Failure("remote_error", "it raised", "yes", "never", "none")


def check(world, choices):
    assert world.ran <= 1, ("ran twice", choices)
    ended = world.ended
    assert ended is not None, ("did not end", choices)
    if ended == "ok":
        assert world.ran == 1, ("has a result and did not run", choices)
    elif ended.executed == "no":
        assert world.ran == 0, ("is said not to have run", choices, ended)
    elif ended.executed == "yes":
        assert world.ran == 1, ("is said to have run", choices, ended)


def explore(handler, count, make=World):
    """Try all orders; returns how the calls ended, counted."""
    seen = Counter()
    stack = [()]
    while stack:
        choices = stack.pop()
        world = make(handler, count)
        for choice in choices:
            world.do(choice)
        assert world.ran <= 1, ("ran twice", choices)
        if len(choices) < DEPTH:
            stack += [(*choices, choice) for choice in world.choices()]
        world.let_all_come()
        check(world, choices)
        seen["ok" if world.ended == "ok" else world.ended.executed] += 1
    return seen


LONG = ["returns much", "rejects"]
"""Kinds of handlers that are for the session slow: each takes ten seconds or more."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "handler",
    ["returns", "raises", *(pytest.param(one, marks=pytest.mark.slow) for one in LONG)],
)
def test_no_write_runs_twice_and_executed_is_never_wrong(handler, count):
    seen = explore(handler, count)
    print(  # noqa: T201  the figure
        f"{handler}, room for {count}: {sum(seen.values()):,} orders, {dict(seen)}"
    )
    assert seen["maybe"]
    assert seen[{"rejects": "no", "raises": "yes"}.get(handler, "ok")]


class NoHorizon(AnswerMemory):
    """A memory that does not know that it forgets."""

    @property
    def horizon(self):
        return float("-inf")

    @horizon.setter
    def horizon(self, moment):
        pass


def broken_world(monkeypatch, broken):
    if broken == "forgets without a trace":
        monkeypatch.setitem(globals(), "AnswerMemory", NoHorizon)
    elif broken == "bars no late request":
        monkeypatch.setattr(
            "bee_core.contracts.connection_numbers.Line.bar", lambda line, key: True
        )
    elif broken == "takes a late request for one that may run twice":
        strict = judge

        def lenient(memory, numbers, line, *request):
            line.barred.clear()
            return strict(memory, numbers, line, *request)

        monkeypatch.setitem(globals(), "judge", lenient)
    elif broken == "repeats at any process":

        def repeat(world, call):
            return world.transmit(call, world.connect())

        monkeypatch.setattr(World, "repeat", repeat)
    elif broken == "repeats without a mark":

        def unmarked(world, call):
            call.sent.repeated = False
            return world.transmit(call, world.connect())

        monkeypatch.setattr(World, "repeat", unmarked)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "broken",
    [
        "forgets without a trace",
        "bars no late request",
        "takes a late request for one that may run twice",
        "repeats at any process",
        "repeats without a mark",
    ],
)
def test_the_search_finds_what_is_broken(monkeypatch, broken):
    broken_world(monkeypatch, broken)
    with pytest.raises(AssertionError, match="ran twice"):
        explore("returns", 1)
