"""Oneway calls through both clients and real servers.

What runs, what is lost, and what is never done twice.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections import Counter
from typing import Protocol

import pytest

import bee_core
from bee_core.errors import (
    InvalidArgument,
    MessageTooLarge,
    ProtocolError,
    Unauthenticated,
    Unavailable,
)
from bee_core.wire import fields, frames, messages, requests
from faults.processes import ServingProcess
from faults.services import serving
from faults.test_drain import Stopping
from faults.users import AsyncUser, BlockingUser, FutureUser, client_config, make_user
from support.certificates import Authority, tls
from support.patience import PATIENCE
from support.ports import fixed_port

ONEWAY = {"oneway": True}


def await_runs(calculator, count):
    until = time.monotonic() + PATIENCE
    while calculator.runs < count:
        assert time.monotonic() < until, f"{calculator.runs} of {count} ran"
        time.sleep(0.001)


@pytest.fixture
def user(users, server):
    return users(server.address)


@pytest.mark.parametrize("method", ["add", "add_async", "add_here"])
def test_a_oneway_call_returns_none_and_runs_once(user, calculator, method):
    assert user.call(method, 1, 2, options=ONEWAY) is None
    await_runs(calculator, 1)
    assert user.call(method, 1, 2) == 3  # the connection is as before
    assert calculator.runs == 2


def test_the_caller_does_not_wait_for_the_handler(user, calculator):
    for method in ("hold", "hold_async"):
        assert user.call(method, 1, options=ONEWAY) is None
    calculator.await_entered(2)
    calculator.release.set()


def test_detailed_tells_node_and_attempts_of_a_oneway_call(user, server):
    reply = user.detailed("add", 1, 2, options=ONEWAY)
    assert (reply.value, reply.attempts, reply.degraded, reply.node.url) == (
        None,
        1,
        False,
        server.address,
    )


def test_the_configuration_makes_a_method_oneway(users, server, calculator):
    user = users(server.address, methods={"add": {"oneway": True}})
    assert user.call("add", 1, 2) is None
    await_runs(calculator, 1)
    assert user.call("add", 1, 2, options={"oneway": False}) == 3


class Adding(Protocol):
    @bee_core.oneway
    def add(self, a: int, b: int) -> None: ...


def test_a_mark_makes_a_method_oneway_and_its_arguments_are_checked(server, calculator):
    with bee_core.build_client(client_config(server.address)) as client:
        calc = client.service("calc", Adding)
        calc.add(1, 2)
        with pytest.raises(InvalidArgument):
            calc.add(1, "two")
    await_runs(calculator, 1)


def test_many_share_one_connection(kind, users, calculator):
    with serving(calculator, max_conn_size=1) as server:
        user = users(server.address)
        for _ in range(200):
            user.call("add_here", 1, 2, options=ONEWAY)
        assert user.call("add_here", 1, 2) == 3  # behind all of them, on the same connection
        assert calculator.runs == 201


def test_a_client_that_closes_at_once_has_sent_what_it_said(kind, server, calculator):
    for _ in range(20):
        user = make_user(kind, client_config(server.address))
        user.call("add", 1, 2, options=ONEWAY)
        user.close()
    await_runs(calculator, 20)


def test_a_handler_goes_on_when_its_client_has_left(kind, server, calculator):
    user = make_user(kind, client_config(server.address))
    user.call("hold_async", 1, options=ONEWAY)
    calculator.await_entered()
    user.close()
    with bee_core.build_client(client_config(server.address)) as client:
        assert (
            client.service("calc").add(1, 2) == 3
        )  # the loop has had the time to see the other connection's end
    assert not calculator.cancelled.acquire(blocking=False)
    calculator.release.set()


def logged(caplog):
    events = ("oneway_failed", "handler_failed")
    return [record for record in caplog.records if getattr(record, "bee_event", "") in events]


def await_logged(caplog, count=1):
    until = time.monotonic() + PATIENCE
    while len(logged(caplog)) < count:
        assert time.monotonic() < until, "nothing was logged"
        time.sleep(0.001)
    return logged(caplog)


@pytest.mark.parametrize("method", ["fail", "fail_async"])
def test_what_the_handler_raises_is_in_the_servers_log_with_its_traceback(user, method, caplog):
    assert user.call(method, "the disk is full", options=ONEWAY) is None
    (record,) = await_logged(caplog)
    assert record.levelno == logging.ERROR
    assert "the disk is full" in record.getMessage()
    assert "Traceback" in record.exc_text


def test_unknown_methods_and_bad_arguments_are_in_the_servers_log(user, caplog):
    user.call("no_such_method", options=ONEWAY)
    user.call("size", 5, options=ONEWAY)
    assert [record.bee_fields["kind"] for record in await_logged(caplog, 2)] == [
        "method_not_found",
        "invalid_argument",
    ]


def test_a_result_that_cannot_be_sent_is_thrown_away_and_no_failure(user, calculator, caplog):
    user.call("opaque", options=ONEWAY)
    user.call("letters", 3 << 20, options=ONEWAY)
    assert user.call("add", 1, 2) == 3
    await_runs(calculator, 2)
    assert logged(caplog) == []


def test_where_nobody_listens_a_oneway_call_is_unavailable_and_did_not_run(users):
    with pytest.raises(Unavailable) as caught:
        users(f"127.0.0.1:{fixed_port()}").call("add", 1, 2, options=ONEWAY)
    assert caught.value.executed == "no"


def test_another_node_gets_what_the_first_cannot(users, server, calculator):
    user = users(
        f"127.0.0.1:{fixed_port()}", server.address, balancer="round-robin", fail="failover"
    )
    for _ in range(4):
        user.call("add", 1, 2, options=ONEWAY)
    await_runs(calculator, 4)


def test_a_service_that_is_not_there_refuses_the_first_oneway_call(kind, server):
    user = make_user(kind, client_config(server.address, service="other"))
    try:
        with pytest.raises(ProtocolError, match="this is the service 'calc'") as caught:
            user.call("add", 1, 2, options=ONEWAY)
        assert caught.value.executed == "no"
    finally:
        user.close()


def test_a_wrong_token_is_told_with_the_first_oneway_call(users, calculator):
    with serving(calculator, tokens=["a secret of sixteen"]) as server:
        with pytest.raises(Unauthenticated) as caught:
            users(server.address, token="another one of sixteen").call("add", 1, 2, options=ONEWAY)
        assert caught.value.executed == "no"
        users(server.address, token="a secret of sixteen").call("add", 1, 2, options=ONEWAY)
        await_runs(calculator, 1)


@pytest.mark.parametrize("transport", ["unix", "tls"])
def test_the_other_transports_carry_oneway_calls_and_futures(
    users, calculator, tmp_path, transport
):
    served, called = {"address": f"unix://{tmp_path}/calc.sock"}, {}
    if transport == "tls":
        ca = Authority(tmp_path)
        served, called = (
            {"address": "tls://127.0.0.1:0", "transport": tls(ca.issue("server", "127.0.0.1"))},
            {"transport": tls(ca=ca.file)},
        )
    with serving(calculator, **served) as server:
        user = users(server.address, **called)
        for _ in range(20):
            user.call("add_here", 1, 2, options=ONEWAY)
        await_runs(calculator, 20)
        assert user.call("add", 1, 2) == 3
        with bee_core.build_client(client_config(server.address, **called)) as client:
            started = [
                bee_core.future(client.service("calc").add_async, number, 1)
                for number in range(100)
            ]
            assert [future.result(PATIENCE) for future in started] == list(range(1, 101))


def test_a_body_over_the_servers_limit_is_refused_before_it_is_sent(users, calculator):
    with serving(calculator, macher={"name": "json", "options": {"max_size": "1k"}}) as server:
        user = users(server.address, compress="none")
        with pytest.raises(MessageTooLarge):
            user.call("size", "x" * 2000, options=ONEWAY)
        user.call("size", "x", options=ONEWAY)
        await_runs(calculator, 1)


def test_a_server_that_is_full_drops_a_oneway_call_and_says_nothing(users, calculator, caplog):
    caplog.set_level(logging.DEBUG, "bee.server")
    with serving(calculator, max_in_flight=1) as server:
        user = users(server.address)
        user.call("hold", 1, options=ONEWAY)
        calculator.await_entered()
        assert user.call("add", 1, 2, options=ONEWAY) is None
        (record,) = await_logged(caplog)
        assert (record.levelno, record.bee_fields["kind"], record.bee_fields["executed"]) == (
            logging.DEBUG,
            "overloaded",
            "no",
        )
        assert calculator.runs == 1


def raw_call(address, block):
    """Hello, a request with these fields, and a ping; what the server says to it."""
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), PATIENCE) as sock:
        hello = frames.encode(frames.HELLO, 0, messages.Hello("calc", "json").encode())
        sock.sendall(
            hello
            + frames.encode(frames.REQUEST, 1, block, b"[1,2]")
            + frames.encode(frames.PING, 2)
        )
        decoder, heard = frames.FrameDecoder(1 << 20), []
        while not heard or heard[-1].kind != frames.PONG:
            heard += decoder.feed(sock.recv(1 << 16))
        return [frames.KIND_NAMES[frame.kind] for frame in heard]


def test_a_late_oneway_call_does_not_run_and_is_not_answered(server, calculator):
    block = requests.request_fields("add_here", oneway=True)
    assert raw_call(server.address, block + requests.time_left_field(0)) == ["hello-ack", "pong"]
    assert calculator.runs == 0
    assert raw_call(server.address, block + fields.number(fields.TIME_LEFT, 5000)) == [
        "hello-ack",
        "pong",
    ]
    assert calculator.runs == 1


def test_the_deadline_travels_with_a_oneway_call_and_ends_its_handler(user, calculator, caplog):
    user.call("hold_async", 1, options={"oneway": True, "timeout": 0.05})
    calculator.await_cancelled()
    (record,) = await_logged(caplog)
    assert (record.levelno, record.bee_fields["kind"]) == (logging.WARNING, "deadline_exceeded")


def test_a_drain_waits_for_oneway_calls_whose_clients_have_left(users, calculator):
    with Stopping(calculator) as server:
        user = users(server.url)
        for method in ("hold", "hold_async"):
            user.call(method, 1, options=ONEWAY)
        calculator.await_entered(2)
        user.close_client()
        stopping = server.begin_to_stop()
        assert server.server.in_flight == 2
        assert not stopping.done()
        calculator.release.set()
        stopping.result(PATIENCE)
    assert not calculator.cancelled.acquire(blocking=False)


def test_what_a_drain_cannot_wait_for_is_in_the_log(users, calculator, caplog):
    with Stopping(calculator, drain_timeout=0.05) as server:
        users(server.url).call("hold_async", 1, options=ONEWAY)
        calculator.await_entered()
    assert [record.bee_fields["kind"] for record in logged(caplog)] == ["cancelled"]


def runs(tmp_path):
    return Counter(
        line for path in tmp_path.glob("*.log") for line in path.read_text().splitlines()
    )


def ledger(tmp_path, *, seed, kills, writes):
    """How each oneway write ended and how often it ran, while a server is killed again and again.

    Both clients write, and futures do.
    """
    servers = [
        ServingProcess(log=tmp_path / f"{number}.log", address=f"127.0.0.1:{fixed_port()}")
        for number in range(2)
    ]
    config = client_config(
        *[server.url for server in servers], fail="failover", retries=4, idempotent=True
    )
    users = [BlockingUser(config), AsyncUser(config), FutureUser(config)]
    outcomes = {}
    progress = threading.Condition()
    stop = threading.Event()

    def write(user, name):
        number = 0
        while not stop.is_set():
            key = f"{name}-{number}"
            number += 1
            try:
                outcome = user.call(
                    ("write", "write_async", "write_here")[number % 3], key, options=ONEWAY
                )
            except bee_core.errors.CallError as error:
                outcome = error
            with progress:
                outcomes[key] = outcome
                progress.notify_all()

    def await_more(count):
        with progress:
            goal = len(outcomes) + count
            assert progress.wait_for(lambda: len(outcomes) >= goal, PATIENCE), (
                "the writers stand still"
            )

    threads = [
        threading.Thread(target=write, args=(user, f"{type(user).__name__}{number}"))
        for user in users
        for number in range(2)
    ]
    rng = random.Random(seed)
    try:
        for thread in threads:
            thread.start()
        for _ in range(kills):
            await_more(rng.randrange(20, 300))
            victim = rng.choice(servers)
            victim.kill()
            await_more(rng.randrange(20, 100))
            victim.restart()
        await_more(max(0, writes - len(outcomes)))
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
        for user in users:
            user.close()
    until = time.monotonic() + (0 if kills else PATIENCE)
    while (ran := runs(tmp_path)).total() < len(outcomes) and time.monotonic() < until:
        time.sleep(0.01)
    for server in servers:
        server.kill()
    return outcomes, runs(tmp_path) if kills else ran


def kill_again_and_again(tmp_path, *, seed, kills, writes):
    outcomes, ran = ledger(tmp_path, seed=seed, kills=kills, writes=writes)
    assert [key for key, times in ran.items() if times > 1] == [], "ran twice"
    assert set(ran) <= set(outcomes), "ran without having been asked for"
    errors = {key: outcome for key, outcome in outcomes.items() if outcome is not None}
    assert [
        error
        for error in errors.values()
        if not isinstance(error, bee_core.errors.CallError) or error.executed != "no"
    ] == []
    assert [key for key in errors if key in ran] == [], "said not to have been sent, and ran"


def test_no_oneway_write_runs_twice_while_servers_are_killed(tmp_path):
    kill_again_and_again(tmp_path, seed=7, kills=3, writes=1000)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_oneway_write_runs_twice_over_many_kills(tmp_path):
    kill_again_and_again(tmp_path, seed=9, kills=60, writes=50_000)


def test_every_oneway_write_runs_where_no_server_dies(tmp_path):
    outcomes, ran = ledger(tmp_path, seed=8, kills=0, writes=1000)
    assert set(outcomes.values()) == {None}
    assert ran == Counter(dict.fromkeys(outcomes, 1))
