"""The Java client and server of ``examples/interop/java`` against the vectors and against bee."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import threading
import time
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from decimal import Decimal

import pytest

import bee_core
from bee_core.errors import (
    CallCancelled,
    DeadlineExceeded,
    InvalidArgument,
    MessageTooLarge,
    MethodNotFound,
    Overloaded,
    ProtocolError,
    RemoteError,
    Unavailable,
)
from bee_core.wire import frames
from bee_core.wire.messages import parse_error
from faults.rawpeer import RawClient, hello, request, send_mutated_frames
from faults.services import Calculator, serving
from faults.users import BOTH, client_config, make_user
from interop.client_suite import LARGE, ForeignClientSuite, bomb
from interop.foreign import EXAMPLES, SHORT_LIVED, ForeignServer
from support import processes
from support.conversations import MAX_BODY, MAX_INFLATED, hold_all
from support.patience import PATIENCE
from support.wire_vectors import FOLDER, load

JAVA = EXAMPLES / "java"
IN_FLIGHT = 30
READ_TIMEOUT = 0.5


def run(*command, **variables):
    return processes.run(command, cwd=JAVA, env={**os.environ, **variables})


def test_it_replays_the_vectors(java_command):
    done = run(*java_command, "Bee", "vectors", str(FOLDER))
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.fullmatch(r"(\d+) of (\d+) checks passed\n", done.stdout)
    assert passed is not None
    assert passed[1] == passed[2] != "0"


def test_the_first_call_of_its_readme_as_it_is_written(java, server):
    """From the source, as the README says; the other tests use the compiled classes."""
    command = re.search(
        r"^java (Bee\.java call .*)$", (JAVA / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert command is not None
    done = run(
        "bash",
        "-c",
        f"'{java}' {command[1].replace('127.0.0.1:9000', server.address.removeprefix('tcp://'))}",
        JDK_JAVA_OPTIONS=" ".join(SHORT_LIVED),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "42\n"


def test_a_call_that_fails_ends_with_1_and_says_whether_it_ran(java_command, server):
    done = run(
        *java_command,
        "Bee",
        "call",
        server.address.removeprefix("tcp://"),
        "calc",
        "fail",
        '["boom"]',
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "remote_error (KeyError): 'boom' [executed: yes]\n"


class TestJavaClient(ForeignClientSuite):
    @pytest.fixture
    def foreign(self, java_client):
        return java_client


# ── the server ──


@pytest.fixture
def java_servers(java_command):
    """Starts Java servers: ``java_servers("--option", "value", …)``."""
    made = []

    def start(*options):
        made.append(ForeignServer([*java_command, "Bee", "serve", "--port", "0", *options]))
        return made[-1]

    yield start
    for server in made:
        server.kill()


@pytest.fixture(scope="module")
def java_server(java_command):
    """One server for all tests that leave it as it was."""
    bounds = [
        "--max-in-flight",
        str(IN_FLIGHT),
        "--read-timeout",
        str(int(READ_TIMEOUT * 1000)),
        "--write-timeout",
        "500",
        "--max-inflated",
        str(8 << 20),
    ]
    server = ForeignServer([*java_command, "Bee", "serve", "--port", "0", *bounds])
    yield server
    server.kill()


@pytest.fixture(params=BOTH)
def users(request):
    """Makes bee clients: ``users(*urls, **settings)``."""
    made = []

    def make(*urls, **settings):
        made.append(make_user(request.param, client_config(*urls, **settings)))
        return made[-1]

    yield make
    for user in made:
        user.close()


@pytest.fixture
def user(users, java_server):
    return users(java_server.url, compress="gzip", retries=0)


def wait_until(user, method, count):
    """Until one of the counters of the Java server says so.

    As long as the server is full it says nothing.
    """
    until = time.monotonic() + PATIENCE
    said = None
    while said != count:
        assert time.monotonic() < until, f"{method} is {said}, not {count}"
        with contextlib.suppress(Overloaded):
            said = user.call(method)


def test_the_java_server_holds_every_conversation(java_servers):
    server = java_servers("--max-body", str(MAX_BODY), "--max-inflated", str(MAX_INFLATED))
    hold_all(server.url, load("server_conversations"), server.terminate)


@pytest.mark.parametrize(
    "value",
    [
        0,
        2**53 + 1,
        -(2**63),
        1.5,
        1e300,
        'a"b\\c\n\u0001',
        "Größe 心 🐝",
        None,
        True,
        [],
        {"a": [1, {"b": None}]},
    ],
    ids=repr,
)
def test_values_come_back_as_they_were_sent(user, value):
    assert user.call("echo", value) == value


@pytest.mark.parametrize(
    "text",
    [
        "1.10",
        "123456789.123456789012345678901234567890",
        "1e400",
        "-0.1",
        "12345678901234567890",
        "-0",
        "1E+2",
    ],
)
def test_no_digit_is_lost(java_server, text):
    """Java takes what a double cannot hold as BigInteger or BigDecimal; it goes back as it came."""
    with RawClient(java_server.url) as peer:
        peer.send(hello(), request(1, "echo", f"[{text}]".encode()))
        assert Decimal(peer.expect(frames.RESPONSE).body.decode()) == Decimal(text)


def test_arguments_of_each_form(user):
    assert user.call("add", 1, 2) == 3
    assert user.call("add", a=1, b=2) == 3
    assert user.call("add", 1, b=2) == 3
    assert user.call("add", 10**30, 1) == 10**30 + 1


def test_metadata_and_the_time_left_reach_the_handler(user):
    assert user.call("metadata", options={"metadata": {"tenant": "größe"}}) == {"tenant": "größe"}
    assert 3 < user.call("timeLeft", options={"timeout": 5, "read_timeout": 5}) <= 5


def test_errors_arrive_as_what_they_are(user):
    with pytest.raises(RemoteError, match="boom") as raised:
        user.call("fail", "boom")
    assert (raised.value.type, raised.value.executed) == ("IllegalStateException", "yes")
    with pytest.raises(MethodNotFound) as missing:
        user.call("ad", 1, 2)
    assert missing.value.executed == "no"
    with pytest.raises(InvalidArgument) as misfit:
        user.call("add", 1, "two")
    assert (misfit.value.path, misfit.value.executed) == ("$.b", "no")
    with pytest.raises(InvalidArgument):
        user.call("add", 1)
    with pytest.raises(InvalidArgument):
        user.call("add", 1, 2, c=3)


def test_another_service_is_refused(users, java_server):
    with pytest.raises(ProtocolError, match="this is the service 'calc', not 'shop'") as caught:
        users(java_server.url, service="shop", retries=0).call("add", 1, 2)
    assert caught.value.executed == "no"


def test_a_compressor_that_is_not_there_is_refused(java_server):
    with RawClient(java_server.url) as peer:
        peer.send(hello(compressor="snow"), request(1, "add", b"[1,2]"))
        goaway = peer.goaway()
        assert (goaway.kind, goaway.last_id) == ("protocol_error", 0)
        assert "'snow'" in goaway.message
        assert peer.closed_within(5)


def test_large_bodies_are_compressed_both_ways(user):
    assert user.call("size", "a" * LARGE) == LARGE
    assert len(user.call("letters", LARGE)) == LARGE


def test_a_result_that_is_too_large_has_run(users, java_server):
    with pytest.raises(MessageTooLarge) as caught:
        users(java_server.url, compress=None).call("letters", LARGE)
    assert caught.value.executed == "yes"


def test_a_deadline_ends_the_handler(user):
    before = user.call("cancelled")
    with pytest.raises(DeadlineExceeded):
        user.call("slow", 30.0, options={"timeout": 0.2})
    wait_until(user, "cancelled", before + 1)
    assert user.call("add", 1, 2) == 3


def test_a_call_that_is_given_up_is_cancelled(users, java_server):
    leaving, staying = users(java_server.url, timeout=60, read_timeout=60), users(java_server.url)
    before = staying.call("cancelled")
    held = leaving.start("hold")
    wait_until(staying, "holding", 1)
    leaving.close_client()
    with pytest.raises((CallCancelled, CancelledError)):
        held.result(PATIENCE)
    wait_until(staying, "cancelled", before + 1)
    wait_until(staying, "holding", 0)


def test_many_calls_at_a_time(users, java_server):
    user = users(java_server.url)
    slow = [user.start("slow", 0.05) for _ in range(20)]
    assert [user.call("add", number, 1) for number in range(50)] == [
        number + 1 for number in range(50)
    ]
    assert [answer.result(PATIENCE) for answer in slow] == [0.05] * 20


def test_a_server_that_is_full_says_so_before_any_work(users, java_server):
    user = users(java_server.url, timeout=60, read_timeout=60, retries=0, breaker=None)
    wait_until(user, "holding", 0)
    held = [user.start("hold") for _ in range(IN_FLIGHT + 5)]
    until = time.monotonic() + PATIENCE
    while len(refused := [answer for answer in held if answer.done()]) < 5:
        assert time.monotonic() < until, refused
        wait(set(held) - set(refused), PATIENCE, FIRST_COMPLETED)
    for answer in refused:
        error = answer.exception()
        assert isinstance(error, Overloaded)
        assert error.executed == "no"
    user.close_client()
    for answer in set(held) - set(refused):
        with pytest.raises((CallCancelled, CancelledError, Overloaded)):
            answer.result(PATIENCE)
    wait_until(users(java_server.url), "holding", 0)


def test_explain_asks_the_java_server_how_it_is(java_server):
    config = client_config(java_server.url)
    with bee_core.build_client(config) as client:
        (node,) = client.explain("calc", ask=True).nodes
        assert node.health == "serving"

    async def ask():
        async with bee_core.build_async_client(config) as client:
            return (await client.explain("calc", ask=True)).nodes[0].health

    assert asyncio.run(ask()) == "serving"


def test_an_error_that_the_java_server_means_reaches_the_caller(users, java_server):
    with pytest.raises(RemoteError) as caught:
        users(java_server.url).call("meant", "OUT_OF_STOCK")
    error = caught.value
    assert (error.type, error.code, error.executed) == ("ServiceError", "OUT_OF_STOCK", "yes")
    assert error.details == {"sku": 7, "größe": [1.5, "é"]}
    assert (error.retry_after, error.message) == (1.5, "as was asked")


# Peers that do not keep to the rules.


def refused_and_answered(peer):
    """Request 1 gets an error, which is returned, and request 2 its answer.

    Each has a thread, so either may come first.
    """
    peer.expect(frames.HELLO_ACK)
    error, response = sorted((peer.next(), peer.next()), key=lambda frame: frame.id)
    assert (response.kind, response.id, response.body) == (frames.RESPONSE, 2, b"3")
    failure = parse_error(error.fields)
    return failure.kind, failure.executed


def test_half_a_frame_and_then_silence_is_cut_off(java_server):
    with RawClient(java_server.url) as peer, RawClient(java_server.url) as idle:
        idle.send(hello())
        idle.expect(frames.HELLO_ACK)
        peer.send(hello(), request(1, "add", b"[1,2]")[:20])
        goaway = peer.goaway()
        assert (goaway.kind, goaway.last_id) == ("protocol_error", 0)
        assert "a frame was not complete within 500 ms" in goaway.message
        assert peer.closed_within(5)
        idle.send(request(1, "add", b"[1,2]"))  # idle for as long, and in its right
        assert idle.expect(frames.RESPONSE).body == b"3"


def test_a_connection_without_a_hello_is_cut_off(java_server):
    with RawClient(java_server.url) as peer:
        assert "a hello was not complete" in peer.goaway().message
        assert peer.closed_within(5)


def test_a_client_that_does_not_read_is_cut_off(java_server, user):
    with RawClient(java_server.url) as peer:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.send(hello())
        peer.sock.settimeout(10)
        body = b"[100000" + b" " * 100_000 + b"]"  # so that what is sent cannot all lie in buffers
        many = b"".join(request(number, "letters", body) for number in range(1, 1000))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            peer.send(many)
    wait_until(user, "holding", 0)  # what it had asked for takes a moment to be over
    assert user.call("add", 1, 2) == 3


def test_mutated_frames_never_stop_the_server(java_server, user):
    send_mutated_frames(java_server.url)
    assert user.call("add", 1, 2) == 3


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1,2",
        b"[1,2]]",
        b"[01,2]",
        b"[1.,2]",
        b"[+1,2]",
        b"[NaN,1]",
        b"['1',2]",
        b'["\n",1]',
        b'["\\x",1]',
        b"[1,,2]",
        b"\xff\xfe",
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_arguments_that_are_not_json_are_refused_and_the_connection_goes_on(java_server, body):
    with RawClient(java_server.url) as peer:
        peer.send(hello(), request(1, "echo", body), request(2, "add", b"[1,2]"))
        assert refused_and_answered(peer) == ("invalid_argument", "no")


def test_numbers_that_cost_too_much_are_refused(java_server):
    with RawClient(java_server.url) as peer:
        for number, body in enumerate((b"[" + b"9" * 100_000 + b"]", b"[1e99999999999]"), 1):
            peer.send(*([hello()] if number == 1 else []), request(number, "echo", body))
            assert peer.failure().kind == "invalid_argument"


def test_a_bomb_is_refused_and_the_connection_goes_on(java_server):
    body = bomb(64 << 20)
    with RawClient(java_server.url) as peer:
        peer.send(
            hello(), request(1, "echo", body, flags=frames.COMPRESSED), request(2, "add", b"[1,2]")
        )
        assert refused_and_answered(peer) == ("message_too_large", "no")


# Servers that leave.


def test_a_drain_under_load_fails_no_idempotent_call_and_python_takes_over(users, java_servers):
    leaving = java_servers("--name", "leaving")
    with serving(Calculator()) as staying:
        user = users(
            leaving.url,
            staying.address,
            fail="failover",
            retries=3,
            methods={"add": {"idempotent": True}},
        )
        stop = threading.Event()
        warm = threading.Semaphore(0)
        failed, done = [], []

        def load():
            while not stop.is_set():
                try:
                    assert user.call("add", len(done), 1) > 0
                    done.append(1)
                    warm.release()
                except Exception as error:  # noqa: PERF203  # whatever it is, it is counted
                    failed.append(error)

        callers = [threading.Thread(target=load) for _ in range(8)]
        for caller in callers:
            caller.start()
        for _ in range(400):
            assert warm.acquire(timeout=PATIENCE)
        leaving.terminate()
        leaving.expect("draining")
        leaving.expect("gone")
        leaving.process.wait(PATIENCE)
        before = len(done)
        while len(done) < before + 200 and not failed:
            assert warm.acquire(timeout=PATIENCE)
        stop.set()
        for caller in callers:
            caller.join(PATIENCE)
        assert failed == []


def test_a_call_in_flight_is_answered_by_a_server_that_drains(users, java_servers):
    leaving = java_servers()
    user = users(leaving.url, retries=0, breaker=None)
    slow = user.start("slow", 0.6)
    other = users(leaving.url, retries=0)
    assert other.call("add", 1, 2) == 3
    with RawClient(leaving.url) as peer:
        peer.send(hello(), request(1, "slow", b"[0.6]"))
        peer.expect(frames.HELLO_ACK)
        leaving.terminate()
        assert peer.goaway().last_id == 1
        peer.send(request(2, "add", b"[1,2]"), frames.encode(frames.PING, 3))
        pong = peer.expect(frames.PONG)
        assert pong.fields == b"\x31\x00\x01\x01"
        assert peer.expect(frames.RESPONSE).body == b"0.6"
        assert peer.next() is None
    assert slow.result(PATIENCE) == 0.6


def test_failover_between_java_and_python_when_java_is_killed(users, java_servers):
    doomed = java_servers("--name", "java")
    with serving(Calculator()) as staying:
        user = users(
            doomed.url,
            staying.address,
            fail="failover",
            retries=2,
            methods={"add": {"idempotent": True}},
        )
        assert {user.detailed("add", number, 1).node.url for number in range(10)} == {
            doomed.url,
            staying.address,
        }
        held = users(doomed.url, retries=0).start("hold")
        wait_until(users(doomed.url), "holding", 1)
        doomed.kill()
        with pytest.raises(Unavailable) as lost:
            held.result(PATIENCE)
        assert lost.value.executed == "maybe"
        assert [user.call("add", number, 1) for number in range(20)] == [
            number + 1 for number in range(20)
        ]
