"""Real servers with too much to do: what they refuse, and that nothing is lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import bee_core
from bee_core.errors import CallError, ConfigError, DeadlineExceeded, Overloaded
from bee_core.terms.causes import local
from faults.users import BOTH, make_user
from support.patience import PATIENCE


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
