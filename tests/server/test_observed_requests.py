"""Observers and interceptors of a server that the configuration names, for all kinds of handlers."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading

import pytest

import bee_core
from bee_core.errors import (
    CallError,
    InvalidArgument,
    Overloaded,
    PluginFault,
    RemoteError,
    ServiceError,
    Unauthenticated,
)
from faults.services import Calculator, serving
from faults.users import client_config
from support.patience import PATIENCE
from support.plugin_objects import offering

HANDLERS = ("add", "add_async", "add_here")
WHO = contextvars.ContextVar("who", default="nobody")


class Counter:
    """An observer that keeps what it is told of requests, by the state that it gave them."""

    def __init__(self):
        self.lock = threading.Lock()
        self.ended = threading.Semaphore(0)
        self.started, self.outcomes = [], []

    def request_started(self, call):
        with self.lock:
            self.started.append((call.service, call.method))
            return len(self.started)

    def request_ended(self, state, call, outcome, seconds):
        assert 0 <= seconds < 60
        self.outcomes.append((state, call.method, getattr(outcome, "kind", "ok")))
        self.ended.release()

    def await_ends(self, count):
        for _ in range(count):
            assert self.ended.acquire(timeout=PATIENCE)


class Roles:
    """An interceptor: lets in callers with the metadata ``role``, and sets a context variable."""

    def __init__(self):
        self.left = []

    def enter(self, call):
        role = call.metadata.get("role")
        if role is None:
            raise Unauthenticated("a role is needed")
        if role == "bug":
            raise KeyError(role)
        if role == "reader":
            raise ServiceError(
                "PERMISSION_DENIED", "not you", details={"role": role}, retry_after=2
            )
        if role == "odd":
            raise ServiceError("ODD", "not you", details={"role": object()})
        WHO.set(role)

    def exit(self, call, outcome):
        self.left.append((call.method, getattr(outcome, "ok", None)))


class Seeing(Calculator):
    def who(self):
        return WHO.get()

    async def who_async(self):
        return WHO.get()

    @bee_core.nonblocking
    def who_here(self):
        return WHO.get()

    def boom(self):
        raise RuntimeError("boom")


@pytest.fixture
def world():
    counter, roles = Counter(), Roles()
    plugins = [
        offering("observer", "counter", lambda: counter),
        offering("interceptor", "roles", lambda: roles),
    ]
    calculator = Seeing()
    with (
        serving(calculator, plugins, observers="counter", interceptors="roles") as server,
        bee_core.build_client(client_config(server.address, retries=0)) as client,
    ):
        yield calculator, counter, roles, client.service("calc")


def test_each_request_is_told_from_its_start_to_its_end(world):
    _, counter, roles, calc = world
    admin = calc.with_options(metadata={"role": "admin"})
    for handler in HANDLERS:
        assert admin.call(handler, 1, 2) == 3
    with pytest.raises(RemoteError):
        admin.boom()
    with pytest.raises(InvalidArgument):
        admin.add("x", "y")
    counter.await_ends(5)
    methods = (*HANDLERS, "boom", "add")
    assert counter.started == [("calc", method) for method in methods]
    assert sorted(counter.outcomes) == [
        (1, "add", "ok"),
        (2, "add_async", "ok"),
        (3, "add_here", "ok"),
        (4, "boom", "remote_error"),
        (5, "add", "invalid_argument"),
    ]
    assert roles.left == [
        ("add", True),
        ("add_async", True),
        ("add_here", True),
        ("boom", False),
        ("add", False),
    ]


@pytest.mark.parametrize("handler", HANDLERS)
def test_an_interceptor_refuses_a_request_and_no_handler_runs(world, handler):
    calculator, counter, roles, calc = world
    with pytest.raises(Unauthenticated, match="a role is needed") as caught:
        calc.call(handler, 1, 2)
    counter.await_ends(1)
    assert caught.value.executed == "no"
    assert counter.outcomes == [(1, handler, "unauthenticated")]
    assert roles.left == []
    assert calculator.runs == 0


@pytest.mark.parametrize("handler", HANDLERS)
def test_an_interceptor_refuses_by_a_service_error_and_its_code_and_details_arrive(
    world, handler, caplog
):
    calculator, counter, roles, calc = world
    with pytest.raises(RemoteError) as caught:
        calc.with_options(metadata={"role": "reader"}).call(handler, 1, 2)
    counter.await_ends(1)
    error = caught.value
    assert (error.executed, error.code, error.type) == ("no", "PERMISSION_DENIED", "ServiceError")
    assert (error.details, error.retry_after) == ({"role": "reader"}, 2.0)
    assert "refused with ServiceError (PERMISSION_DENIED): not you" in str(error)
    assert counter.outcomes == [(1, handler, "remote_error")]
    assert (roles.left, calculator.runs, caplog.records) == ([], 0, [])


def test_details_of_a_refusal_that_cannot_be_encoded_cost_the_details_alone(world):
    calculator, counter, _, calc = world
    with pytest.raises(RemoteError, match="without its details") as caught:
        calc.with_options(metadata={"role": "odd"}).add(1, 2)
    counter.await_ends(1)
    assert (caught.value.executed, caught.value.code, calculator.runs) == ("no", "ODD", 0)


@pytest.mark.parametrize("handler", HANDLERS)
def test_an_interceptor_with_a_bug_refuses_the_request_and_is_named_in_the_log(
    world, handler, caplog
):
    calculator, counter, _, calc = world
    with pytest.raises(PluginFault) as caught:
        calc.with_options(metadata={"role": "bug"}).call(handler, 1, 2)
    counter.await_ends(1)
    assert caught.value.executed == "no"
    assert calculator.runs == 0
    (line,) = [record for record in caplog.records if "roles" in record.getMessage()]
    assert (line.levelname, line.bee_event) == ("ERROR", "plugin_failed")
    assert "interceptor 'roles'" in line.getMessage()
    assert __file__ in line.getMessage()


@pytest.mark.parametrize("handler", ["who", "who_async", "who_here"])
def test_what_an_interceptor_puts_into_the_context_reaches_this_handler_alone(world, handler):
    *_, calc = world
    assert calc.with_options(metadata={"role": "admin"}).call(handler) == "admin"
    assert calc.with_options(metadata={"role": "guest"}).call(handler) == "guest"
    assert WHO.get() == "nobody"


def test_an_observer_that_raises_costs_no_answer_and_is_said_once(caplog):
    class Broken:
        def request_started(self, call):
            raise SystemExit(1)

        def request_ended(self, state, call, outcome, seconds):
            raise RuntimeError("no")

    with (
        serving(
            Calculator(), [offering("observer", "broken", Broken)], observers="broken"
        ) as server,
        bee_core.build_client(client_config(server.address)) as client,
    ):
        calc = client.service("calc")
        for handler in HANDLERS * 2:
            assert calc.call(handler, 1, 2) == 3
        assert server.in_flight == 0
    lines = [record for record in caplog.records if "broken" in record.getMessage()]
    assert {(line.levelname, line.bee_event) for line in lines} == {("ERROR", "plugin_failed")}
    said = [line.getMessage() for line in lines]
    assert sorted(line.split(": ")[1].split(" ")[0] for line in said) == [
        "request_ended",
        "request_started",
    ]


class Watcher:
    """An observer of what a server refuses, and of other events."""

    def __init__(self):
        self.refused, self.events, self.outcomes = [], [], []
        self.ended = threading.Semaphore(0)

    def request_refused(self, call, failure):
        self.refused.append((call.service, call.method, failure.kind))

    def request_ended(self, state, call, outcome, seconds):
        self.outcomes.append((call.method, getattr(outcome, "kind", "ok")))
        self.ended.release()

    def event(self, name, fields):
        self.events.append((name, fields))


@pytest.fixture
def watcher():
    return Watcher()


@pytest.fixture
def watched(watcher):
    return {"plugins": [offering("observer", "rec", lambda: watcher)], "observers": "rec"}


def test_an_observer_hears_of_requests_that_are_not_accepted(watcher, watched):
    calculator = Calculator()
    with (
        serving(calculator, max_in_flight=1, **watched) as server,
        bee_core.build_client(client_config(server.address, retries=0)) as client,
    ):
        calc = client.service("calc")
        with pytest.raises(CallError):
            calc.nope()
        held = bee_core.future(calc.hold, 1)
        calculator.await_entered()
        with pytest.raises(Overloaded):
            calc.add(1, 2)
        calculator.release.set()
        held.result(PATIENCE)
    assert watcher.refused == [
        ("calc", "nope", "method_not_found"),
        ("calc", "add", "overloaded"),
    ]
    assert watcher.outcomes == [("hold", "ok")]


@pytest.mark.parametrize(("queue", "states"), [(0, ["refused"]), (1, ["queued", "refused"])])
def test_an_observer_hears_that_the_servers_limiter_queues_and_refuses(
    watcher, watched, queue, states
):
    calculator = Calculator()
    options = {"max_in_flight": 1, "max_queue": queue, "queue_timeout": 0.01}
    with (
        serving(calculator, limiter={"name": "fixed", "options": options}, **watched) as server,
        bee_core.build_client(client_config(server.address, retries=0)) as client,
    ):
        calc = client.service("calc")
        held = bee_core.future(calc.hold, 1)
        calculator.await_entered()
        with pytest.raises(Overloaded):
            calc.add(1, 2)
        calculator.release.set()
        held.result(PATIENCE)
    heard = [fields for name, fields in watcher.events if name == "limiter"]
    assert [(one["side"], one["method"], one["state"]) for one in heard] == [
        ("server", "add", state) for state in states
    ]
    assert "limiter" in heard[-1]["reason"]


def test_an_observer_hears_of_a_peer_that_is_turned_away_and_not_its_token(watcher, watched):
    with (
        serving(Calculator(), tokens=["s" * 20], **watched) as server,
        bee_core.build_client(client_config(server.address, token="x" * 20)) as client,
        pytest.raises(Unauthenticated),
    ):
        client.service("calc").add(1, 2)
    fields = next(fields for name, fields in watcher.events if name == "peer_refused")
    assert (fields["service"], fields["kind"]) == ("calc", "unauthenticated")
    assert "x" * 20 not in str(fields)


class Hanging:
    def __init__(self):
        self.entered = threading.Event()

    async def hang(self) -> None:
        self.entered.set()
        await asyncio.Event().wait()


def test_an_observer_hears_how_a_drain_ended(watcher, watched):
    hanging = Hanging()
    with serving(hanging, drain_timeout=0.05, **watched) as server:
        client = bee_core.build_client(client_config(server.address))
        held = bee_core.future(client.service("calc").hang)
        assert hanging.entered.wait(PATIENCE)
    with pytest.raises(CallError):
        held.result(PATIENCE)
    client.close()
    assert ("drained", {"service": "calc", "cancelled": 1}) in watcher.events
    assert watcher.outcomes == [("hang", "cancelled")]


@pytest.mark.parametrize("handler", ["who", "who_async", "who_here"])
def test_what_an_observer_puts_into_the_context_reaches_this_handler_alone(handler):
    class Naming:
        def request_started(self, call):
            WHO.set(call.metadata["role"])

    plugins = [offering("observer", "naming", Naming)]
    with (
        serving(Seeing(), plugins, observers="naming") as server,
        bee_core.build_client(client_config(server.address)) as client,
    ):
        calc = client.service("calc")
        for role in ("admin", "guest"):
            assert calc.with_options(metadata={"role": role}).call(handler) == role
    assert WHO.get() == "nobody"


class RequestIds:
    """Gives each request an id, shows it to the handler and to the caller, and sends it on."""

    def __init__(self):
        self.seen = []

    def enter(self, call):
        number = call.metadata.get("request-id") or f"made-{len(self.seen)}"
        self.seen.append(number)
        call.add_baggage("request-id", number)
        call.add_metadata("first", number)
        call.reply_metadata["request-id"] = number
        if number == "refused":
            raise Unauthenticated("not this one")

    def exit(self, call, outcome):
        call.reply_metadata["ended"] = getattr(outcome, "kind", "ok")


class Passing(Calculator):
    def seen(self) -> dict[str, str]:
        call = bee_core.current_call()
        return {**call.metadata, "baggage": call.baggage["request-id"]}

    @bee_core.nonblocking
    def seen_here(self) -> dict[str, str]:
        return self.seen()

    async def seen_async(self) -> dict[str, str]:
        return self.seen()


@pytest.mark.parametrize("handler", ["seen", "seen_here", "seen_async"])
def test_an_interceptor_gives_ids_that_handler_and_caller_see_and_no_other_request(handler):
    ids = RequestIds()
    plugins = [offering("interceptor", "ids", lambda: ids)]
    with (
        serving(Passing(), plugins, interceptors="ids") as server,
        bee_core.build_client(client_config(server.address)) as client,
    ):
        calc = client.service("calc")
        for number in ("made-0", "made-1"):
            reply = bee_core.detailed(calc.call, handler)
            assert reply.value == {"first": number, "request-id": number, "baggage": number}
            assert reply.metadata == {"request-id": number, "ended": "ok"}
        given = calc.with_options(metadata={"request-id": "refused"})
        with pytest.raises(Unauthenticated) as caught:
            given.call(handler)
        assert caught.value.metadata == {"request-id": "refused"}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("x", 5, "TypeError"), (5, "x", "TypeError"), ("", "x", "ValueError")],
)
@pytest.mark.parametrize("add", ["add_metadata", "add_baggage"])
def test_what_cannot_be_metadata_is_the_fault_of_the_interceptor(name, value, says, add):
    class Wrong:
        def enter(self, call):
            getattr(call, add)(name, value)

        def exit(self, call, outcome):
            pass

    with (
        serving(
            Calculator(), [offering("interceptor", "wrong", Wrong)], interceptors="wrong"
        ) as server,
        bee_core.build_client(client_config(server.address, retries=0)) as client,
        pytest.raises(PluginFault, match=f"interceptor 'wrong' of the server has failed .{says}"),
    ):
        client.service("calc").add(1, 2)


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_log_that_raises_costs_no_answer(handler):
    class Broken:
        def enter(self, call):
            pass

        def exit(self, call, outcome):
            raise KeyError(call.method)

    class Full(logging.Handler):
        def emit(self, record):
            raise OSError("no space left on device")

    full, log = Full(logging.ERROR), logging.getLogger("bee.server")
    with (
        serving(
            Calculator(), [offering("interceptor", "broken", Broken)], interceptors="broken"
        ) as server,
        bee_core.build_client(client_config(server.address, retries=0)) as client,
    ):
        log.addHandler(full)
        try:
            assert getattr(client.service("calc"), handler)(1, 2) == 3
        finally:
            log.removeHandler(full)
