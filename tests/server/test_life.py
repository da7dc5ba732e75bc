"""What begins and ends with a server: objects, start hooks, stop hooks, in all ways to run it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
import threading

import pytest

import bee_core
from bee_core.errors import BeeError
from support.patience import PATIENCE


class Diary:
    """What happened, in order."""

    def __init__(self):
        self.lines = []

    def write(self, line):
        self.lines.append(line)


class Repo:
    """A context manager of the plain kind."""

    def __init__(self, diary, name="repo"):
        self.diary, self.name = diary, name

    def __enter__(self):
        self.diary.write(f"enter {self.name}")
        self.thread = threading.current_thread()
        return self

    def __exit__(self, *error):
        assert error == (None, None, None)
        assert threading.current_thread() is self.thread
        self.diary.write(f"leave {self.name}")

    def close(self) -> None:
        raise AssertionError("nobody calls it")

    def get(self, key: int) -> int:
        self.diary.write(f"get from {self.name}")
        return key


class AsyncRepo:
    """A context manager of both kinds, of which the asyncio one counts."""

    def __init__(self, diary):
        self.diary = diary

    def __enter__(self):
        raise AssertionError("async with comes first")

    def __exit__(self, *error):
        raise AssertionError("async with comes first")

    async def __aenter__(self):
        self.task = asyncio.current_task()
        self.diary.write("enter async")

    async def __aexit__(self, *error):
        assert asyncio.current_task() is self.task
        self.diary.write("leave async")

    async def aclose(self) -> None:
        raise AssertionError("nobody calls it")

    async def find(self, key: int) -> int:
        return key


@pytest.fixture
def diary():
    return Diary()


def build(name="life", **settings):
    return bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": f"memory://{name}", **settings}}}}
    )


def call(url, method, *args):
    with bee_core.build_client(
        {"bee": {"rpc": {"client": {"calc": {"address": url, "fail": "failfast"}}}}}
    ) as client:
        return client.service("calc").call(method, *args)


def events(caplog):
    return [record.bee_event for record in caplog.records if hasattr(record, "bee_event")]


# What is entered and called, and when.


def filled(diary):
    """A server with objects and hooks of all kinds; what they write is ``COURSE``."""
    server = build()
    server.add(Repo(diary))

    @server.on_start
    def connect() -> None:
        diary.write("connect")

    @server.on_stop
    def disconnect() -> None:
        diary.write("disconnect")

    server.add(AsyncRepo(diary), name="Later")

    @server.on_start
    async def warm() -> None:
        await asyncio.sleep(0)
        diary.write("warm")

    @server.on_stop
    async def cool() -> None:
        await asyncio.sleep(0)
        diary.write("cool")

    return server


COURSE = [
    *("enter repo", "connect", "enter async", "warm"),
    "get from repo",
    *("cool", "leave async", "disconnect", "leave repo"),
]


def test_parts_begin_in_order_and_end_in_reverse_on_a_thread(diary):
    with filled(diary).in_thread() as server:
        assert call(server.address, "get", 7) == 7
    assert diary.lines == COURSE


def test_parts_begin_in_order_and_end_in_reverse_inside_a_loop(diary):
    async def main():
        async with filled(diary) as server:
            assert await asyncio.to_thread(call, server.address, "get", 7) == 7

    asyncio.run(main())
    assert diary.lines == COURSE


def test_a_server_that_starts_again_begins_all_of_it_again(diary):
    server = filled(diary)
    for _ in range(2):
        with server.in_thread():
            call(server.address, "get", 7)
    assert diary.lines == COURSE * 2


def test_methods_of_a_context_manager_and_those_that_end_it_are_not_exposed(diary):
    server = filled(diary)
    assert server.methods == ("Later.find", "get")


def test_an_object_with_two_names_is_entered_once(diary):
    server, repo = build(), Repo(diary)
    server.add(repo, name="A")
    server.add(repo, name="B")
    with server.in_thread():
        pass
    assert diary.lines == ["enter repo", "leave repo"]


def test_an_object_is_left_after_the_drain_and_before_the_server_says_gone(diary, caplog):
    going, release = threading.Event(), threading.Event()

    class Slow(Repo):
        def wait(self) -> str:
            going.set()
            release.wait(PATIENCE)
            self.diary.write("answered")
            return "done"

        def __exit__(self, *error):
            self.diary.write(" ".join(events(caplog)))

    server = build()
    server.add(Slow(diary))
    with caplog.at_level(logging.INFO, logger="bee.server"):
        with contextlib.ExitStack() as stack:
            stack.enter_context(server.in_thread())
            answers = []
            caller = threading.Thread(
                target=lambda url: answers.append(call(url, "wait")), args=(server.address,)
            )
            caller.start()
            assert going.wait(PATIENCE)
            server.readiness.watch(lambda state: release.set() if state == "draining" else None)
        caller.join(PATIENCE)
    assert answers == ["done"]
    assert diary.lines == ["enter repo", "answered", "listening draining"]
    assert events(caplog) == ["listening", "draining", "gone"]


def test_nobody_is_answered_before_the_start_hooks_have_ended():
    server = build()
    server.add(lambda: 1, name="one")
    refused = []

    @server.on_start
    def look() -> None:
        assert server.readiness.state == "starting"
        try:
            call("memory://life", "one")
        except BeeError as error:
            refused.append(error.executed)

    with server.in_thread():
        assert call(server.address, "one") == 1
    assert refused == ["no"]


def test_a_plain_hook_leaves_the_loop_free():
    server = build()
    server.add(lambda: 1, name="one")

    async def main():
        loop, turned = asyncio.get_running_loop(), threading.Event()

        @server.on_start
        def wait() -> None:
            loop.call_soon_threadsafe(turned.set)
            assert turned.wait(PATIENCE)

        async with server:
            assert turned.is_set()

    asyncio.run(main())


def test_what_is_set_in_the_context_at_the_start_can_be_reset_at_the_end():
    var = contextvars.ContextVar("var", default="unset")
    seen = []

    class Scoped:
        def __enter__(self):
            self.token = var.set("set")

        def __exit__(self, *error):
            seen.append(var.get())
            var.reset(self.token)

        def one(self) -> int:
            return 1

    server = build()
    server.add(Scoped())
    with server.in_thread():
        pass
    assert seen == ["set"]


def test_a_hook_may_be_a_method_a_partial_or_return_an_awaitable(diary):
    server = build()
    server.add(lambda: 1, name="one")

    async def later(line):
        diary.write(line)

    server.on_start(functools.partial(later, "partial"))
    server.on_start(lambda: later("awaitable"))
    server.on_stop(Repo(diary, "bound").__enter__)
    with server.in_thread():
        pass
    assert diary.lines == ["partial", "awaitable", "enter bound"]


# What fails.


def failing(diary, raised):
    server = build()
    server.add(Repo(diary))
    server.on_stop(lambda: diary.write("stop, given before"))

    @server.on_start
    def connect():
        raise raised

    server.on_stop(lambda: diary.write("stop, given after"))
    return server


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (OSError("no database"), "OSError: no database"),
        (SystemExit(3), "SystemExit: 3"),
        (StopIteration(), "RuntimeError: coroutine raised StopIteration"),
    ],
)
def test_a_start_hook_that_raises_ends_what_had_begun_and_the_error_names_it(diary, raised, text):
    server = failing(diary, raised)
    with pytest.raises(BeeError) as caught, server.in_thread():
        raise AssertionError("it runs")
    assert str(caught.value) == (f"the start hook failing.<locals>.connect failed: {text}")
    assert type(caught.value.__cause__) in {type(raised), RuntimeError}
    assert diary.lines == ["enter repo", "stop, given before", "leave repo"]
    assert server.readiness.state == "stopped"


def test_an_object_that_cannot_be_entered_is_not_left(diary):
    class Broken(Repo):
        def __enter__(self):
            raise OSError("no database")

    server = build()
    server.add(Broken(diary))
    with pytest.raises(BeeError, match=r"the object .*Broken failed: OSError: no database"):
        asyncio.run(server.start())
    assert diary.lines == []


def test_an_address_in_use_ends_what_had_begun(diary):
    other = build()
    other.add(lambda: 1, name="one")
    server = build()
    server.add(Repo(diary))
    with other.in_thread(), pytest.raises(OSError, match="another server"), server.in_thread():
        raise AssertionError("it runs")
    assert diary.lines == ["enter repo", "leave repo"]


@pytest.mark.parametrize("kind", ["async", "threaded"])
def test_a_start_hook_that_hangs_is_given_up(diary, kind):
    server, release = build(start_timeout=0.05), threading.Event()
    server.add(Repo(diary))

    async def hang():
        await asyncio.Event().wait()

    def block():
        release.wait(PATIENCE)

    server.on_start(hang if kind == "async" else block)
    with pytest.raises(BeeError, match=r"did not end within start_timeout \(0\.05 s\)"):
        asyncio.run(server.start())
    release.set()
    # A thread that hangs is left behind: the object was not left on the thread that entered it.
    assert diary.lines[0] == "enter repo"
    assert (diary.lines[1:] == ["leave repo"]) or kind == "threaded"


def test_a_start_that_is_cancelled_ends_what_had_begun(diary):
    server, hanging = build(), threading.Event()
    server.add(Repo(diary))

    @server.on_start
    async def hang():
        hanging.set()
        await asyncio.Event().wait()

    async def main():
        starting = asyncio.ensure_future(server.start())
        await asyncio.to_thread(hanging.wait, PATIENCE)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert server.readiness.state == "stopped"

    asyncio.run(main())
    assert diary.lines == ["enter repo", "leave repo"]


def test_a_stop_hook_that_raises_is_logged_and_keeps_no_other_from_its_end(diary, caplog):
    server = build()
    server.add(Repo(diary))

    @server.on_stop
    async def flush():
        raise ValueError("half a page")

    with server.in_thread():
        pass
    assert diary.lines == ["enter repo", "leave repo"]
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.bee_event == "stop_failed"
    assert "flush failed as the server stopped: ValueError: half a page" in record.getMessage()
    assert record.exc_info[0] is ValueError


@pytest.mark.parametrize("kind", ["async", "threaded"])
def test_a_stop_hook_that_hangs_is_left_behind_and_said_with_those_behind_it(diary, caplog, kind):
    server, release = build(stop_timeout=0.05), threading.Event()
    server.add(Repo(diary))

    async def hang():
        await asyncio.Event().wait()

    def block():
        release.wait(PATIENCE)

    server.on_stop(hang if kind == "async" else block)
    with server.in_thread():
        pass
    release.set()
    (record,) = [one for one in caplog.records if one.bee_event == "stop_timeout"]
    assert "did not end within stop_timeout (0.05 s)" in record.getMessage()
    assert "never begun to end: the object Repo" in record.getMessage()
    assert diary.lines == ["enter repo"]


def test_a_stop_hook_that_swallows_its_cancellation_keeps_no_server(caplog):
    server, release = build(stop_timeout=0.05), threading.Event()
    server.add(lambda: 1, name="one")

    @server.on_stop
    async def stubborn():
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    async def main():
        async with server:
            pass
        assert server.readiness.state == "stopped"
        release.set()

    asyncio.run(main())


# What cannot be given.


@pytest.mark.parametrize("give", ["on_start", "on_stop"])
def test_a_hook_is_a_function_without_arguments(give):
    with pytest.raises(TypeError, match="is called without arguments: missing a required argument"):
        getattr(build(), give)(lambda server: None)
    with pytest.raises(TypeError, match="a hook is a function without arguments, not str"):
        getattr(build(), give)("connect")


def test_nothing_is_given_to_a_server_that_runs():
    server = build()
    server.add(lambda: 1, name="one")
    with server.in_thread():
        for give in (server.on_start, server.on_stop):
            with pytest.raises(RuntimeError, match="hooks are given before the server starts"):
                give(lambda: None)
        with pytest.raises(RuntimeError, match="methods are added before the server starts"):
            server.add(lambda: 2, name="two")
