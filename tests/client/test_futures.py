"""Futures of the blocking client, against real servers."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import warnings
from collections import deque
from concurrent import futures
from pathlib import Path

import pytest

import bee_core
from bee_core.errors import (
    BeeError,
    CallCancelled,
    DeadlineExceeded,
    InvalidArgument,
    Overloaded,
    RemoteError,
    Unavailable,
)
from bee_core.terms.call_context import CurrentCall, reset_current, set_current
from bee_core.testing import MemoryRegistry
from faults.descriptors import open_sockets
from faults.processes import ServingProcess
from faults.services import Calculator, serving
from faults.users import client_config
from support.patience import PATIENCE, scaled
from support.ports import fixed_port

THREAD = "bee-control-client-futures"

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def calculator():
    return Calculator()


@pytest.fixture
def server(calculator):
    with serving(calculator) as server:
        yield server


@pytest.fixture
def clients():
    """Makes clients: ``clients(*urls, **settings)``."""
    made = []

    def make(*urls, **settings):
        made.append(bee_core.build_client(client_config(*urls, **settings)))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(clients, server):
    return clients(server.address)


@pytest.fixture
def calc(client):
    return client.service("calc")


def threads(name=THREAD):
    return [thread for thread in threading.enumerate() if thread.name == name]


class Waiter:
    """Handlers on the loop: thousands can wait. Says when each begins, when one is given up, and lets all go on together."""

    def __init__(self):
        self.began = threading.Semaphore(0)
        self.cancelled = threading.Semaphore(0)
        self.runs = 0

    async def hold(self, answer: int) -> int:
        self.runs += 1
        self.began.release()
        try:
            await self._event().wait()
        except asyncio.CancelledError:
            self.cancelled.release()
            raise
        return answer

    async def release(self) -> None:
        self._event().set()

    def _event(self):
        if not hasattr(self, "_released"):
            self._released = asyncio.Event()
        return self._released

    def await_began(self, count=1):
        for _ in range(count):
            assert self.began.acquire(timeout=PATIENCE), "a call did not begin"


@pytest.fixture
def waiter():
    return Waiter()


@pytest.fixture
def waiting(waiter, clients):
    with serving(waiter, max_in_flight=5000) as server:
        yield clients(server.address).service("calc")


# ── results and errors ──


@pytest.mark.parametrize("method", ["add", "add_async", "add_here"])
def test_a_future_brings_the_result(calc, method):
    future = bee_core.future(getattr(calc, method), 1, b=2)
    assert isinstance(future, futures.Future)
    assert (future.result(PATIENCE), future.exception(), future.done(), future.cancelled()) == (
        3,
        None,
        True,
        False,
    )


def test_a_method_may_be_given_by_name_or_with_options(calc, calculator):
    assert bee_core.future(calc.call, "add", 1, 2).result(PATIENCE) == 3
    for method in (
        calc.with_options(timeout=500).time_left,
        bee_core.with_options(calc.time_left, timeout=500),
    ):
        assert 400 < bee_core.future(method).result(PATIENCE) <= 500


class Typed:
    def add(self, a: int, b: int) -> int:
        raise NotImplementedError


def test_an_interface_checks_what_a_future_is_given_and_gives(client):
    calc = client.service("calc", Typed)
    assert bee_core.future(calc.add, 1, 2).result(PATIENCE) == 3
    with pytest.raises(InvalidArgument):
        bee_core.future(calc.add, 1, "two").result(PATIENCE)


def test_every_error_of_a_call_is_the_futures_exception(calc, clients):
    assert isinstance(bee_core.future(calc.fail, "no").exception(PATIENCE), RemoteError)
    assert isinstance(bee_core.future(calc.add, object()).exception(PATIENCE), InvalidArgument)
    assert isinstance(
        bee_core.future(clients(f"127.0.0.1:{fixed_port()}").service("calc").add, 1, 2).exception(
            PATIENCE
        ),
        Unavailable,
    )
    with pytest.raises(RemoteError) as caught:
        bee_core.future(calc.fail, "no").result(PATIENCE)
    assert (caught.value.method, caught.value.attempts, caught.value.executed) == ("fail", 1, "yes")


def test_what_is_no_method_is_a_type_error(calc):
    for wrong in (len, calc, "add"):
        with pytest.raises(TypeError, match=r"future\(\) wants a method of a service"):
            bee_core.future(wrong, 1)


def test_a_method_of_an_asyncio_client_is_a_type_error_that_says_what_to_use(server):
    async def main():
        async with bee_core.build_async_client(client_config(server.address)) as client:
            with pytest.raises(TypeError, match=r"asyncio\.ensure_future\(calc\.add\(\.\.\.\)\)"):
                bee_core.future(client.service("calc").add, 1, 2)

    asyncio.run(main())


def test_a_oneway_future_ends_when_the_call_is_sent(waiting, waiter):
    assert bee_core.future(waiting.with_options(oneway=True).hold, 1).result(PATIENCE) is None
    waiter.await_began()
    assert waiting.release() is None


# ── many ──


def test_a_thousand_are_in_flight_at_once_on_one_thread_and_one_connection(waiting, waiter):
    before = threading.active_count()
    started = [bee_core.future(waiting.hold, number) for number in range(1000)]
    waiter.await_began(1000)
    assert threading.active_count() == before + 1
    assert not any(future.done() for future in started)
    waiting.release()
    assert [future.result(PATIENCE) for future in started] == list(range(1000))


def test_wait_and_as_completed_work(waiting, waiter):
    started = [bee_core.future(waiting.hold, number) for number in range(10)]
    waiter.await_began(10)
    done, pending = futures.wait(started, timeout=0)
    assert (len(done), len(pending)) == (0, 10)
    started[3].cancel()
    done, _ = futures.wait(started, timeout=PATIENCE, return_when=futures.FIRST_COMPLETED)
    assert done == {started[3]}
    waiting.release()
    assert (
        sum(1 for future in futures.as_completed(started, PATIENCE) if not future.cancelled()) == 9
    )
    assert futures.wait(started, PATIENCE).not_done == set()


def test_callbacks_are_called(calc):
    called = threading.Event()
    bee_core.future(calc.add, 1, 2).add_done_callback(
        lambda future: called.set() if future.result() == 3 else None
    )
    assert called.wait(PATIENCE)


def test_many_threads_begin_futures(calc):
    def work(number):
        return [
            bee_core.future(calc.add_here, number, other).result(PATIENCE) for other in range(50)
        ]

    with futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(work, range(16))) == [
            [number + other for other in range(50)] for number in range(16)
        ]
    assert len(threads()) == 1


def test_an_asyncio_program_may_begin_them_without_a_warning(calc):
    async def main():
        return await asyncio.gather(
            *(asyncio.wrap_future(bee_core.future(calc.add, number, 1)) for number in range(5))
        )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asyncio.run(main()) == [1, 2, 3, 4, 5]


def error_of(wait):
    try:
        return wait()
    except BeeError as error:
        return str(error)


def test_a_callback_that_would_wait_for_ever_is_told_so(waiting, waiter):
    said = []
    over = threading.Event()
    held, short = (
        bee_core.future(waiting.hold, 1),
        bee_core.future(waiting.with_options(timeout=0.2).hold, 2),
    )
    short.add_done_callback(
        lambda _: said.extend([error_of(held.result), error_of(held.exception)])
    )
    short.add_done_callback(lambda _: over.set())
    assert over.wait(PATIENCE)
    assert ["on the very thread that has to bring it" in str(text) for text in said] == [True, True]
    assert held.cancel()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_whatever_a_callback_raises_the_other_futures_go_on(waiting, waiter, caplog, error):
    def broken(future):
        raise error

    others = [bee_core.future(waiting.hold, number) for number in range(3)]
    waiter.await_began(3)
    short = bee_core.future(waiting.with_options(timeout=0.2).hold, 2)
    short.add_done_callback(broken)
    assert isinstance(short.exception(PATIENCE), DeadlineExceeded)
    bee_core.future(waiting.release).result(PATIENCE)
    assert [future.result(PATIENCE) for future in others] == [0, 1, 2]
    assert "a callback of a future raised what ends a thread" in caplog.text
    assert type(error).__name__ in caplog.text


# ── deadlines ──


def test_the_deadline_ends_a_future(waiting, waiter):
    future = bee_core.future(waiting.with_options(timeout=0.5).hold, 1)
    waiter.await_began()
    assert isinstance(future.exception(PATIENCE), DeadlineExceeded)
    assert waiter.cancelled.acquire(timeout=PATIENCE)


def test_the_deadline_counts_from_the_call_of_future_while_it_is_queued(calc, calculator):
    busy, go_on = threading.Event(), threading.Event()

    def block(_):
        busy.set()
        go_on.wait(PATIENCE)

    first = bee_core.future(calc.hold, 1)
    first.add_done_callback(block)
    calculator.await_entered()
    calculator.release.set()
    assert busy.wait(PATIENCE)  # the thread of all futures is held up, so what begins now is queued
    runs = calculator.runs
    late = bee_core.future(calc.with_options(timeout=0.02).add, 1, 2)
    in_time = bee_core.future(calc.add, 1, 2)
    time.sleep(0.05)  # longer than its timeout
    go_on.set()
    error = late.exception(PATIENCE)
    assert (type(error), error.executed) == (DeadlineExceeded, "no")
    assert in_time.result(PATIENCE) == 3
    assert calculator.runs == runs + 1


def test_a_timeout_of_result_ends_the_wait_and_not_the_call(waiting, waiter):
    future = bee_core.future(waiting.hold, 1)
    with pytest.raises(futures.TimeoutError):
        future.result(0.01)
    waiter.await_began()
    waiting.release()
    assert future.result(PATIENCE) == 1


def current(**settings):
    given = {
        "service": "front",
        "method": "m",
        "deadline": None,
        "metadata": {},
        "baggage": {},
        "peer": "",
        "dedupe_key": None,
        "clock": time.monotonic,
    }
    return CurrentCall(**given | settings)


def test_what_a_handler_hands_on_is_captured_when_the_future_is_begun(calc):
    token = set_current(current(deadline=time.monotonic() + 20.0, baggage={"trace": "t"}))
    left, said = bee_core.future(calc.time_left), bee_core.future(calc.said)
    reset_current(token)
    assert 10 < left.result(PATIENCE) <= 20, "and not the client's own 30"
    assert said.result(PATIENCE) == {"trace": "t"}


class Recording:
    """A fallback that looks at the call being handled where it answers."""

    def __init__(self):
        self.seen = []

    def answer(self, service, method, args, kwargs, error):
        self.seen.append(bee_core.current_call(None))
        return 7


def test_a_fallback_runs_in_the_context_of_the_caller(clients):
    client = clients(
        f"127.0.0.1:{fixed_port()}", fallback={"name": "static", "options": {"value": 1}}
    )
    service = client.assembly.services["calc"]
    recording = Recording()
    service.fallbacks = {"": recording}
    call = current()
    token = set_current(call)
    future = bee_core.future(client.service("calc").add, 1, 2)
    reset_current(token)
    assert future.result(PATIENCE) == 7
    assert recording.seen == [call]


# ── cancelling ──


def test_cancelling_a_call_under_way_cancels_it_on_the_wire(waiting, waiter):
    future = bee_core.future(waiting.hold, 1)
    waiter.await_began()
    called = []
    future.add_done_callback(called.append)
    assert future.cancel()
    assert future.cancel()  # again
    assert (future.cancelled(), future.done(), called) == (True, True, [future])
    assert waiter.cancelled.acquire(timeout=PATIENCE), "the server was not told"
    with pytest.raises(futures.CancelledError):
        future.result()
    assert bee_core.future(waiting.release).result(PATIENCE) is None  # the connection goes on


def test_what_is_cancelled_before_it_begins_is_never_sent(calc, calculator):
    busy, go_on = threading.Event(), threading.Event()

    def block(_):
        busy.set()
        go_on.wait(PATIENCE)

    first = bee_core.future(calc.hold, 1)
    first.add_done_callback(block)
    calculator.await_entered()
    calculator.release.set()
    assert busy.wait(PATIENCE)
    runs = calculator.runs
    queued = bee_core.future(calc.add, 1, 2)
    behind = bee_core.future(calc.add, 3, 4)
    assert queued.cancel()
    go_on.set()
    assert behind.result(PATIENCE) == 7
    assert calculator.runs == runs + 1


def on_the_thread_of(calls, function):
    """Run it on the thread for futures, in one turn of the loop; what it returns."""
    found = futures.Future()

    def run():
        try:
            found.set_result(function())
        except BaseException as error:
            found.set_exception(error)

    calls.plane.call_soon(run)
    return found.result(PATIENCE)


def test_a_future_that_is_cancelled_just_as_its_call_begins_is_forgotten(client, calc):
    calls = client.futures
    calc.add(1, 2)

    def begin_and_cancel():
        future = bee_core.future(calc.add, 1, 2)
        calls._take()  # noqa: SLF001  # the moment lasts no longer
        assert future.cancel()
        # Before the first step of its task.
        calls._cancel(future)  # noqa: SLF001  # the moment lasts no longer
        return future

    future = on_the_thread_of(calls, begin_and_cancel)
    assert future.cancelled()
    assert bee_core.future(calc.add, 3, 4).result(PATIENCE) == 7
    kept = on_the_thread_of(calls, lambda: dict(calls._tasks))  # noqa: SLF001  # nobody else tells
    assert not kept


def test_calls_that_another_thread_ends_first_are_no_error(client, calc, monkeypatch):
    class Emptied(deque):
        def __bool__(self):
            return True  # as it was a moment ago

    calls = client.futures
    assert bee_core.future(calc.add, 1, 2).result(PATIENCE) == 3
    with monkeypatch.context() as patch:
        patch.setattr(calls, "_begun", Emptied())
        assert on_the_thread_of(calls, calls._take) is None  # noqa: SLF001  # the moment lasts no longer


def test_a_future_that_has_ended_cannot_be_cancelled(calc):
    future = bee_core.future(calc.add, 1, 2)
    assert future.result(PATIENCE) == 3
    assert not future.cancel()
    assert future.result() == 3


def test_cancelling_from_many_threads_while_results_come_in_ends_each_future_once(calc):
    started = [bee_core.future(calc.add_here, number, 1) for number in range(300)]
    with futures.ThreadPoolExecutor(4) as pool:
        cancelled = list(pool.map(lambda future: future.cancel(), started * 2))
    for number, future in enumerate(started):
        assert future.cancelled() == cancelled[number] == cancelled[number + 300]
        if not future.cancelled():
            assert future.result(PATIENCE) == number + 1


# ── governance ──


def test_the_limiter_is_that_of_blocking_calls(server, clients, calculator):
    client = clients(
        server.address, limiter={"name": "fixed", "options": {"max_in_flight": 1, "max_queue": 0}}
    )
    calc = client.service("calc")
    held = bee_core.future(calc.hold, 1)
    calculator.await_entered()
    with pytest.raises(Overloaded):
        calc.add(1, 2)
    assert isinstance(bee_core.future(calc.add, 1, 2).exception(PATIENCE), Overloaded)
    held.cancel()
    assert futures.wait([held], PATIENCE).done
    calculator.release.set()


def test_another_node_is_tried(server, clients):
    calc = clients(
        f"127.0.0.1:{fixed_port()}", server.address, balancer="round-robin", fail="failover"
    ).service("calc")
    assert [bee_core.future(calc.add, number, 1).result(PATIENCE) for number in range(6)] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


def test_a_server_that_dies_leaves_its_futures_in_doubt(clients):
    process = ServingProcess()
    try:
        calc = clients(process.url).service("calc")
        started = [bee_core.future(calc.hang) for _ in range(20)]
        for _ in started:
            process.expect("hanging")
        process.kill()
        errors = [future.exception(PATIENCE) for future in started]
        assert {(type(error), error.executed) for error in errors} == {(Unavailable, "maybe")}
    finally:
        process.kill()


def discovering(registry, **settings):
    config = {
        "bee": {
            "rpc": {
                # What is withdrawn and serves is let go after three heartbeats.
                "registry": {"protocol": "memory", "heartbeat_interval": 0.1},
                "client": {"calc": {"timeout": 20, **settings}},
            }
        }
    }
    return bee_core.build_client(config, plugins=[registry])


def test_the_first_future_finds_the_nodes_without_waiting_in_future(server):
    registry = MemoryRegistry()
    registry.go_silent()
    with discovering(registry) as client:
        future = bee_core.future(client.service("calc").add, 1, 2)
        registry.wait_for_watches(1)
        assert not future.done()
        registry.publish("calc", server.address)
        registry.come_back()
        assert future.result(PATIENCE) == 3


def test_a_node_that_leaves_is_let_go_of_once_its_calls_have_ended(waiter):
    registry = MemoryRegistry()
    with serving(waiter) as first, serving(waiter) as second:
        node = registry.publish("calc", first.address)
        with discovering(registry) as client:
            calc = client.service("calc")
            held = bee_core.future(calc.hold, 1)
            waiter.await_began()
            registry.publish("calc", second.address)
            registry.withdraw("calc", node.id)
            until = time.monotonic() + PATIENCE
            while client.futures.attempts:
                assert time.monotonic() < until
                time.sleep(0.001)
            bee_core.future(calc.release).result(PATIENCE)
            assert held.result(PATIENCE) == 1
            assert bee_core.future(calc.hold, 2).result(PATIENCE) == 2
            while first.listeners[0].connections:
                assert time.monotonic() < until, (
                    "the connection to the node that left is still open"
                )
                time.sleep(0.001)


# ── closing and forking ──


def test_no_thread_is_started_without_a_future(calc):
    calc.add(1, 2)
    assert threads() == []


def test_close_ends_futures_and_the_thread(waiting, waiter, clients, server):
    client = clients(server.address)
    with serving(waiter) as other:
        client = clients(other.address)
        started = [bee_core.future(client.service("calc").hold, number) for number in range(50)]
        waiter.await_began(50)
        sockets = open_sockets()
        began = time.monotonic()
        client.close()
        assert time.monotonic() - began < scaled(2)
        assert {
            (type(future.exception(0)), future.exception(0).executed) for future in started
        } == {(CallCancelled, "maybe")}
        for _ in started:
            assert waiter.cancelled.acquire(timeout=PATIENCE)
        assert threads() == []
        assert len(open_sockets()) < len(sockets)


def test_after_close_a_future_fails(client, calc):
    bee_core.future(calc.add, 1, 2).result(PATIENCE)
    client.close()
    error = bee_core.future(calc.add, 1, 2).exception(PATIENCE)
    assert (type(error), error.executed) == (CallCancelled, "no")
    assert threads() == []


def test_closing_while_threads_begin_futures_leaves_none_without_an_end(clients, server):
    for _ in range(5):
        client = clients(server.address)
        calc = client.service("calc")
        started = []
        stop = threading.Event()

        def begin(calc=calc, started=started, stop=stop):
            while not stop.is_set():
                batch = [bee_core.future(calc.add_here, 1, 2) for _ in range(10)]
                started.extend(batch)
                batch[0].exception(PATIENCE)

        workers = [threading.Thread(target=begin) for _ in range(3)]
        for worker in workers:
            worker.start()
        started_enough = time.monotonic() + PATIENCE
        while len(started) < 100 and time.monotonic() < started_enough:
            pass
        client.close()
        stop.set()
        for worker in workers:
            worker.join(PATIENCE)
        assert {type(future.exception(PATIENCE)) for future in started} <= {
            type(None),
            CallCancelled,
        }


def test_a_future_that_is_begun_while_the_client_closes_ends(client, calc, monkeypatch):
    calc.add(1, 2)
    futures_of_client = client.futures
    # The loop takes no more calls, as when it stops between two turns.
    monkeypatch.setattr(futures_of_client.plane, "call_soon", lambda _: True)
    first = bee_core.future(calc.add, 1, 2)
    start, inside, closed = futures_of_client.start, threading.Event(), threading.Event()

    def late(call):
        inside.set()
        assert closed.wait(PATIENCE)
        return start(call)

    monkeypatch.setattr(futures_of_client, "start", late)
    begun = []
    thread = threading.Thread(target=lambda: begun.append(bee_core.future(calc.add, 1, 2)))
    thread.start()
    assert inside.wait(PATIENCE)
    client.close()
    closed.set()
    thread.join(PATIENCE)
    for future in (first, *begun):
        error = future.exception(PATIENCE)
        assert isinstance(error, CallCancelled)
        assert error.executed == "no"
    assert len(begun) == 1


def test_closing_ends_the_futures_of_a_loop_that_is_blocked(clients, waiter, monkeypatch):
    gate, blocked = threading.Event(), threading.Event()

    def block():
        blocked.set()
        gate.wait(PATIENCE)

    with serving(waiter) as server:
        client = clients(server.address)
        future = bee_core.future(client.service("calc").hold, 1)
        waiter.await_began()
        plane = client.futures.plane
        plane.call_soon(block)
        assert blocked.wait(PATIENCE)
        with monkeypatch.context() as patch:
            patch.setattr(plane, "stop", lambda: False)  # as when its patience is over
            client.close()
        error = future.exception(0)
        gate.set()
        assert plane.stop()
    assert isinstance(error, CallCancelled)
    assert error.executed == "maybe"


def in_child(check):
    """Run a check in a forked child; fails with what it said."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            check()
            text = "ok"
        except BaseException as error:  # whatever it is, the parent wants to know
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    assert said == "ok"


def test_a_forked_child_has_futures_of_its_own_and_those_of_the_parent_end_there(waiting, waiter):
    held = bee_core.future(waiting.hold, 1)
    waiter.await_began()
    runs = waiter.runs

    def check():
        error = held.exception(PATIENCE)
        assert type(error) is CallCancelled, error
        assert not held.cancel()
        assert bee_core.future(waiting.with_options(oneway=True).hold, 2).result(PATIENCE) is None
        assert len(threads()) == 1

    in_child(check)
    waiter.await_began()
    assert waiter.runs == runs + 1
    assert not held.done()
    assert not waiter.cancelled.acquire(blocking=False)
    waiting.release()
    assert held.result(PATIENCE) == 1


def test_a_forked_child_lets_go_of_the_sockets_of_futures(client, calc):
    bee_core.future(calc.add, 1, 2).result(PATIENCE)
    (attempt,) = client.futures.attempts.values()
    descriptor = attempt.channel.connection.transport.get_extra_info("socket").fileno()
    socket = str(Path(f"/proc/self/fd/{descriptor}").readlink())
    assert socket in open_sockets()

    def check():
        assert socket not in open_sockets()

    in_child(check)
    assert bee_core.future(calc.add, 1, 2).result(PATIENCE) == 3


def test_a_forked_child_lets_go_of_the_socket_of_a_future_on_a_node_that_has_left(waiter):
    registry = MemoryRegistry()
    with serving(waiter) as first, serving(waiter) as second, discovering(registry) as client:
        node = registry.publish("calc", first.address)
        calc = client.service("calc")
        held = bee_core.future(calc.hold, 1)
        waiter.await_began()
        (attempt,) = client.futures.attempts.values()
        descriptor = attempt.channel.connection.transport.get_extra_info("socket").fileno()
        socket = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        del attempt
        registry.publish("calc", second.address)
        registry.withdraw("calc", node.id)
        until = time.monotonic() + PATIENCE
        while client.futures.attempts:
            assert time.monotonic() < until
            time.sleep(0.001)

        def check():
            assert socket not in open_sockets()

        in_child(check)
        bee_core.future(calc.release).result(PATIENCE)
        assert held.result(PATIENCE) == 1
