"""Handlers that raise, hang, are cancelled or want to leave the process."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time

import pytest

import bee_core
from bee_core.errors import DeadlineExceeded, RemoteError
from bee_core.wire import frames
from cluster.servers import when
from faults.rawpeer import RawClient, hello, request
from faults.services import serving
from faults.users import client_config
from support.patience import PATIENCE


@pytest.mark.parametrize(("method", "type_"), [("fail", "KeyError"), ("fail_async", "LookupError")])
def test_a_handler_that_raises_is_a_remote_error_with_type_and_message(
    server, users, calculator, method, type_
):
    with pytest.raises(RemoteError) as caught:
        users(server.address).call(method, "no such row")
    error = caught.value
    assert error.type == type_
    assert "no such row" in error.message
    assert error.executed == "yes"
    assert error.attempts == 1
    assert error.traceback is None


def test_an_error_of_the_application_is_never_retried(server, users, calculator):
    with pytest.raises(RemoteError):
        users(server.address, idempotent=True, retries=3).call("fail", "x")
    assert calculator.runs == 1


def test_a_traceback_travels_only_where_the_server_is_told_to_send_it(users, calculator):
    with serving(calculator, send_tracebacks=True) as server, pytest.raises(RemoteError) as caught:
        users(server.address).call("fail", "x")
    assert "raise KeyError(message)" in caught.value.traceback


@pytest.mark.parametrize(
    ("method", "type_"),
    [
        ("raise_cancelled", "CancelledError"),
        ("leave", "SystemExit"),
        ("leave_async", "SystemExit"),
        ("leave_here", "SystemExit"),
    ],
)
def test_a_handler_that_raises_cancelled_error_or_exits_is_answered_and_the_server_goes_on(
    server, users, method, type_
):
    user = users(server.address)
    with pytest.raises(RemoteError) as caught:
        user.call(method)
    assert caught.value.type == type_
    assert caught.value.executed == "yes"
    assert user.call("add", 1, 2) == 3
    assert server.in_flight == 0


@pytest.mark.parametrize("method", ["hold_async", "watch_cancelled"])
def test_the_deadline_cancels_a_handler_that_hangs(server, users, calculator, method):
    arguments = (1,) if method == "hold_async" else ()
    with pytest.raises(DeadlineExceeded) as caught:
        users(server.address, timeout=0.3).call(method, *arguments)
    assert caught.value.executed == "maybe"
    assert isinstance(caught.value, TimeoutError)
    calculator.await_cancelled()


def test_a_handler_that_sees_its_deadline_first_has_not_failed():
    class Spinning:
        @bee_core.nonblocking  # the loop cannot look meanwhile
        def spin(self) -> None:
            call = bee_core.current_call()
            while call.time_left:
                pass
            call.raise_if_cancelled()

    with serving(Spinning()) as server, RawClient(server.address) as peer:
        peer.send(hello(), request(1, "spin", b"[]", time_left=0.05))
        failure = peer.failure()
        assert (failure.kind, failure.executed) == ("deadline_exceeded", "maybe")


@pytest.mark.parametrize("method", ["hold_async", "watch_cancelled"])
def test_a_read_timeout_cancels_the_handler_long_before_the_deadline(
    server, users, calculator, method
):
    arguments = (1,) if method == "hold_async" else ()
    with pytest.raises(DeadlineExceeded, match="read_timeout") as caught:
        users(server.address, timeout=20, read_timeout=0.2).call(method, *arguments)
    assert caught.value.executed == "maybe"
    assert caught.value.attempts == 1, "not idempotent"
    calculator.await_cancelled()


@pytest.mark.parametrize("method", ["hold_async", "watch_cancelled"])
def test_a_caller_that_vanishes_cancels_its_handlers(server, calculator, method):
    with RawClient(server.address) as peer:
        peer.send(hello(), request(1, method, b"[1]" if method == "hold_async" else b"[]"))
        calculator.await_entered()
    calculator.await_cancelled()


def test_a_request_and_its_cancel_in_one_segment_leave_nothing_in_flight(calculator):
    """The handler's task is cancelled, before or after its first step, and is counted out."""
    with serving(calculator, max_in_flight=1) as server, RawClient(server.address) as peer:
        peer.send(hello(), request(1, "hold_async", b"[1]"), frames.encode(frames.CANCEL, 1))
        peer.send(frames.encode(frames.PING, 2))
        peer.expect(frames.PONG)
        peer.send(request(3, "add_async", b"[1,2]"))
        assert peer.expect(frames.RESPONSE).body == b"3"
        # From 3.12 on the first step comes before the cancel is looked at.
        assert calculator.runs == (2 if sys.version_info >= (3, 12) else 1)


def test_a_request_that_is_late_when_it_arrives_does_not_run(server, calculator):
    with RawClient(server.address) as peer:
        peer.send(hello(), request(1, "add", b"[1,2]", time_left=0.0))
        failure = peer.failure()
    assert failure.kind == "deadline_exceeded"
    assert failure.executed == "no"
    assert calculator.runs == 0


def test_a_request_whose_deadline_passes_while_it_waits_for_a_thread_does_not_run(
    calculator, users
):
    with serving(calculator, max_pool_size=1) as server:
        user = users(server.address)
        holding = user.start("hold", 7)
        calculator.await_entered()
        with pytest.raises(DeadlineExceeded):
            user.call("add", 1, 2, options={"timeout": 0.2})
        when(
            lambda: any(
                running.call.cancelled for running in tuple(server.endpoint.flight.watched)
            ),
            "the server has not heard that nobody waits for it",
        )
        calculator.release.set()
        assert holding.result() == 7
        assert user.call("add", 1, 2) == 3
    assert calculator.runs == 2, "the holding one and the last one"


def test_cancelling_the_task_of_a_call_cancels_its_handler(server, calculator):
    async def main():
        async with bee_core.build_async_client(client_config(server.address)) as client:
            task = asyncio.create_task(client.service("calc").hold_async(1))
            await asyncio.to_thread(calculator.await_entered)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(calculator.await_cancelled)
            return await client.service("calc").add(1, 2)

    assert asyncio.run(main()) == 3


def test_an_interrupt_of_a_blocking_call_cancels_its_handler_and_the_client_goes_on(
    server, calculator
):
    def interrupt():
        calculator.await_entered()
        # The handler can be quicker than the caller, which has then not yet begun to wait.
        until = time.monotonic() + PATIENCE
        while (
            sys._current_frames()[threading.main_thread().ident].f_code.co_name != "_receive"  # noqa: SLF001  # no public name has it
            and time.monotonic() < until
        ):
            pass
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    class InterruptedByTestError(Exception):
        pass

    def raise_(*_):
        raise InterruptedByTestError

    before = signal.signal(signal.SIGUSR1, raise_)
    thread = threading.Thread(target=interrupt)
    try:
        with bee_core.build_client(client_config(server.address)) as client:
            thread.start()
            with pytest.raises(InterruptedByTestError):
                client.service("calc").hold_async(1)
            calculator.await_cancelled()
            assert client.service("calc").add(1, 2) == 3
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
