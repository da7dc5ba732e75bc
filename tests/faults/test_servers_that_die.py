"""Servers that are killed, frozen and restarted under their clients."""

from __future__ import annotations

import asyncio
import contextlib
import select
import signal
import threading

import pytest

import bee_core
from bee_core.errors import DeadlineExceeded, Unavailable
from bee_core.wire import frames
from faults.rawpeer import RawServer
from faults.users import client_config
from support.patience import PATIENCE
from support.ports import fixed_port

FAILFAST = {"fail": "failfast", "idempotent": False}


def test_a_server_killed_in_the_middle_of_a_call_leaves_open_whether_it_ran(processes, users):
    server = processes()
    call = users(server.url).start("hold", 7)
    server.expect("holding 7")
    server.kill()
    with pytest.raises(Unavailable, match="connection lost") as caught:
        call.result(PATIENCE)
    assert caught.value.executed == "maybe"
    assert caught.value.attempts == 1, "not idempotent: never sent again"


def test_an_idempotent_call_goes_on_at_another_node_when_its_server_is_killed(processes, users):
    first, second = processes(), processes()
    user = users(first.url, second.url, balancer="round-robin", fail="failover")
    call = user.start("hold", 7, options={"idempotent": True})
    struck, other = _who_holds(first, second)
    struck.kill()
    other.expect("holding 7")
    other.release()
    assert call.result(PATIENCE) == 7


def _who_holds(*servers):
    readable, _, _ = select.select([server.process.stdout for server in servers], [], [], PATIENCE)
    struck = next(server for server in servers if server.process.stdout in readable)
    struck.expect("holding")
    return struck, next(server for server in servers if server is not struck)


@pytest.mark.parametrize(
    ("bounds", "says"), [({"read_timeout": 0.3}, "read_timeout"), ({"timeout": 0.3}, "deadline")]
)
def test_a_frozen_server_costs_a_timeout_and_serves_again_when_it_goes_on(
    processes, users, bounds, says
):
    server = processes()
    user = users(server.url, **bounds, retries=0)
    assert user.call("echo", 1) == 1
    server.signal(signal.SIGSTOP)
    with pytest.raises(DeadlineExceeded, match=says) as caught:
        user.call("echo", 2)
    assert caught.value.executed == "maybe"
    server.signal(signal.SIGCONT)
    assert user.call("echo", 3, options={"timeout": 5, "read_timeout": 5}) == 3


def test_a_server_frozen_in_the_middle_of_a_call_costs_a_timeout(processes, users):
    server = processes()
    user = users(server.url, read_timeout=0.5)
    call = user.start("hold", 7)
    server.expect("holding 7")
    server.signal(signal.SIGSTOP)
    with pytest.raises(DeadlineExceeded) as caught:
        call.result(PATIENCE)
    assert caught.value.executed == "maybe"
    server.signal(signal.SIGCONT)
    server.release()
    assert user.call("echo", 3, options={"read_timeout": 5}) == 3


def test_an_idempotent_call_leaves_a_frozen_server_for_another(processes, users):
    first, second = processes(), processes()
    first.signal(signal.SIGSTOP)
    user = users(
        first.url,
        second.url,
        fail="failover",
        idempotent=True,
        read_timeout=0.2,
        balancer="round-robin",
    )
    for _ in range(2):
        assert user.call("pid") == second.process.pid


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_restarted_between_two_calls_costs_no_attempt(processes, users, death):
    server = processes(address=f"127.0.0.1:{fixed_port()}")
    user = users(server.url, **FAILFAST)
    before = user.call("pid")
    server.signal(death)
    server.process.wait(PATIENCE)
    server.restart()
    reply = user.detailed("pid")
    assert reply.value == server.process.pid != before
    assert reply.attempts == 1


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_restarted_while_the_clients_loop_was_busy_costs_no_attempt(processes, death):
    """The loop cannot see the end of the connection before the next request is written."""
    server = processes(address=f"127.0.0.1:{fixed_port()}")

    async def main():
        async with bee_core.build_async_client(client_config(server.url, **FAILFAST)) as client:
            calc = client.service("calc")
            await calc.pid()
            server.signal(death)
            server.process.wait(PATIENCE)
            server.restart()
            return await bee_core.detailed(calc.pid)

    reply = asyncio.run(main())
    assert reply.value == server.process.pid
    assert reply.attempts == 1


def test_many_pooled_connections_that_went_stale_cost_no_attempt(processes):
    server = processes(address=f"127.0.0.1:{fixed_port()}")
    with bee_core.build_client(client_config(server.url, **FAILFAST)) as client:
        calc = client.service("calc")
        holders = [threading.Thread(target=calc.hold, args=(n,)) for n in range(8)]
        for holder in holders:
            holder.start()
        for _ in holders:
            server.expect("holding")
        for _ in holders:
            server.release()
            server.expect("released")
        for holder in holders:
            holder.join(PATIENCE)
        server.kill()
        server.restart()
        for _ in range(3):
            assert bee_core.detailed(calc.pid).attempts == 1


def test_a_reply_that_comes_after_its_deadline_is_never_another_calls(users):
    """The server answers the first request only when the second is there, in the worst order."""
    late = []

    def answer(send, frame):
        if frame.body == b'["first"]':
            late.append((send, frame.id))
            return
        late_send, late_id = late[0]
        with_reply(late_send, late_id, b'"first"')
        with_reply(send, frame.id, b'"second"')

    def with_reply(send, id_, body):
        with contextlib.suppress(
            OSError
        ):  # the client has closed that connection, which is one way to be right
            send(frames.encode(frames.RESPONSE, id_, b"", body))

    with RawServer(answer) as server:
        user = users(server.url, fail="failfast")
        with pytest.raises(DeadlineExceeded):
            user.call("echo", "first", options={"timeout": 0.1})
        assert user.call("echo", "second") == "second"
        assert user.call("echo", "third") == "second", (
            "the raw server always says so; the connection is in step"
        )


def test_the_second_signal_ends_a_server_that_drains_at_once(processes, users):
    server = processes(drain_timeout=60)
    call = users(server.url).start("hang")
    server.expect("hanging")
    server.signal(signal.SIGTERM)
    server.expect("draining: 1")
    server.signal(signal.SIGINT)
    assert server.process.wait(PATIENCE) == 128 + signal.SIGINT
    assert isinstance(call.exception(PATIENCE), Unavailable)


def test_drain_timeout_passes_a_thread_that_hangs(processes, users):
    server = processes(drain_timeout=0.3)
    call = users(server.url).start("hang")
    server.expect("hanging")
    assert server.terminate() == 0
    with pytest.raises(bee_core.errors.CallError) as caught:
        call.result(PATIENCE)
    assert caught.value.executed == "maybe"


def test_many_threads_that_hang_do_not_prolong_the_end(processes, users):
    server = processes(drain_timeout=0.1)
    user = users(server.url)
    calls = [user.start("hang") for _ in range(32)]
    for _ in calls:
        server.expect("hanging")
    assert server.terminate(timeout=2.5) == 0
    for call in calls:
        assert call.exception(PATIENCE) is not None


def test_a_handler_that_hangs_the_loop_does_not_keep_the_process_from_leaving_at_the_second_signal(
    processes, users
):
    server = processes()
    call = users(server.url).start("hang_the_loop")
    server.expect("hanging the loop")
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGINT)
    assert server.process.wait(PATIENCE) >= 128
    assert call.exception(PATIENCE) is not None


def test_a_server_in_the_middle_of_output_that_nobody_reads_leaves_at_the_second_signal(
    processes, users
):
    server = processes()
    call = users(server.url).start("flood")
    server.await_full_output()
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGINT)
    assert server.process.wait(PATIENCE) >= 128
    assert call.exception(PATIENCE) is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_under_load_loses_no_accepted_call(processes, users, number):
    server, other = processes(), processes()
    user = users(server.url, other.url, fail="failover", retries=3)
    done = threading.Semaphore(0)
    stop = threading.Event()
    failures = []

    def load():
        while not stop.is_set():
            try:
                user.call("echo", "x")
            except Exception as error:
                failures.append(error)
                return
            done.release()

    threads = [threading.Thread(target=load) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        assert done.acquire(timeout=PATIENCE)
    server.signal(number)
    # Not for long: half of the calls meet the closed door first, and the retry budget is a fifth of
    # them.
    for _ in range(100):
        assert done.acquire(timeout=PATIENCE)
    stop.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert failures == []
    assert server.process.wait(PATIENCE) == 0


def test_a_large_request_to_a_frozen_server_costs_a_timeout_and_the_node_serves_again(
    processes, users
):
    """It may be more than the system's buffers take, so the write or the read times out."""
    server = processes()
    user = users(server.url, write_timeout=0.3, read_timeout=0.3, compress="none", retries=0)
    assert user.call("echo", 1) == 1
    server.signal(signal.SIGSTOP)
    with pytest.raises(DeadlineExceeded) as caught:
        user.call("echo", "a" * 1_900_000)
    assert caught.value.executed in {"no", "maybe"}
    server.signal(signal.SIGCONT)
    assert user.call("echo", 2, options={"read_timeout": 5, "write_timeout": 5}) == 2
