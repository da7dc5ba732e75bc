"""An exact ledger of writes under resets and kills, with answers that are remembered."""

from __future__ import annotations

import random
import threading
from collections import Counter

import pytest

from bee_core.errors import CallError
from faults.processes import ServingProcess
from faults.users import AsyncUser, BlockingUser, FutureUser, client_config
from support.cutting_relay import CuttingRelay
from support.patience import PATIENCE
from support.ports import fixed_port

METHODS = ("write", "write_async", "write_here")
FATES = ("lose request", "lose answer", "cut", "late")
FAILTRY = {"name": "failtry", "options": {"base": 0.002, "cap": 0.02}}


class Writers:
    """Writers of both clients and of futures, through one relay."""

    def __init__(self, url, writes):
        config = client_config(
            url, fail=FAILTRY, retries=4, timeout=15, breaker="none", connect_timeout=5
        )
        self.users = [BlockingUser(config), AsyncUser(config), FutureUser(config)]
        self.outcomes = {}
        self.serving = threading.Event()  # no write begins while the server is away
        self.serving.set()
        self._writes = writes
        self._lock = threading.Lock()
        self._done = threading.Condition(self._lock)
        self._threads = [threading.Thread(target=self._write, args=(user,)) for user in self.users]
        for user in self.users:  # the server's first hello-ack says that it remembers
            assert user.call("echo", 1) == 1

    def _write(self, user):
        while self.serving.wait(PATIENCE):
            with self._lock:
                number = len(self.outcomes)
                if number >= self._writes:
                    return
                key = f"w{number}"
                self.outcomes[key] = None
            try:
                assert user.call(METHODS[number % len(METHODS)], key) == key
                outcome = "ok"
            except CallError as error:
                outcome = error.executed
            with self._done:
                self.outcomes[key] = outcome
                self._done.notify_all()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for thread in self._threads:
            thread.join(4 * PATIENCE)
        for user in self.users:
            user.close()

    def await_ended(self, count):
        with self._done:
            assert self._done.wait_for(
                lambda: sum(one is not None for one in self.outcomes.values()) >= count,
                4 * PATIENCE,
            )


def run(tmp_path, *, writes, kills, deduplicate, seed, workers=1):
    """How the writes ended, counted, and how many were left in doubt; the ledger is checked."""
    rng = random.Random(seed)
    log = tmp_path / f"{deduplicate is not False}.log"
    settings = {
        "address": f"127.0.0.1:{fixed_port()}",
        "deduplicate": deduplicate,
        "workers": workers,
    }
    server = ServingProcess(log=log, **settings)
    try:
        fate = lambda: rng.choice(FATES) if rng.random() < 0.2 else "pass"  # noqa: E731
        with CuttingRelay(server.url, decide=fate) as relay:
            with Writers(relay.url, writes) as writers:
                for number in range(1, kills + 1):
                    writers.await_ended(number * writes // (kills + 1))
                    writers.serving.clear()
                    server.kill()
                    server.restart()
                    writers.serving.set()
            relay.release()
            lost = sum(fate != "pass" for fate in relay.met)
    finally:
        server.kill()
    ran = Counter(log.read_text().splitlines())
    outcomes = writers.outcomes
    assert [key for key, times in ran.items() if times > 1] == [], "ran twice"
    assert [key for key, one in outcomes.items() if one in {"ok", "yes"} and key not in ran] == []
    assert [key for key, one in outcomes.items() if one == "no" and key in ran] == []
    assert set(ran) <= set(outcomes)
    return Counter(outcomes.values()), lost


@pytest.mark.timeout(240)
def test_no_write_runs_twice_and_most_that_were_in_doubt_have_their_answer(tmp_path):
    forgetful, _ = run(tmp_path, writes=400, kills=2, deduplicate=False, seed=5)
    remembered, lost = run(tmp_path, writes=400, kills=2, deduplicate={}, seed=5)
    print(  # noqa: T201  the figure
        f"400 writes, 2 kills, a fifth of the requests reset: in doubt {forgetful['maybe']} without"
        f" deduplicate, {remembered['maybe']} with it ({lost} requests were reset)"
    )
    assert forgetful["maybe"] > 30
    assert remembered["maybe"] < forgetful["maybe"] / 2


@pytest.mark.timeout(240)
def test_no_write_runs_twice_with_little_memory(tmp_path):
    outcomes, lost = run(tmp_path, writes=300, kills=1, deduplicate={"count": 3}, seed=6)
    print(f"300 writes, room for 3 keys: {dict(outcomes)}, {lost} requests were reset")  # noqa: T201
    assert outcomes["ok"] > 150


@pytest.mark.timeout(240)
def test_no_write_runs_twice_with_several_workers(tmp_path):
    outcomes, lost = run(tmp_path, writes=200, kills=0, deduplicate={}, seed=7, workers=3)
    print(f"200 writes to 3 workers: {dict(outcomes)}, {lost} requests were reset")  # noqa: T201
    assert outcomes["ok"] > 150
