"""What a server answers, says and keeps when handlers, plugins, threads and forks go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import io
import json
import logging
import multiprocessing
import os
import socket
import threading
from pathlib import Path
from typing import ClassVar

import pytest

import bee_core
from bee_core.errors import MethodNotFound, Overloaded, PluginFault, RemoteError
from bee_core.hookspecs import hookimpl
from bee_core.server.log_output import JsonFormatter
from support.patience import PATIENCE

APP = contextvars.ContextVar("app", default="-")
USER = contextvars.ContextVar("user", default="nobody")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise KeyError(self)

    __repr__ = __str__


class Panic(BaseException):
    pass


class Service:
    def raises(self, name: str) -> None:
        raise ERRORS[name]

    async def raises_async(self, name: str) -> None:
        raise ERRORS[name]

    @bee_core.nonblocking
    def raises_here(self, name: str) -> None:
        raise ERRORS[name]

    def refuse(self) -> None:
        raise bee_core.errors.Overloaded("not today")

    def ok(self) -> int:
        return 1

    def names(self, user: str) -> list[str]:
        before = [APP.get(), USER.get()]
        USER.set(user)
        return before

    @bee_core.nonblocking
    def names_here(self, user: str) -> list[str]:
        return self.names(user)

    async def names_async(self, user: str) -> list[str]:
        return self.names(user)

    def awaitable(self):
        return self.names_async("awaited")

    @bee_core.nonblocking
    def awaitable_here(self):
        return self.names_async("awaited")

    def close(self) -> None:
        raise AssertionError("a client has ended the object")

    async def aclose(self) -> None:
        raise AssertionError("a client has ended the object")


ERRORS = {
    "unprintable": Unprintable("x"),
    "hostile": KeyError(10**5000),
    "panic": Panic("x"),
    "interrupt": KeyboardInterrupt(),
    "exit": SystemExit(3),
    "generator": GeneratorExit(),
    "cancelled": asyncio.CancelledError(),
    "forged": ValueError("no such name: a\nINFO: user admin logged in\x1b[2J"),
}


@contextlib.contextmanager
def serving(target=None, plugins=(), **settings):
    config = {"name": "s", "address": "127.0.0.1:0", "drain_timeout": PATIENCE, **settings}
    server = bee_core.build_server({"bee": {"rpc": {"server": config}}}, plugins=plugins)
    server.add(target or Service())
    with server.in_thread():
        yield server


@contextlib.contextmanager
def calling(server, plugins=(), **settings):
    config = {"address": server.address, "timeout": PATIENCE, "fail": "failfast", **settings}
    client = bee_core.build_client({"bee": {"rpc": {"client": {"s": config}}}}, plugins=plugins)
    with client:
        yield client.service("s")


@pytest.fixture
def log():
    """What the server's logger writes, in plain lines and in JSON."""
    plain, machine = io.StringIO(), io.StringIO()
    handlers = [logging.StreamHandler(plain), logging.StreamHandler(machine)]
    handlers[1].setFormatter(JsonFormatter())
    logger = logging.getLogger("bee.server")
    before = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    yield plain, lambda: [json.loads(line) for line in machine.getvalue().splitlines()]
    for handler in handlers:
        logger.removeHandler(handler)
    logger.setLevel(before)


def events(lines, event):
    return [line for line in lines if line["event"] == event]


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("method", ["raises", "raises_async", "raises_here"])
def test_whatever_a_handler_raises_is_one_answer_with_its_type_and_the_server_goes_on(method, name):
    with serving(max_pool_size=1, max_in_flight=2) as server, calling(server) as service:
        for _ in range(3):
            with pytest.raises(RemoteError) as caught:
                service.call(method, name)
            assert caught.value.type == type(ERRORS[name]).__name__
            assert caught.value.executed == "yes"
        assert server.in_flight == 0
        assert service.ok() == 1


@pytest.mark.parametrize("method", ["raises", "raises_async", "raises_here"])
@pytest.mark.parametrize("oneway", [False, True])
def test_an_unexpected_exception_is_one_error_with_traceback_and_who_and_the_rest_is_counted(
    log, method, oneway
):
    plain, machine = log
    with serving() as server, calling(server, oneway=oneway) as service:
        for _ in range(5):
            with contextlib.suppress(RemoteError):
                service.call(method, "forged")
        bee_core.with_options(service, oneway=False).ok()
    (line,) = events(machine(), "handler_failed")
    assert line["level"] == "error"
    assert (line["service"], line["method"], line["oneway"]) == ("s", method, oneway)
    assert line["peer"].startswith("127.0.0.1:")
    assert line["request"] >= 1
    assert "raise ERRORS[name]" in line["traceback"]
    assert events(machine(), "handler_failed_again")[0]["count"] == 4
    text = plain.getvalue()
    assert text.count("Traceback (most recent call last)") == 1
    assert not any(row.startswith("INFO: user") for row in text.splitlines())
    assert "\x1b" not in text


def test_an_error_that_a_handler_means_is_no_error_in_the_log(log):
    _, machine = log
    with serving() as server, calling(server) as service, pytest.raises(RemoteError):
        service.refuse()
    assert not [line for line in machine() if line["level"] == "error"]


class Method:
    def __init__(self, place) -> None:
        self.place = place

    def encode_args(self, args, kwargs):
        return 0, b"x"

    def decode_args(self, form, body):
        if "decode_args" in self.place:
            raise KeyError("a bug")
        return [], {}

    def encode_result(self, value):
        if "encode_result" in self.place:
            raise KeyError("a bug")
        return b"x"

    def decode_result(self, body):
        return 1


class Codec:
    place: ClassVar[set[str]] = set()

    def bind(self, signature):
        return Method(self.place)


class Plugin:
    @hookimpl
    def bee_register_codecs(self, registry):
        registry.add("buggy", Codec)


@pytest.mark.parametrize(("place", "executed"), [("decode_args", "no"), ("encode_result", "yes")])
def test_a_bug_of_a_plugin_is_the_servers_fault_and_names_the_plugin(log, place, executed):
    _, machine = log
    plugins = [Plugin()]

    class One:
        def one(self):
            return 1

    Codec.place.add(place)
    try:
        with serving(One(), plugins, codecs=["buggy"], max_in_flight=1) as server:
            with calling(server, plugins, codec="buggy") as service:
                for _ in range(3):
                    with pytest.raises(PluginFault) as caught:
                        service.one()
                    assert caught.value.executed == executed
                    assert caught.value.plugin == "codec 'buggy'"
                    assert "a bug" not in caught.value.message
                Codec.place.clear()
                assert service.one() == 1
            assert server.in_flight == 0
    finally:
        Codec.place.clear()
    (line,) = events(machine(), "plugin_failed")
    assert line["plugin"] == "codec 'buggy'"
    assert Path(__file__).name in line["place"]
    assert "a bug" in line["traceback"]


def test_context_variables_end_with_their_call_and_those_of_the_program_reach_all_handlers():
    token = APP.set("shop")
    try:
        with serving(max_pool_size=1) as server, calling(server) as service:
            for method in ("names", "names_here", "names_async") * 2:
                assert service.call(method, "first") == ["shop", "nobody"], method
    finally:
        APP.reset(token)


def test_a_call_that_waited_for_its_turn_does_not_see_the_variables_of_the_one_before():
    entered, go_on = threading.Event(), threading.Event()

    class Waiting:
        async def names(self, user: str) -> str:
            before = USER.get()
            USER.set(user)
            entered.set()
            await asyncio.to_thread(go_on.wait, PATIENCE)
            return before

    limiter = {"name": "fixed", "options": {"max_in_flight": 1, "max_queue": 1}}
    with serving(Waiting(), limiter=limiter) as server, calling(server) as service:
        first = bee_core.future(service.names, "first")
        assert entered.wait(PATIENCE)
        second = bee_core.future(service.names, "second")
        go_on.set()
        assert (first.result(PATIENCE), second.result(PATIENCE)) == ("nobody", "nobody")


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


class Wrapped:
    ran = 0

    @logged
    async def pay(self) -> int:
        Wrapped.ran += 1
        assert bee_core.current_call().method == "pay"
        return 1


@pytest.mark.parametrize("codec", ["json", "msgpack", "protobuf"])
def test_what_a_def_returns_is_awaited_where_it_is_awaitable(codec):
    with serving(codecs=[codec]) as server, calling(server, codec=codec) as service:
        assert service.awaitable() == ["-", "nobody"]
        assert service.awaitable_here() == ["-", "nobody"]
        assert server.in_flight == 0
    before = Wrapped.ran
    with serving(Wrapped(), codecs=[codec]) as server, calling(server, codec=codec) as service:
        assert service.pay() == 1
        service.with_options(oneway=True).pay()
        assert service.pay() == 1
    assert Wrapped.ran == before + 3


@pytest.mark.parametrize("method", ["close", "aclose", "__enter__", "__init__"])
def test_what_ends_an_object_cannot_be_called_by_a_client(method):
    with serving() as server, calling(server) as service, pytest.raises(MethodNotFound):
        service.call(method)


def test_a_thread_that_cannot_start_costs_no_more_than_its_call(monkeypatch):
    real = threading.Thread.start
    broken = True

    def start(self):
        if broken and self.name.startswith("bee-s-"):
            raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    with serving() as server, calling(server) as service:
        with pytest.raises(Overloaded) as caught:
            service.ok()
        assert caught.value.executed == "no"
        assert server.in_flight == 0
        broken = False
        assert service.ok() == 1
        broken = True
        assert service.ok() == 1, "the thread that is there takes it"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_a_handler_forks_lets_go_of_the_servers_sockets():
    class Forking:
        def start(self) -> int:
            job = multiprocessing.get_context("fork").Process(target=live)
            job.start()
            children.append(job)
            # The system may let the child run later than this process.
            assert there.poll(PATIENCE)
            return there.recv()

    def live():
        here.send(1)
        os.read(hold, 1)  # a byte each: two readers would share the parts of a message

    children = []
    hold, release = os.pipe()
    there, here = multiprocessing.Pipe(duplex=False)
    with serving(Forking()) as server:
        host, port = server.address.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port)), PATIENCE) as idle:
            with calling(server) as service:
                assert service.start() == 1
                assert service.call("start") == 1, "the parent serves on"
            server.endpoint.draining = False
            address = (host, int(port))
            idle.settimeout(PATIENCE)
            for connection in tuple(server.listeners[0]._connections):  # noqa: SLF001  # to see its end
                server.listeners[0].loop.call_soon_threadsafe(connection.abort)
            with contextlib.suppress(ConnectionResetError):
                assert idle.recv(1) == b"", "the child still has the connection"
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, PATIENCE)
    finally:
        os.write(release, b"ab")
        for child in children:
            child.join(PATIENCE)
        for end in (hold, release):
            os.close(end)
    assert [child.exitcode for child in children] == [0, 0]
