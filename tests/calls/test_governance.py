"""Breakers, probes, limiters and fallbacks of real clients, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import sys
import threading
import time
import types

import pytest

import bee_core
from bee_core.errors import (
    CircuitOpen,
    ConfigError,
    DeadlineExceeded,
    Overloaded,
    RemoteError,
    Unavailable,
)
from faults.processes import ServingProcess
from faults.services import Calculator, serving
from faults.users import BOTH, make_user
from support.patience import PATIENCE
from support.plugin_objects import offering
from support.ports import fixed_port


class Watcher:
    """An observer."""

    def __init__(self):
        self.changes = queue.Queue()

    def breaker_changed(self, service, node, before, after):
        self.changes.put((node.url, after))

    def await_change(self):
        return self.changes.get(timeout=PATIENCE)


class Log(logging.Handler):
    """The lines of ``bee.client``, to be waited for."""

    def __init__(self):
        super().__init__()
        self.lines = queue.Queue()

    def emit(self, record):
        self.lines.put(record.getMessage())

    def await_state(self, state):
        while f" to {state}" not in self.lines.get(timeout=PATIENCE):
            pass


@pytest.fixture
def log():
    handler = Log()
    logger = logging.getLogger("bee.client")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def configured(*urls, heartbeat_interval=0.05, **settings):
    client = {"address": list(urls), "retries": 0, **settings}
    return {
        "bee": {
            "rpc": {
                "registry": {"protocol": "direct", "heartbeat_interval": heartbeat_interval},
                "client": {"calc": client},
            }
        }
    }


def consecutive(count):
    return {"name": "consecutive", "options": {"max_error_count": count}}


def fixed(**options):
    return {"name": "fixed", "options": options}


@pytest.fixture(params=BOTH)
def users(request):
    made = []

    def make(*urls, **settings):
        made.append(make_user(request.param, configured(*urls, **settings)))
        return made[-1]

    yield make
    for user in made:
        user.close()


# ── breaker and probes ──


def test_a_killed_node_is_cut_off_and_comes_back_when_it_serves_again(users, log):
    process = ServingProcess(address=f"127.0.0.1:{fixed_port()}")
    try:
        user = users(process.url, breaker=consecutive(3))
        assert user.call("echo", 1) == 1
        process.kill()
        for _ in range(3):
            with pytest.raises(Unavailable):
                user.call("echo", 1)
        with pytest.raises(CircuitOpen, match="the one fitting node of calc is cut off"):
            user.call("echo", 1)
        log.await_state("open")
        process.restart()
        log.await_state("half-open")
        assert user.call("echo", 2) == 2
        log.await_state("closed")
    finally:
        process.kill()


def test_beside_a_node_that_is_cut_off_the_others_get_all_calls(users, log):
    with serving(Calculator()) as good:
        user = users(
            f"tcp://127.0.0.1:{fixed_port()}",
            good.address,
            breaker=consecutive(2),
            balancer="round-robin",
            heartbeat_interval=60,
        )
        failures = [user.start("add", 1, 2).exception(PATIENCE) for _ in range(4)]
        assert sorted(type(failure).__name__ for failure in failures) == [
            "NoneType",
            "NoneType",
            "Unavailable",
            "Unavailable",
        ]
        log.await_state("open")
        assert [user.detailed("add", 1, 2).attempts for _ in range(20)] == [1] * 20


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("success-rate", {"min_calls": 4, "base_ejection_time": 0.05, "trials": 2}),
        (
            "outlier",
            {
                "interval": 0.05,
                "base_ejection_time": 0.05,
                "success_rate": None,
                "failure_percentage": {"min_calls": 1, "min_nodes": 2},
            },
        ),
    ],
)
def test_statistics_cut_a_killed_node_off_and_it_comes_back(users, log, name, options):
    process = ServingProcess(address=f"127.0.0.1:{fixed_port()}")
    try:
        with serving(Calculator()) as good:
            user = users(
                process.url,
                good.address,
                breaker={"name": name, "options": options},
                balancer="round-robin",
                fail="failover",
                retries=1,
            )

            def call_until(state):
                until = time.monotonic() + PATIENCE
                while log.lines.empty() or f" to {state}" not in log.lines.get():
                    assert user.call("echo", 1) == 1
                    assert time.monotonic() < until, f"no breaker went to {state}"

            for _ in range(4):
                user.call("echo", 1)
            process.kill()
            call_until("open")
            process.restart()
            call_until("half-open")
            call_until("closed")
    finally:
        process.kill()


def test_a_server_that_answers_pings_and_hangs_calls_is_cut_off_again_by_the_single_call_that_tries_it():
    calculator, watcher = Calculator(), Watcher()
    with (
        serving(calculator) as server,
        bee_core.build_client(
            configured(
                server.address, breaker=consecutive(1), read_timeout=0.1, observers="watcher"
            ),
            plugins=[offering("observer", "watcher", lambda: watcher)],
        ) as client,
    ):
        calc = client.service("calc")
        seen = []
        for _ in range(2):
            with pytest.raises(DeadlineExceeded):
                calc.hold(1)
            seen += [watcher.await_change()[1], watcher.await_change()[1]]
        assert seen == ["open", "half-open"] * 2
        calculator.release.set()
        assert calc.hold(7) == 7
        assert watcher.await_change() == (server.address, "closed")


def test_half_open_only_one_call_at_a_time_tries_the_node(users, log):
    calculator = Calculator()
    with serving(calculator) as server:
        user = users(server.address, breaker=consecutive(1), read_timeout=PATIENCE)
        with pytest.raises(DeadlineExceeded):
            user.call("hold", 0, options={"read_timeout": 0.05})
        calculator.await_entered()
        log.await_state("half-open")
        trial = user.start("hold", 5)
        calculator.await_entered()
        with pytest.raises(CircuitOpen):
            user.call("add", 1, 2)
        calculator.release.set()
        assert trial.result(PATIENCE) == 5
        assert user.call("add", 1, 2) == 3


def test_errors_of_the_handler_and_impatient_callers_cut_nobody_off(users):
    calculator = Calculator()
    with serving(calculator) as server:
        user = users(server.address, breaker=consecutive(1))
        for _ in range(3):
            with pytest.raises(RemoteError):
                user.call("fail", "no")
            with pytest.raises(DeadlineExceeded):
                user.call("hold", 1, options={"timeout": 0.02})
        calculator.release.set()
        assert user.call("add", 1, 2) == 3


def test_a_client_with_a_node_cut_off_closes_at_once_and_leaves_no_thread(users):
    user = users(f"tcp://127.0.0.1:{fixed_port()}", breaker=consecutive(1), heartbeat_interval=60)
    with pytest.raises(Unavailable):
        user.call("add", 1, 2)
    assert any(thread.name.startswith("bee-control") for thread in threading.enumerate())
    user.close_client()
    assert not any(thread.name.startswith("bee-control") for thread in threading.enumerate())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_begins_with_the_node_cut_off_and_probes_it_by_itself():
    port = fixed_port()
    with bee_core.build_client(
        configured(f"tcp://127.0.0.1:{port}", breaker=consecutive(1))
    ) as client:
        calc = client.service("calc")
        with pytest.raises(Unavailable):
            calc.echo(1)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                said = _in_child(calc, writing)
            except BaseException as error:
                said = repr(error)
            os.write(writing, f"{said}\n".encode())
            os._exit(0)
        try:
            with os.fdopen(reading) as lines:
                assert lines.readline() == "cut off\n"
                process = ServingProcess(address=f"127.0.0.1:{port}")
                try:
                    assert lines.readline() == "3\n"
                finally:
                    process.kill()
        finally:
            os.close(writing)
            os.waitpid(child, 0)


def _in_child(calc, writing):
    until = time.monotonic() + PATIENCE
    try:
        calc.echo(3)
    except CircuitOpen:
        os.write(writing, b"cut off\n")
    while time.monotonic() < until:
        with contextlib.suppress(CircuitOpen, Unavailable):
            return calc.echo(3)
        time.sleep(0.01)
    return "still cut off"


# ── limiter of the client ──


def test_more_calls_than_may_run_wait_for_their_turn_and_the_rest_is_refused(users):
    calculator = Calculator()
    with serving(calculator) as server:
        user = users(server.address, limiter=fixed(max_in_flight=2, max_queue=1))
        running = [user.start("hold", index) for index in range(2)]
        calculator.await_entered(2)
        waiting = user.start("add", 1, 2)
        refused = _until_full(user)
        assert "max_queue" in refused.message
        assert (refused.executed, refused.retry_after) == ("no", None)
        assert not waiting.done()
        calculator.release.set()
        assert waiting.result(PATIENCE) == 3
        assert [call.result(PATIENCE) for call in running] == [0, 1]
        assert user.call("add", 2, 2) == 4


def _until_full(user):
    """The error of a call that finds the queue full: another thread's call fills it."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with pytest.raises(Overloaded) as caught:
            user.call("add", 0, 0, options={"timeout": 0.02})
        if "max_queue" in caught.value.message:
            return caught.value
    pytest.fail("the queue was never full")


def test_a_call_that_waits_longer_than_queue_timeout_is_refused_and_its_place_is_free(users):
    calculator = Calculator()
    with serving(calculator) as server:
        user = users(
            server.address, limiter=fixed(max_in_flight=1, max_queue=1, queue_timeout=0.02)
        )
        running = user.start("hold", 1)
        calculator.await_entered()
        for _ in range(2):
            with pytest.raises(Overloaded, match=r"queue_timeout \(0.02 s\)") as caught:
                user.call("add", 1, 2)
            assert caught.value.executed == "no"
        calculator.release.set()
        assert running.result(PATIENCE) == 1
        assert user.call("add", 1, 2) == 3
    assert calculator.runs == 2


def test_a_service_that_hangs_takes_nothing_from_the_one_beside_it():
    hanging, working = Calculator(), Calculator()
    with serving(hanging) as first, serving(working, name="stock") as second:
        limiter = fixed(max_in_flight=4, max_queue=4)
        config = configured(first.address, limiter=limiter)
        config["bee"]["rpc"]["client"]["stock"] = {
            "address": second.address,
            "limiter": limiter,
            "retries": 0,
        }
        user = make_user("blocking", config)
        try:
            calls = [user.start("hold", index) for index in range(8)]
            hanging.await_entered(4)
            _until_full(user)
            # Far less than the hanging service would take from them: each has a bound of its own.
            stock = user.client.service("stock").with_options(timeout=PATIENCE / 10)
            assert [stock.add(index, 1) for index in range(200)] == list(range(1, 201))
            assert not any(call.done() for call in calls)
            hanging.release.set()
            assert [call.result(PATIENCE) for call in calls] == list(range(8))
        finally:
            user.close()
    assert working.runs == 200


# ── limiter of the server ──


@pytest.mark.parametrize(
    ("hold", "add"), [("hold", "add"), ("hold_async", "add_async"), ("hold", "add_here")]
)
def test_a_servers_limiter_lets_so_many_run_and_the_next_wait(users, hold, add):
    calculator = Calculator()
    with serving(calculator, limiter=fixed(max_in_flight=2, max_queue=1)) as server:
        user = users(server.address)
        running = [user.start(hold, index) for index in range(2)]
        calculator.await_entered(2)
        waiting = user.start(add, 1, 2)
        _await_in_flight(server, 3)
        with pytest.raises(Overloaded, match="max_queue") as caught:
            user.call("add", 1, 1)
        assert caught.value.executed == "no"
        assert calculator.runs == 2, "what waits has not begun"
        calculator.release.set()
        assert waiting.result(PATIENCE) == 3
        assert [call.result(PATIENCE) for call in running] == [0, 1]
        assert [user.call(add, 1, index) for index in range(5)] == [1, 2, 3, 4, 5]
        _await_in_flight(server, 0)


def _await_in_flight(server, count):
    until = time.monotonic() + PATIENCE
    while server.in_flight != count:
        assert time.monotonic() < until, f"{server.in_flight} in flight, not {count}"
        time.sleep(0.002)


def test_a_request_whose_caller_gave_up_leaves_the_servers_queue(users):
    calculator = Calculator()
    with serving(calculator, limiter=fixed(max_in_flight=1, max_queue=1)) as server:
        user = users(server.address)
        running = user.start("hold", 1)
        calculator.await_entered()
        for _ in range(3):
            with pytest.raises(DeadlineExceeded):
                user.call("add", 1, 2, options={"timeout": 0.05})
            _await_in_flight(server, 1)
        calculator.release.set()
        assert running.result(PATIENCE) == 1
        assert user.call("add", 1, 2) == 3
    assert calculator.runs == 2


def test_a_request_waits_no_longer_than_the_servers_queue_timeout(users):
    calculator = Calculator()
    with serving(calculator, limiter=fixed(max_in_flight=1, queue_timeout="20ms")) as server:
        user = users(server.address)
        running = user.start("hold", 1)
        calculator.await_entered()
        with pytest.raises(Overloaded, match=r"no turn within queue_timeout \(0.02 s\)") as caught:
            user.call("add", 1, 2)
        assert caught.value.executed == "no"
        calculator.release.set()
        assert running.result(PATIENCE) == 1
        assert user.call("add", 1, 2) == 3
    assert calculator.runs == 2


def test_a_long_queue_of_calls_that_run_in_one_go_is_worked_off(users):
    calculator = Calculator()
    with serving(
        calculator, limiter=fixed(max_in_flight=1, max_queue=3000), max_in_flight=5000
    ) as server:
        user = make_user("asyncio", configured(server.address))
        try:
            running = user.start("hold", 1)
            calculator.await_entered()
            waiting = [user.start("add_here", index, 0) for index in range(2000)]
            _await_in_flight(server, 2001)
            calculator.release.set()
            assert [call.result(PATIENCE) for call in waiting] == list(range(2000))
            assert running.result(PATIENCE) == 1
        finally:
            user.close()


def test_a_server_drains_what_waits_in_its_limiters_queue():
    calculator = Calculator()

    async def scenario():
        server = bee_core.build_server(
            {
                "bee": {
                    "rpc": {
                        "server": {
                            "name": "calc",
                            "address": "127.0.0.1:0",
                            "limiter": fixed(max_in_flight=1),
                        }
                    }
                }
            }
        )
        server.add(calculator)
        await server.start()
        async with bee_core.build_async_client(configured(server.address)) as client:
            calc = client.service("calc")
            calls = [
                asyncio.ensure_future(calc.hold_async(1)),
                asyncio.ensure_future(calc.add(1, 2)),
            ]
            await asyncio.get_running_loop().run_in_executor(None, _await_in_flight, server, 2)
            stopping = asyncio.ensure_future(server.stop())
            await asyncio.sleep(0)
            calculator.release.set()
            assert await asyncio.wait_for(asyncio.gather(*calls), PATIENCE) == [1, 3]
            await asyncio.wait_for(stopping, PATIENCE)

    asyncio.run(scenario())


def test_wrong_options_of_a_servers_limiter_are_found_when_it_is_built():
    with pytest.raises(ConfigError) as caught:
        bee_core.build_server(
            {"bee": {"rpc": {"server": {"name": "calc", "limiter": fixed(max_in_flight=0)}}}}
        )
    assert caught.value.path == "bee.rpc.server.limiter.options.max_in_flight"


# ── fallback ──


def test_a_fallback_answers_for_dead_nodes_open_breakers_and_full_queues_and_detailed_says_so(
    users,
):
    user = users(
        f"tcp://127.0.0.1:{fixed_port()}",
        breaker=consecutive(1),
        fallback={"name": "static", "options": {"value": {"total": 0}}},
        heartbeat_interval=60,
    )
    for attempts in (1, 0):  # refused, then cut off
        reply = user.detailed("add", 1, 2)
        assert (reply.value, reply.degraded, reply.attempts) == ({"total": 0}, True, attempts)


def test_a_fallback_leaves_successes_and_the_handlers_errors_as_they_are(users):
    with serving(Calculator()) as server:
        user = users(server.address, fallback={"name": "static", "options": {"value": 0}})
        reply = user.detailed("add", 1, 2)
        assert (reply.value, reply.degraded) == (3, False)
        with pytest.raises(RemoteError):
            user.call("fail", "no")


def cached(service, method, args, kwargs, error):
    return [service, method, list(args), kwargs, error.kind]


def test_a_function_of_the_application_answers(users, monkeypatch):
    module = types.ModuleType("shop_fallbacks")
    module.cached = cached
    monkeypatch.setitem(sys.modules, "shop_fallbacks", module)
    user = users(
        f"tcp://127.0.0.1:{fixed_port()}",
        fallback={"name": "function", "options": {"target": "shop_fallbacks:cached"}},
    )
    assert user.detailed("add", 1, b=2).degraded
    assert user.call("add", 1, b=2) == ["calc", "add", [1], {"b": 2}, "unavailable"]
