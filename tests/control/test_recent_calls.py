"""A client and a server are asked for their last calls through their sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import time

import pytest

import bee_core
from bee_core.cli.recent_processes import ask_all
from bee_core.contracts.flight_recorder import FlightRecorder
from bee_core.control.recent_calls import RecentCalls
from bee_core.control.recent_folder import sockets
from faults.services import Calculator, serving
from faults.users import BOTH, client_config, make_user
from support.patience import PATIENCE

LAST = {"want": "last", "limit": 50}


@pytest.fixture
def folder(tmp_path_factory, recent_folder, monkeypatch):
    """One for this test; its path is short."""
    own = recent_folder / tmp_path_factory.mktemp("r").name
    own.mkdir(mode=0o700)
    monkeypatch.setenv("BEE_RECENT_DIR", str(own))
    return own


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.005)
    return found


def recorder_of(user):
    return user.client.assembly.recorder


def test_a_server_answers_as_long_as_it_serves(folder):
    with serving(Calculator()) as server:
        with bee_core.build_client(client_config(server.address)) as client:
            client.service("calc").add(1, 2)
        until(server.recent.recorder.recent)
        (answer,) = ask_all(folder, LAST)
        assert (answer["pid"], answer["side"], answer["name"]) == (os.getpid(), "server", "calc")
        (call,) = answer["calls"]
        assert (call["method"], call["side"], call["state"]) == ("add", "request", "ok")
        assert abs(call["began"] - time.time()) < PATIENCE
        number = int(call["id"].partition("-")[2], 36)
        assert ask_all(folder, {"number": number})[0]["calls"][0]["id"] == call["id"]
        assert ask_all(folder, {"number": number + 10_000})[0]["calls"] == []
        assert ask_all(folder, LAST, pid=os.getpid() + 1) == []
    assert sockets(folder) == []


def test_a_client_that_is_closed_while_its_socket_is_opened_leaves_none(folder):
    async def close_meanwhile():
        recent = RecentCalls(FlightRecorder(time.monotonic), "client", "shop")
        serving_it = asyncio.create_task(recent.serve())
        await asyncio.sleep(0)  # its first step: the socket is bound
        assert len(sockets(folder)) == 1
        serving_it.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving_it

    asyncio.run(close_meanwhile())
    assert sockets(folder) == []


@pytest.mark.parametrize("kind", BOTH)
def test_a_client_answers_after_its_first_second_until_it_is_closed(folder, kind):
    user = make_user(kind, client_config("127.0.0.1:1", retries=0))
    try:
        with pytest.raises(bee_core.errors.Unavailable):
            user.call("add", 1, 2)
        assert sockets(folder) == [], "a program that ends at once opens no socket"
        recorder_of(user).listen_at = 0.0  # the second is over
        with pytest.raises(bee_core.errors.Unavailable):
            user.call("add", 1, 2)
        until(lambda: sockets(folder))
        (answer,) = ask_all(folder, {"want": "failed", "limit": 50})
        assert [call["error"]["kind"] for call in answer["calls"]] == ["unavailable"] * 2
        (step,) = answer["calls"][0]["steps"]
        assert step["decision"] == "give up: retries (0) are used up"
    finally:
        user.close()
    assert sockets(folder) == []


def test_a_limit_and_a_service_narrow_the_answer(folder):
    with serving(Calculator()) as server:
        with bee_core.build_client(client_config(server.address)) as client:
            for number in range(5):
                client.service("calc").add(number, 1)
        until(lambda: len(server.recent.recorder.recent()) == 5)
        (answer,) = ask_all(folder, {"want": "last", "limit": 2})
        assert len(answer["calls"]) == 2
        (answer,) = ask_all(folder, LAST | {"service": "other"})
        assert answer["calls"] == []


def test_a_folder_with_a_long_path_will_do(tmp_path, monkeypatch):
    folder = tmp_path / ("long" * 30)
    monkeypatch.setenv("BEE_RECENT_DIR", str(folder))
    with serving(Calculator()):
        assert len(ask_all(folder, LAST)) == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "question", [b"\n", b"[]\n", b"not json\n", b'{"limit": "many"}\n', b"x" * 10_000 + b"\n", b""]
)
def test_a_question_that_is_none_gets_no_answer_and_harms_nothing(folder, question):
    with serving(Calculator()):
        (path,) = sockets(folder)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(path))
            sock.sendall(question)
            sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):  # it left bytes unread
                assert sock.recv(100) == b""
        assert len(ask_all(folder, LAST)) == 1


def test_those_that_ask_and_say_nothing_shut_nobody_out_for_long(folder):
    with serving(Calculator()):
        (path,) = sockets(folder)
        silent = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        try:
            for sock in silent:
                sock.connect(str(path))
            for sock in silent:
                sock.settimeout(PATIENCE)
                assert sock.recv(1) == b""  # its time is over
            assert len(ask_all(folder, LAST)) == 1
        finally:
            for sock in silent:
                sock.close()


def test_a_folder_that_cannot_be_used_costs_the_server_nothing(folder, caplog):
    caplog.set_level("INFO", "bee.recent")
    folder.chmod(0o755)
    with (
        serving(Calculator()) as server,
        bee_core.build_client(client_config(server.address)) as client,
    ):
        assert client.service("calc").add(1, 2) == 3
    assert "chmod 700" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_has_calls_and_a_socket_of_its_own(folder):
    with (
        serving(Calculator()) as server,
        bee_core.build_client(client_config(server.address)) as client,
    ):
        calc = client.service("calc")
        client.assembly.recorder.listen_at = 0.0
        calc.add(1, 2)
        until(lambda: len(sockets(folder)) == 2)
        told, tell = os.pipe()
        go_on, release = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                client.assembly.recorder.listen_at = 0.0
                calc.add(3, 4)
                until(
                    lambda: any(path.name.startswith(f"{os.getpid()}-") for path in sockets(folder))
                )
                os.write(tell, b"1")
                os.read(go_on, 1)
            finally:
                os._exit(0)
        try:
            assert os.read(told, 1) == b"1"
            (answer,) = ask_all(folder, LAST, pid=child)
            assert [call["method"] for call in answer["calls"]] == ["add"]
            assert answer["side"] == "client"
            assert len(ask_all(folder, LAST, pid=os.getpid())) == 2
        finally:
            os.write(release, b"1")
            os.waitpid(child, 0)
            for end in (told, tell, go_on, release):
                os.close(end)
    assert [path for path in sockets(folder) if path.name.startswith(f"{os.getpid()}-")] == []


def test_asking_on_a_thread_while_calls_go_on(folder):
    with (
        serving(Calculator()) as server,
        bee_core.build_client(client_config(server.address)) as client,
    ):
        stop = threading.Event()

        def work():
            while not stop.is_set():
                client.service("calc").add(1, 2)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for _ in range(10):
                (answer,) = ask_all(folder, LAST)
                assert json.dumps(answer)
        finally:
            stop.set()
            thread.join()
