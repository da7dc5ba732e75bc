"""What a server refuses at once: a full pool, what would be late, a loop that lags."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import bee_core
from bee_core.config import ServerConfig
from bee_core.errors import CallError, ConfigError, DeadlineExceeded, Overloaded
from bee_core.server.admission import Admission
from bee_core.terms.causes import local
from bee_core.testing import AnyCall, FakeClock
from faults.users import BOTH, make_user
from support.patience import PATIENCE


class Pool:
    """A pool as the admission sees it."""

    def __init__(self, size=4, waiting=None):
        self.size, self.waiting = size, waiting


class Lag:
    def __init__(self, late=0.0):
        self.late = late

    def seconds(self):
        return self.late


def admission(pool, lag=None, clock=None, **settings):
    config = ServerConfig(name="calc", **settings)
    return Admission(config, pool, lag or Lag(), clock or FakeClock(1000.0))


def call(method="add", left=None, level="critical"):
    deadline = None if left is None else 1000.0 + left
    return AnyCall("calc", method, deadline=deadline, criticality=level)


def measured(admission, clock, method, seconds, times=30):
    for _ in range(times):
        job = admission.timed(method, lambda: clock.advance(seconds))
        job()
    clock.now = 1000.0


# ── threads ──


def test_while_a_thread_is_free_nothing_is_refused():
    clock = FakeClock(1000.0)
    full = admission(Pool(), clock=clock, max_pool_queue=0)
    measured(full, clock, "add", 5.0)
    assert full.of_thread(call(left=0.001)) is None


def test_one_more_than_max_pool_queue_is_refused_the_least_important_first():
    pool = Pool(waiting=8)
    full = admission(pool, max_pool_queue=10)
    assert full.of_thread(call()) is None
    assert "max_pool_queue is 10" in full.of_thread(call(level="sheddable")).message
    pool.waiting = 10
    refused = full.of_thread(call())
    assert (refused.kind, refused.executed) == ("overloaded", "no")
    assert refused.retry_after is not None


def test_what_cannot_make_its_deadline_is_refused_by_the_times_of_what_waits_before_it():
    clock = FakeClock(1000.0)
    pool = Pool(size=2, waiting=0)
    busy = admission(pool, clock=clock)
    measured(busy, clock, "add", 0.1)
    measured(busy, clock, "slow", 1.0)
    for _ in range(6):
        busy.timed("add", lambda: None)  # 0.6 s of work for two threads
    pool.waiting = 6
    assert busy.of_thread(call(left=0.45)) is None
    refused = busy.of_thread(call(left=0.35))
    assert refused.kind == "overloaded"
    assert refused.retry_after == pytest.approx(0.3, rel=0.2)
    assert busy.of_thread(call("slow", left=0.9)) is not None
    assert busy.of_thread(call("slow", left=1.5)) is None
    assert busy.of_thread(call()) is None, "a call without a deadline may wait"


def test_a_job_that_has_begun_does_not_count_as_waiting():
    clock = FakeClock(1000.0)
    pool = Pool(size=1, waiting=1)
    busy = admission(pool, clock=clock)
    measured(busy, clock, "add", 0.1)
    jobs = [busy.timed("add", lambda: clock.advance(0.1)) for _ in range(5)]
    assert busy.of_thread(call(left=0.55)) is not None
    for job in jobs:
        job()
    clock.now = 1000.0
    assert busy.of_thread(call(left=0.15)) is None


def test_no_estimate_refuses_a_call_that_nobody_waits_before():
    clock = FakeClock(1000.0)
    idle = admission(Pool(waiting=0), clock=clock)
    measured(idle, clock, "add", 5.0)
    assert idle.of_thread(call(left=0.1)) is None


# ── lag ──


def test_a_loop_that_lags_refuses_and_sheds_the_least_important_first():
    lag = Lag(0.9)
    late = admission(Pool(), lag, max_lag=1.0)
    assert late.gate < 0, "each request is looked at"
    assert late.refusal(call(), 0) is None
    assert late.refusal(call(level="sheddable"), 0) is not None
    lag.late = 1.5
    refused = late.refusal(call(level="critical_plus"), 0)
    assert (refused.kind, refused.executed, refused.retry_after) == ("overloaded", "no", 1.5)
    assert "max_lag is 1 s" in refused.message


def test_without_max_lag_nobody_is_asked_before_the_server_is_full():
    plain = admission(Pool(), Lag(60.0), max_in_flight=10)
    assert plain.gate == 10
    assert plain.refusal(call(), 9) is None
    assert plain.refusal(call(), 10) is not None


# ── real servers ──


def server_of(handlers, plugins=(), **settings):
    config = {"bee": {"rpc": {"server": {"name": "calc", **settings}}}}
    server = bee_core.build_server(config, plugins=list(plugins))
    for handler in handlers:
        server.add(handler)
    return server


def client_of(address, **settings):
    service = {"address": address, "timeout": PATIENCE, "retries": 0, **settings}
    return bee_core.build_client({"bee": {"rpc": {"client": {"calc": service}}}})


class Gate:
    """A handler that holds its thread until it is told to go on."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()
        self.ran = 0

    def hold(self) -> int:
        self.ran += 1
        self.begun.release()
        assert self.open.wait(PATIENCE)
        return self.ran


def test_a_full_pool_refuses_and_serves_again_afterwards():
    gate = Gate()
    server = server_of([gate.hold], max_pool_size=1, max_pool_queue=1)
    with server.in_thread(), client_of(server.address) as client, ThreadPoolExecutor(1) as threads:
        calc = client.service("calc")
        first = threads.submit(calc.hold)
        assert gate.begun.acquire(timeout=PATIENCE)
        with pytest.raises(DeadlineExceeded):  # and it keeps its place in the queue of the pool
            calc.with_options(timeout=0.05).hold()
        with pytest.raises(Overloaded, match="max_pool_queue is 1") as caught:
            calc.hold()
        assert caught.value.executed == "no"
        assert caught.value.retry_after is not None
        gate.open.set()
        assert first.result(PATIENCE) == 1
        assert calc.hold() == 2


def test_a_loop_that_is_held_up_refuses_until_it_runs_again():
    @bee_core.nonblocking
    def block(seconds: float) -> None:
        time.sleep(seconds)  # what no handler on the loop should do

    async def quick() -> int:
        return 1

    server = server_of([block, quick], max_lag=0.2)
    with server.in_thread(), client_of(server.address) as client:
        calc = client.service("calc")
        assert calc.quick() == 1  # from now on the lag is measured

        def refused():
            calc.block(0.6)
            return calc.quick() == 1

        with pytest.raises(Overloaded, match="max_lag") as caught:
            eventually(lambda: not refused())
        assert caught.value.executed == "no"
        assert caught.value.retry_after >= 0.2
        eventually(lambda: answer_of(calc.quick) == 1)


class Report:
    def __init__(self):
        self.gate = Gate()

    def slow(self) -> int:
        return self.gate.hold()

    def quick(self) -> int:
        return 1


def test_a_method_has_a_limiter_of_its_own_and_does_not_count_at_the_servers():
    report = Report()
    one = {"name": "fixed", "options": {"max_in_flight": 1, "max_queue": 0}}
    server = server_of([report], methods={"slow": {"limiter": one}}, limiter=one)
    with server.in_thread(), client_of(server.address) as client, ThreadPoolExecutor(1) as threads:
        calc = client.service("calc")
        first = threads.submit(calc.slow)
        assert report.gate.begun.acquire(timeout=PATIENCE)
        with pytest.raises(Overloaded):
            calc.slow()
        assert calc.quick() == 1
        report.gate.open.set()
        assert first.result(PATIENCE) == 1
        assert calc.slow() == 2


def test_a_mistake_in_a_methods_limiter_names_its_place():
    limiter = {"name": "fixed", "options": {"max_in_flight": 0}}
    with pytest.raises(ConfigError) as caught:
        server_of([], methods={"slow": {"limiter": [limiter]}})
    assert "bee.rpc.server.methods.slow.limiter" in caught.value.path
    with pytest.raises(ConfigError, match="timeout"):
        server_of([], methods={"slow": {"timeout": 1}})


def test_a_reload_keeps_the_limiters_that_are_as_they_were():
    one = {"name": "fixed", "options": {"max_in_flight": 1, "max_queue": 0}}
    two = {"name": "fixed", "options": {"max_in_flight": 2, "max_queue": 0}}
    report = Report()
    server = server_of([report], methods={"slow": {"limiter": one}})
    with server.in_thread(), client_of(server.address) as client, ThreadPoolExecutor(2) as threads:
        calc = client.service("calc")
        first = threads.submit(calc.slow)
        assert report.gate.begun.acquire(timeout=PATIENCE)
        methods = {"slow": {"limiter": one}, "quick": {"limiter": two}}
        server.reload({"bee": {"rpc": {"server": {"name": "calc", "methods": methods}}}})
        with pytest.raises(Overloaded):
            calc.slow()
        methods["slow"] = {"limiter": two}
        server.reload({"bee": {"rpc": {"server": {"name": "calc", "methods": methods}}}})
        second = threads.submit(calc.slow)
        assert report.gate.begun.acquire(timeout=PATIENCE)
        report.gate.open.set()
        assert {first.result(PATIENCE), second.result(PATIENCE)} == {2}


class Doorman:
    """A limiter that lets every call wait, and turns it away then."""

    released = 0

    def admit(self, request, now):
        return TurnedAway()

    def release(self, outcome, seconds):
        self.released += 1


class TurnedAway:
    timeout = None
    refusal = None

    def on_admitted(self, callback):
        self.refusal = local("overloaded", "waited in vain", retry_after=0.25)
        callback()

    def leave(self):
        return True


class Doormen:
    def __init__(self):
        self.made = []

    @bee_core.hookimpl
    def bee_register_limiters(self, registry):
        registry.add("doorman", self.make)

    def make(self):
        self.made.append(Doorman())
        return self.made[-1]


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("kind", BOTH)
def test_a_call_that_is_turned_away_after_its_wait_has_no_permit(kind, side):
    ran, doormen = [], Doormen()
    server = server_of([], plugins=[doormen], **{"limiter": "doorman"} if side == "server" else {})
    server.add(lambda: ran.append(1), name="work")
    with server.in_thread():
        service = {"address": server.address, "retries": 0}
        if side == "client":
            service["limiter"] = "doorman"
        config = {"bee": {"rpc": {"client": {"calc": service}}}}
        user = make_user(kind, config, [doormen])
        with pytest.raises(Overloaded, match="waited in vain") as caught:
            user.call("work")
        user.close()
    assert (caught.value.executed, caught.value.retry_after) == ("no", 0.25)
    assert ran == []
    assert [one.released for one in doormen.made] == [0] * len(doormen.made)


def test_twice_the_load_on_def_handlers_ends_every_call_one_way_and_loses_nothing():
    """Counted, not timed: 24 callers of a pool of 4 threads, with ``limiter: codel``."""
    ran, lock = [0], threading.Lock()

    def work() -> int:
        time.sleep(0.01)  # the work
        with lock:
            ran[0] += 1
        return 1

    server = server_of([work], max_pool_size=4, limiter="codel")
    ends = {"ok": 0, "overloaded": 0, "late": 0}
    with server.in_thread(), client_of(server.address, limiter="throttle") as client:
        calc = client.service("calc").with_options(timeout=2.0)

        def caller(_):
            for _ in range(40):
                answer = answer_of(calc.work)
                with lock:
                    if answer == 1:
                        ends["ok"] += 1
                    elif isinstance(answer, Overloaded):
                        assert answer.executed == "no"
                        ends["overloaded"] += 1
                    else:
                        assert isinstance(answer, DeadlineExceeded)
                        ends["late"] += 1

        with ThreadPoolExecutor(24) as threads:
            list(threads.map(caller, range(24)))
        assert sum(ends.values()) == 24 * 40
        assert ends["ok"] <= ran[0] <= ends["ok"] + ends["late"]
        assert ends["ok"] >= 100
        limiter = server._assembly._parts.limiters.usual._limit  # noqa: SLF001  # nothing is lost
        eventually(lambda: limiter._in_flight == 0)  # noqa: SLF001
        with client_of(server.address) as patient:
            eventually(lambda: answer_of(patient.service("calc").work) == 1)


def answer_of(function):
    """What a call returns, or its error."""
    try:
        return function()
    except CallError as error:
        return error


def eventually(holds):
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.005)
