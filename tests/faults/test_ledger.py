"""An exact ledger.

Writes that are not idempotent, to three servers of which one dies again and again.
"""

from __future__ import annotations

import itertools
import random
import signal
import threading
import time
from collections import Counter

import pytest

from bee_core.errors import CallError
from faults.processes import ServingProcess
from faults.users import AsyncUser, BlockingUser, FutureUser, client_config
from support.patience import PATIENCE
from support.ports import fixed_port

METHODS = ("write", "write_async", "write_here")


class Ledger:
    """Writers on both clients, and by futures, and what became of each write.

    Without tickets they write as fast as they can; else each write takes one.
    """

    def __init__(self, urls, *, tickets=None, **settings):
        config = client_config(
            *urls,
            fail="failover",
            retries=4,
            timeout=15,
            read_timeout=10,
            idempotent=False,
            **settings,
        )
        self.users = [BlockingUser(config), AsyncUser(config), FutureUser(config)]
        self.outcomes = {}
        self.times = {}
        self._progress = threading.Condition()
        self._stop = threading.Event()
        self._tickets = None if tickets is None else threading.Semaphore(tickets)
        self._numbers = itertools.count(1)
        self._threads = [
            threading.Thread(target=self._write, args=(user,))
            for user in self.users
            for _ in range(2)
        ]

    def _write(self, user):
        while not self._stop.is_set():
            if self._tickets is not None and not self._tickets.acquire(timeout=0.1):
                continue
            number = next(self._numbers)
            key = f"w{number}"
            began = time.monotonic()
            try:
                answer = user.call(METHODS[number % len(METHODS)], key)
                outcome = "acknowledged" if answer == key else f"wrong answer {answer}"
            except CallError as error:
                outcome = error
            with self._progress:
                self.times[key] = began, time.monotonic()
                self.outcomes[key] = outcome
                self._progress.notify_all()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        for user in self.users:
            user.close()

    @property
    def count(self):
        return len(self.outcomes)

    def issue(self, tickets):
        self._issued = self.count + tickets
        self._tickets.release(tickets)

    def await_issued(self):
        self.await_more(max(0, self._issued - self.count))

    def await_more(self, count):
        with self._progress:
            goal = self.count + count
            assert self._progress.wait_for(lambda: self.count >= goal, PATIENCE), (
                "the writers stand still"
            )


@pytest.fixture
def servers(tmp_path):
    made = [
        ServingProcess(log=tmp_path / f"{number}.log", address=f"127.0.0.1:{fixed_port()}")
        for number in range(3)
    ]
    yield made
    for server in made:
        server.kill()


def runs(tmp_path):
    """How often each id ran, over all servers."""
    return Counter(
        line for path in tmp_path.glob("*.log") for line in path.read_text().splitlines()
    )


def kill_again_and_again(servers, tmp_path, *, seed, kills, writes):
    rng = random.Random(seed)
    deaths = []
    with Ledger([server.url for server in servers]) as ledger:
        for _ in range(kills):
            ledger.await_more(rng.randrange(20, 300))
            victim = rng.choice(servers)
            killed = time.monotonic()
            victim.kill()
            deaths.append((victim.url, killed, time.monotonic()))
            ledger.await_more(rng.randrange(20, 100))
            victim.restart()
        while ledger.count < writes:
            ledger.await_more(100)
    ran = runs(tmp_path)
    outcomes = ledger.outcomes
    assert [key for key, times in ran.items() if times > 1] == [], "ran twice"
    assert [
        key for key, outcome in outcomes.items() if outcome == "acknowledged" and key not in ran
    ] == [], "acknowledged and missing"
    errors = {key: outcome for key, outcome in outcomes.items() if outcome != "acknowledged"}
    assert [error for error in errors.values() if not isinstance(error, CallError)] == []
    assert [
        (key, error) for key, error in errors.items() if error.executed == "no" and key in ran
    ] == [], "said not to have run, and ran"
    assert [
        (key, error) for key, error in errors.items() if error.executed == "yes" and key not in ran
    ] == [], "said to have run, and did not"
    assert set(ran) <= set(outcomes), "ran without having been asked for"
    assert len(outcomes) >= writes
    # A dying process closes its connections one after another, so a writer may meet several of
    # them. Who begins when it is gone is left in no doubt.
    doubted = {
        key: (error.node.url, *ledger.times[key])
        for key, error in errors.items()
        if error.executed == "maybe"
    }
    assert [
        key
        for key, (url, began, ended) in doubted.items()
        if not any(url == dead and began < gone and killed < ended for dead, killed, gone in deaths)
    ] == []


def test_no_write_runs_twice_and_none_is_lost_while_servers_are_killed(servers, tmp_path):
    kill_again_and_again(servers, tmp_path, seed=11, kills=3, writes=1500)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_write_runs_twice_and_none_is_lost_over_many_kills(servers, tmp_path):
    kill_again_and_again(servers, tmp_path, seed=12, kills=80, writes=50_000)


def restart_gracefully(servers, tmp_path, *, rounds):
    with Ledger([server.url for server in servers], tickets=0) as ledger:
        for _ in range(rounds):
            for server in servers:
                # Retries live on a budget of a fifth of the calls, and a third of the calls meet
                # the closed door first. So few come while the door is closed.
                ledger.issue(300)
                ledger.await_issued()
                ledger.issue(200)
                ledger.await_more(40)
                server.signal(signal.SIGTERM)
                assert server.process.wait(PATIENCE) == 0
                server.restart()
                ledger.await_issued()
    ran = runs(tmp_path)
    assert {
        key: outcome for key, outcome in ledger.outcomes.items() if outcome != "acknowledged"
    } == {}
    assert set(ran) == set(ledger.outcomes)
    assert set(ran.values()) == {1}


def test_no_write_fails_while_servers_are_restarted_gracefully(servers, tmp_path):
    restart_gracefully(servers, tmp_path, rounds=1)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_write_fails_over_many_graceful_restarts(servers, tmp_path):
    restart_gracefully(servers, tmp_path, rounds=12)
