"""What a server's flight recorder keeps of its requests, for all kinds of handlers."""

from __future__ import annotations

import time

import pytest

import bee_core
from bee_core.errors import CallError, DeadlineExceeded, MethodNotFound, Overloaded
from faults.services import Calculator, serving
from faults.users import BlockingUser, client_config
from support.patience import PATIENCE, scaled

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def calculator():
    return Calculator()


@pytest.fixture
def world(calculator):
    with serving(calculator, max_in_flight=2) as server:
        user = BlockingUser(client_config(server.address, retries=0))
        yield server, user
        calculator.release.set()
        user.close()


def recent(server, want="last"):
    return server.recent.recorder.recent(want)


def until(condition):
    """Wait for what the loop does after it has sent an answer."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.002)
    return found


@pytest.mark.parametrize("method", ["add", "add_async", "add_here"])
def test_a_request_is_one_line_with_its_peer_and_its_trace(world, method):
    server, user = world
    assert user.call(method, 1, 2, options={"metadata": {"traceparent": PARENT}}) == 3
    (kept,) = until(lambda: recent(server))
    assert (kept.service, kept.method, kept.kind) == ("calc", method, "")
    assert kept.where.startswith("127.0.0.1:")
    assert 0 <= kept.ended - kept.began < PATIENCE
    assert kept.trace == PARENT[3:35]


def test_a_handler_that_raised_is_kept_with_its_exception(world):
    server, user = world
    for method in ("fail", "fail_async"):
        with pytest.raises(CallError):
            user.call(method, "no such order")
    first, second = until(lambda: len(recent(server, "failed")) == 2 and recent(server, "failed"))
    assert (first.kind, first.error_type, first.executed) == ("remote_error", "KeyError", "yes")
    assert (second.error_type, second.message) == ("LookupError", "no such order")


def test_a_request_whose_deadline_passed_is_kept_as_late(world, calculator):
    server, user = world
    with pytest.raises(DeadlineExceeded):
        user.call("hold_async", 1, options={"timeout": 0.1})
    (kept,) = until(lambda: recent(server, "failed"))
    # The caller's word that it gives up may come first.
    assert kept.kind in {"deadline_exceeded", "cancelled"}
    assert 0 < kept.ended - kept.began < scaled(5.0)


def test_refused_requests_are_kept_apart(world, calculator):
    server, user = world
    with pytest.raises(MethodNotFound):
        user.call("nothing")
    held = [user.start("hold", number) for number in range(2)]
    calculator.await_entered(2)
    with pytest.raises(Overloaded):
        user.call("add", 1, 2)
    kinds = [kept.kind for kept in until(lambda: recent(server, "failed"))]
    assert kinds == ["method_not_found", "overloaded"]
    calculator.release.set()
    assert [one.result() for one in held] == [0, 1]


def test_requests_that_run_are_told_with_their_age(world, calculator):
    server, user = world
    held = user.start("hold", 1)
    calculator.await_entered()
    (running,) = server.recent.answer({"want": "last"})["calls"]
    assert (running["state"], running["method"], running["error"]) == ("running", "hold", None)
    calculator.release.set()
    held.result()


def test_the_key_turns_it_off():
    config = {
        "bee": {
            "application": {"recorder": "false"},
            "rpc": {"server": {"name": "calc", "address": "127.0.0.1:0"}},
        }
    }
    server = bee_core.build_server(config)
    server.add(Calculator())
    with server.in_thread(), bee_core.build_client(client_config(server.address)) as client:
        assert client.service("calc").add(1, 2) == 3
        assert server.recent is None
