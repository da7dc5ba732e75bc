"""``faults`` of a server: what its requests meet, and that each of them comes to an end."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
import weakref
from contextlib import ExitStack

import pytest

import bee_core
from bee_core.cli import main
from bee_core.cli.schema_command import installed_options
from bee_core.config import json_schema, load_config, warnings
from bee_core.config.fault_model import ServerFaultConfig
from bee_core.contracts.observation import Interception
from bee_core.errors import (
    CallCancelled,
    CallError,
    ConfigError,
    DeadlineExceeded,
    Overloaded,
    Unavailable,
)
from bee_core.hookspecs import hookimpl
from bee_core.plugins.hub import PluginHub
from bee_core.server.injected_faults import FaultyInterception, Hold, Injected, with_faults
from bee_core.terms.request import DESCRIBE
from faults.users import BOTH, client_config, make_user
from support.cutting_relay import CuttingRelay
from support.patience import PATIENCE

HANDLERS = ("write", "write_async", "write_here")
LONG = 3600


def until(condition):
    """Ask again and again; False after the patience of a test."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


class Ledger:
    def __init__(self):
        self.ran = []
        self.told = threading.Semaphore(0)

    def write(self, key: str) -> str:
        self.ran.append(key)
        self.told.release()
        return key

    async def write_async(self, key: str) -> str:
        return self.write(key)

    @bee_core.nonblocking
    def write_here(self, key: str) -> str:
        return self.write(key)

    @bee_core.oneway
    def tell(self, key: str) -> None:
        self.write(key)


def lasting(kind, **more):
    """A fault that holds a request for long: a delay, or a drop."""
    seconds = {"seconds": LONG} if kind == "delay" else {}
    return {"kind": kind, "rate": 1, **seconds, **more}


def configured(*faults, **section):
    return {"bee": {"rpc": {"server": {"name": "calc", "faults": list(faults), **section}}}}


class World:
    """A server with faults, and users of it."""

    def __init__(self, stack, *faults, plugins=(), **section):
        self.ledger = Ledger()
        self.server = bee_core.build_server(configured(*faults, **section), plugins=list(plugins))
        self.server.add(self.ledger)
        self._stack = stack
        self._serving = stack.enter_context(ExitStack())
        self._serving.enter_context(self.server.in_thread())

    def leave(self):
        """Drain and stop."""
        self._serving.close()

    @property
    def endpoint(self):
        return self.server._serving.endpoint  # noqa: SLF001  # what a server decides with

    @property
    def is_straight(self):
        return self.endpoint._answers.straight  # noqa: SLF001

    def user(self, kind, **settings):
        given = {"timeout": PATIENCE, "retries": 0, **settings}
        user = make_user(kind, client_config(self.server.address, **given))
        self._stack.callback(user.close)
        return user

    def is_quiet(self):
        return until(lambda: self.endpoint.flight.count == 0)


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


def error_of(user, method="write", *args, **more):
    with pytest.raises(CallError) as caught:
        user.call(method, *(args or ("a",)), **more)
    return caught.value


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("handler", HANDLERS)
def test_an_error_is_answered_and_the_handler_does_not_run(stack, kind, handler):
    world = World(stack, {"kind": "error", "rate": 1})
    error = error_of(world.user(kind), handler)
    assert isinstance(error, Unavailable)
    assert error.executed == "no"
    assert "injects" in str(error)
    assert world.ledger.ran == []
    assert world.is_quiet()


def test_an_error_may_be_overload(stack):
    world = World(stack, {"kind": "error", "rate": 1, "error": "Overloaded"})
    error = error_of(world.user("blocking"))
    assert isinstance(error, Overloaded)
    assert error.executed == "no"


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("handler", HANDLERS)
def test_a_delayed_request_runs_later_and_others_go_on_meanwhile(stack, kind, handler):
    world = World(stack, {"kind": "delay", "rate": 1, "seconds": 0.2, "method": handler})
    other = "write" if handler != "write" else "write_async"
    user = world.user(kind)
    delayed = user.start(handler, "late")
    until(lambda: world.endpoint.flight.watched)
    assert user.call(other, "quick") == "quick"
    assert delayed.result(PATIENCE) == "late"
    assert world.ledger.ran == ["quick", "late"]
    assert world.is_quiet()


@pytest.mark.parametrize("size", [2_000, 2_000_000])
def test_a_compressed_request_is_delayed_too(stack, size):
    world = World(stack, {"kind": "delay", "rate": 1, "seconds": 0.01})
    user = world.user("blocking", compress="gzip", compress_above=100)
    assert user.call("write", "a" * size) == "a" * size


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("handler", HANDLERS)
def test_a_delay_ends_with_the_deadline_and_the_handler_does_not_run(stack, kind, handler):
    world = World(stack, {"kind": "delay", "rate": 1, "seconds": LONG})
    assert isinstance(error_of(world.user(kind, timeout=0.2), handler), DeadlineExceeded)
    assert world.is_quiet()
    assert world.ledger.ran == []


@pytest.mark.parametrize("fault", ["delay", "drop"])
@pytest.mark.parametrize("kind", BOTH)
def test_a_caller_that_leaves_ends_the_wait(stack, kind, fault):
    world = World(stack, lasting(fault))
    user = make_user(kind, client_config(world.server.address, timeout=LONG, read_timeout=LONG))
    try:
        started = user.start("write", "a")
        assert until(lambda: world.endpoint.flight.watched)
        user.close_client()
        with pytest.raises(CallCancelled):
            started.result(PATIENCE)
        assert world.is_quiet()
    finally:
        user.close()
    assert world.ledger.ran == []


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("handler", HANDLERS)
def test_a_dropped_request_has_no_answer_and_no_place_beyond_its_deadline(stack, kind, handler):
    world = World(stack, {"kind": "drop", "rate": 1})
    error = error_of(world.user(kind, timeout=0.2), handler)
    assert isinstance(error, DeadlineExceeded)
    assert error.executed == "maybe"
    assert world.is_quiet()
    assert world.ledger.ran == []


def test_a_connection_forgets_a_dropped_request_that_nobody_cancels(stack):
    world = World(stack, {"kind": "drop", "rate": 1})
    user = world.user("asyncio", timeout=LONG, read_timeout=LONG)
    user.start("write", "a")
    assert until(lambda: world.endpoint.flight.watched)
    (running,) = world.endpoint.flight.watched
    connection = running.call._connection  # noqa: SLF001
    loop = connection._loop  # noqa: SLF001
    loop.call_soon_threadsafe(running.stop, "deadline_exceeded", "late")
    assert world.is_quiet()
    assert not connection._running  # noqa: SLF001


@pytest.mark.parametrize("kind", BOTH)
def test_oneway_requests_are_dropped_delayed_and_refused(stack, kind, caplog):
    world = World(stack, {"kind": "drop", "rate": 1})
    user = world.user(kind, methods={"tell": {"oneway": True}})
    user.call("tell", "lost")
    until(lambda: world.endpoint.flight.count == 0)
    world.server.reload(configured({"kind": "delay", "rate": 1, "seconds": 0.05}))
    user.call("tell", "late")
    assert world.ledger.told.acquire(timeout=PATIENCE)
    world.server.reload(configured({"kind": "error", "rate": 1}))
    with caplog.at_level(logging.WARNING, "bee.server"):
        user.call("tell", "refused")
        assert until(lambda: "oneway calc.tell" in caplog.text)
    assert world.is_quiet()
    assert world.ledger.ran == ["late"]


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("fault", ["delay", "drop"])
def test_a_server_that_leaves_gives_up_what_waits(stack, kind, fault):
    world = World(stack, lasting(fault), drain_timeout=0.1)
    started = world.user(kind, timeout=LONG, read_timeout=LONG).start("write", "a")
    assert until(lambda: world.endpoint.flight.watched)
    flight = world.endpoint.flight
    world.leave()
    error = started.exception(PATIENCE)
    assert isinstance(error, CallError)
    assert error.executed == ("no" if fault == "delay" else "maybe")
    assert flight.count == 0
    assert world.ledger.ran == []


def test_a_delayed_request_may_end_while_the_server_drains(stack):
    world = World(stack, {"kind": "delay", "rate": 1, "seconds": 0.2})
    started = world.user("blocking").start("write", "a")
    assert until(lambda: world.endpoint.flight.watched)
    world.leave()
    assert started.result(PATIENCE) == "a"


FAILTRY = {"name": "failtry", "options": {"base": 0.001, "cap": 0.002}}


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("fault", ["delay", "drop"])
def test_a_server_that_remembers_takes_the_repetition_of_a_request_that_waited_as_new(
    stack, kind, fault
):
    fault = lasting(fault, method="write")
    world = World(stack, fault, deduplicate={})
    user = world.user(kind, fail=FAILTRY, retries=1, read_timeout=1)
    assert user.call("write_async", "first") == "first"  # the client meets the server
    started = user.start("write", "once")
    assert until(lambda: world.endpoint.flight.watched)
    world.server.reload(configured(deduplicate={}))
    assert started.result(PATIENCE) == "once"
    assert world.ledger.ran == ["first", "once"]
    assert world.is_quiet()


@pytest.mark.parametrize("kind", BOTH)
def test_a_repetition_waits_for_a_delayed_write_whose_connection_is_lost(stack, kind):
    fault = {"kind": "delay", "rate": 1, "seconds": 0.3, "method": "write"}
    world = World(stack, fault, deduplicate={})
    relay = stack.enter_context(CuttingRelay(world.server.address))
    user = make_user(
        kind, client_config(relay.url, fail=FAILTRY, retries=2, timeout=PATIENCE, breaker="none")
    )
    stack.callback(user.close)
    assert user.call("write_async", "first") == "first"
    relay.fates = ["cut"]
    assert user.call("write", "once") == "once"
    assert world.ledger.ran == ["first", "once"]
    assert world.is_quiet()


def test_a_write_with_faults_runs_at_most_once_and_executed_is_true(stack):
    faults = [
        {"kind": "error", "rate": 0.3},
        {"kind": "delay", "rate": 0.3, "seconds": 0.01},
        {"kind": "drop", "rate": 0.05},
    ]
    world = World(stack, *faults, deduplicate={})
    user = world.user("asyncio", fail=FAILTRY, retries=3, read_timeout=0.3)
    calls = [user.start("write", str(index)) for index in range(100)]
    told = [one.exception(PATIENCE) for one in calls]
    for index, error in enumerate(told):
        ran = world.ledger.ran.count(str(index))
        assert ran == 1 if error is None else ran <= (error.executed != "no")
    assert None in told


def test_a_fault_is_behind_the_limiter_and_the_interceptors(stack):
    world = World(
        stack,
        {"kind": "delay", "rate": 1, "seconds": LONG},
        plugins=[Hooks()],
        limiter={"name": "fixed", "options": {"max_in_flight": 1, "max_queue": 0}},
        interceptors=["hooks"],
    )
    user = world.user("asyncio", timeout=LONG, read_timeout=LONG)
    Hooks.seen.clear()
    delayed = user.start("write", "a")
    assert until(lambda: world.endpoint.flight.watched)
    assert "max_in_flight" in str(error_of(user))
    assert Hooks.seen == ["enter"]
    delayed.cancel()
    assert world.is_quiet()
    assert until(lambda: Hooks.seen == ["enter", "exit None"])
    world.server.reload(configured(interceptors=["hooks"]))
    assert user.call("write", "a") == "a"


class Hooks:
    """An interceptor, and its own plugin."""

    seen: list[str] = []  # noqa: RUF012  # one for the test

    @staticmethod
    @hookimpl
    def bee_register_interceptors(registry):
        registry.add("hooks", Hooks)

    def enter(self, call):
        self.seen.append("enter")

    def exit(self, call, outcome):
        self.seen.append(f"exit {outcome}")


@pytest.mark.parametrize(("caller", "meets"), [("127.0.0.1", True), ("10.0.0.1", False)])
def test_a_fault_may_be_for_the_host_of_a_caller(stack, caller, meets):
    world = World(stack, {"kind": "error", "rate": 1, "caller": caller})
    user = world.user("blocking")
    if meets:
        assert isinstance(error_of(user), Unavailable)
    else:
        assert user.call("write", "a") == "a"


def test_a_fault_may_be_for_the_identity_of_a_token(stack):
    tokens = [
        {"token": "secret-of-billing", "identity": "billing"},
        {"token": "secret-of-shop", "identity": "shop"},
    ]
    world = World(stack, {"kind": "error", "rate": 1, "caller": "billing"}, tokens=tokens)
    assert isinstance(error_of(world.user("blocking", token="secret-of-billing")), Unavailable)
    assert world.user("blocking", token="secret-of-shop").call("write", "a") == "a"


@pytest.mark.parametrize("when", ["begin", "reload"])
def test_faults_are_loud_in_the_log(stack, caplog, when):
    fault = {"kind": "delay", "rate": 0.25, "seconds": "200ms", "method": "add", "caller": "shop"}
    said = "FAULTS ARE INJECTED into the requests of calc: 25% of requests: delay 0.2 s (add)"
    with caplog.at_level(logging.WARNING, "bee.server"):
        world = World(stack, *([fault] if when == "begin" else []))
        assert (said in caplog.text) == (when == "begin")
        if when == "reload":
            world.server.reload(configured(fault))
        assert f"{said} of shop" in caplog.text


def test_check_and_diff_show_faults(tmp_path, capsys):
    fault = {"kind": "error", "rate": 0.5, "caller": "shop"}
    (one,) = warnings(load_config(configured(fault)))
    assert one.path == "bee.rpc.server.faults"
    assert "FAULTS ARE INJECTED: 50% of requests: error Unavailable of shop" in one.message
    for name, faults in (("old", [fault]), ("new", [])):
        (tmp_path / f"{name}.yml").write_text(json.dumps(configured(*faults)), encoding="utf-8")
    main(["check", str(tmp_path / "old.yml")])
    assert "FAULTS ARE INJECTED" in capsys.readouterr().out
    main(["diff", str(tmp_path / "old.yml"), str(tmp_path / "new.yml")])
    shown = capsys.readouterr().out
    assert "bee.rpc.server.faults" in shown
    assert "restart" not in shown


@pytest.mark.parametrize("fault", ["error", "drop"])
def test_a_description_says_which_faults_there_are_and_meets_none(stack, fault):
    world = World(stack, {"kind": fault, "rate": 1})
    user = world.user("blocking", timeout=1)
    kind = "drop" if fault == "drop" else "error Unavailable"
    assert user.call(DESCRIBE)["faults"] == [f"100% of requests: {kind}"]
    assert user.call(DESCRIBE, "write", brief=True)["faults"] == [f"100% of requests: {kind}"]
    world.server.reload(configured({"kind": "delay", "rate": 0.5, "caller": "billing"}))
    assert user.call(DESCRIBE)["faults"] == ["50% of requests: delay 0.1 s of one caller"]
    world.server.reload(configured())
    assert user.call(DESCRIBE)["faults"] == []


def test_the_schema_knows_the_faults_of_a_server():
    schema = json_schema.schema(installed_options(PluginHub()))
    assert schema["$defs"]["server_fault"]["required"] == ["kind", "rate"]
    assert "caller" in schema["$defs"]["server_fault"]["properties"]
    assert "caller" not in schema["$defs"]["fault"]["properties"]


def test_without_faults_nothing_stands_between_a_request_and_its_handler(stack):
    world = World(stack)
    assert world.is_straight
    world.server.reload(configured({"kind": "error", "rate": 1}))
    assert not world.is_straight
    world.server.reload(configured())
    assert world.is_straight
    plain = Interception()
    assert with_faults(plain, ()) is plain


def test_what_an_interceptor_refuses_meets_no_fault():
    refusal = Unavailable("not today")

    class Refusing(Interception):
        def enter(self, call):
            return 1, refusal

    faults = [ServerFaultConfig(kind="drop", rate=1.0)]
    faulty = FaultyInterception(Refusing(), faults, lambda: 0.0)
    assert faulty.enter(object()) == (1, refusal)


@pytest.mark.parametrize("kind", ["delay", "drop"])
def test_a_wait_that_is_over_early_holds_nothing_until_its_timer(kind):
    class Waiting:
        def over(self):
            raise AssertionError

    async def main():
        loop, call = asyncio.get_running_loop(), Waiting()
        seconds = {"seconds": 3600} if kind == "delay" else {}
        hold = Hold(Injected(ServerFaultConfig(kind=kind, rate=1.0, **seconds)), loop)
        hold.wait(call.over)
        held = weakref.ref(call)
        del call
        assert held() is not None
        assert hold.leave()
        assert held() is None, "a timer that is cancelled lets go of it"

    asyncio.run(main())


def test_a_request_meets_the_first_fault_whose_turn_it_is():
    class Call:
        method, peer = "add", "::1:4000"

        class caller:  # noqa: N801
            identity = None

    numbers = iter([0.5, 0.2, 0.4, 0.4, 0.1])
    faults = [
        ServerFaultConfig(kind="drop", rate=1.0, method="other"),
        ServerFaultConfig(kind="drop", rate=1.0, caller="::2"),
        ServerFaultConfig(kind="error", rate=0.3, caller="::1"),
        ServerFaultConfig(kind="delay", rate=0.3),
    ]
    faulty = FaultyInterception(Interception(), faults, lambda: next(numbers))
    met = [faulty.enter(Call)[1] for _ in range(3)]
    assert [one and one.fault.kind for one in met] == ["delay", None, "error"]


@pytest.mark.parametrize(
    ("one", "key"),
    [
        ({"kind": "delay"}, "rate"),
        ({"rate": 0.5}, "kind"),
        ({"kind": "crash", "rate": 0.5}, "kind"),
        ({"kind": "delay", "rate": 2}, "rate"),
        ({"kind": "delay", "rate": 0.5, "seconds": 0}, "seconds"),
        ({"kind": "error", "rate": 0.5, "error": "RemoteError"}, "error"),
        ({"kind": "error", "rate": 0.5, "caller": ""}, "caller"),
        ({"kind": "error", "rate": 0.5, "seconds": 3}, "seconds is for kind: delay"),
    ],
)
def test_an_impossible_fault_is_an_error_with_its_path(one, key):
    with pytest.raises(ConfigError) as caught:
        load_config(configured(one))
    assert "bee.rpc.server.faults" in str(caught.value)
    assert key in str(caught.value)
