"""Observers and interceptors that the configuration names, seen from both clients and a server."""

from __future__ import annotations

import itertools

import attrs
import pytest

import bee_core
from bee_core.errors import CallError, PluginFault, RemoteError, ServiceError, Unauthenticated
from faults.services import Calculator, serving
from faults.users import BOTH, client_config, make_user
from support.plugin_objects import offering
from support.ports import fixed_port


class Recorder:
    """An observer of calls, nodes and servers."""

    def __init__(self):
        self.heard = []
        self.numbers = itertools.count(1)

    def call_started(self, call):
        self.heard.append(("call_started",))
        return next(self.numbers)

    def attempt_ended(self, state, call, node, outcome, seconds):
        assert 0 <= seconds < 60
        self.heard.append(("attempt_ended", state, node.url, outcome.ok))

    def call_ended(self, state, record):
        kind = None if record.failure is None else record.failure.kind
        self.heard.append(("call_ended", state, record.method, record.attempts, kind))

    def nodes_changed(self, service, snapshot):
        self.heard.append(("nodes_changed", service, len(snapshot.nodes)))

    def server_changed(self, event):
        self.heard.append(("server_changed", event))

    @property
    def of_calls(self):
        return [news for news in self.heard if news[0] != "nodes_changed"]


@attrs.frozen
class Named:
    name: str = "it"


def gates(trace, **refuses):
    """A plugin object with the interceptor ``gate``, whose option names it."""

    class Gate:
        def __init__(self, options):
            self.name = options.name

        def enter(self, call):
            trace.append(f"enter {self.name}")
            if self.name in refuses:
                raise refuses[self.name]

        def exit(self, call, outcome):
            trace.append(f"exit {self.name} {getattr(outcome, 'ok', None)}")

    return offering("interceptor", "gate", Gate, Named)


@pytest.fixture
def calculator():
    return Calculator()


@pytest.fixture(scope="module")
def dead():
    return f"tcp://127.0.0.1:{fixed_port()}"


@pytest.mark.parametrize("kind", BOTH)
def test_an_observer_hears_of_a_call_its_attempts_and_its_end(kind, calculator, dead):
    recorder = Recorder()
    with serving(calculator) as server:
        config = client_config(dead, server.address, balancer="round-robin", observers="rec")
        user = make_user(kind, config, [offering("observer", "rec", lambda: recorder)])
        try:
            assert user.call("add", 1, 2) == 3
            with pytest.raises(CallError):
                user.call("no_such_method")
        finally:
            user.close()
        first, second = (
            [news for news in recorder.of_calls if news[1:] and news[1] == number]
            for number in (1, 2)
        )
        assert ("nodes_changed", "calc", 2) in recorder.heard
        assert first[-1][2] == "add"
        assert first[-1][3] == len(first) - 1
        assert first[-2][2:] == (server.address, True)
        assert second[-1][2] == "no_such_method"
        assert second[-1][4] == "method_not_found"
        assert recorder.of_calls.count(("call_started",)) == 2


@pytest.mark.parametrize("kind", BOTH)
def test_the_applications_observers_and_the_services_own_are_told_each_once(kind, calculator):
    mine, ours = Recorder(), Recorder()
    plugins = [
        offering("observer", "ours", lambda: ours),
        offering("observer", "mine", lambda: mine),
    ]
    with serving(calculator) as server:
        config = client_config(server.address, observers=["mine", "ours"])
        config["bee"]["application"] = {"observers": "ours"}
        user = make_user(kind, config, plugins)
        try:
            user.call("add", 1, 2)
        finally:
            user.close()
    for recorder in (mine, ours):
        assert [news[0] for news in recorder.of_calls] == [
            "call_started",
            "attempt_ended",
            "call_ended",
        ]


@pytest.mark.parametrize("kind", BOTH)
def test_interceptors_stand_around_a_call_in_the_order_of_the_file(kind, calculator):
    trace = []
    with serving(calculator) as server:
        config = client_config(
            server.address,
            interceptors=["gate", {"name": "gate", "options": {"name": "inner"}}],
        )
        user = make_user(kind, config, [gates(trace)])
        try:
            assert user.call("add", 1, 2) == 3
        finally:
            user.close()
    assert trace == ["enter it", "enter inner", "exit inner True", "exit it True"]


@pytest.mark.parametrize("kind", BOTH)
def test_a_clients_interceptor_refuses_a_call_before_anything_is_sent(kind, calculator):
    trace = []
    with serving(calculator) as server:
        config = client_config(
            server.address,
            interceptors=[
                "gate",
                {"name": "gate", "options": {"name": "no"}},
                {"name": "gate", "options": {"name": "never"}},
            ],
        )
        user = make_user(kind, config, [gates(trace, no=Unauthenticated("not you"))])
        try:
            with pytest.raises(Unauthenticated, match="not you") as caught:
                user.call("add", 1, 2)
        finally:
            user.close()
    assert caught.value.executed == "no"
    assert trace == ["enter it", "enter no", "exit it False"]
    assert calculator.runs == 0


@pytest.mark.parametrize("kind", BOTH)
def test_a_clients_interceptor_refuses_by_a_service_error(kind, calculator):
    refusal = ServiceError("QUOTA", "enough for today", details={"left": 0}, retry_after=60)
    with serving(calculator) as server:
        config = client_config(server.address, interceptors="gate")
        user = make_user(kind, config, [gates([], it=refusal)])
        try:
            with pytest.raises(RemoteError, match="refused with ServiceError") as caught:
                user.call("add", 1, 2)
        finally:
            user.close()
    error = caught.value
    assert (error.executed, error.attempts, error.code) == ("no", 0, "QUOTA")
    assert (error.details, error.retry_after) == ({"left": 0}, 60)
    assert (error.service, error.method) == ("calc", "add")
    assert error.__cause__ is refusal
    assert calculator.runs == 0


@pytest.mark.parametrize("kind", BOTH)
def test_an_interceptor_with_a_bug_ends_the_call_and_is_named(kind, calculator):
    with serving(calculator) as server:
        config = client_config(server.address, interceptors="gate")
        user = make_user(kind, config, [gates([], it=KeyError("role"))])
        try:
            with pytest.raises(
                PluginFault, match=r"interceptor 'gate'.* raised KeyError"
            ) as caught:
                user.call("add", 1, 2)
        finally:
            user.close()
    assert (caught.value.plugin, caught.value.executed) == ("interceptor 'gate'", "no")
    assert calculator.runs == 0


def test_a_server_says_when_it_serves_drains_and_has_stopped(calculator):
    recorder = Recorder()
    with serving(calculator, [offering("observer", "rec", lambda: recorder)], observers="rec"):
        assert recorder.heard == [("server_changed", "serving")]
    assert recorder.heard == [
        ("server_changed", "serving"),
        ("server_changed", "draining"),
        ("server_changed", "stopped"),
    ]


def test_a_server_that_cannot_listen_does_not_say_that_it_serves(calculator):
    recorder = Recorder()
    with serving(calculator) as other:
        server = bee_core.build_server(
            {
                "bee": {
                    "application": {"observers": "rec"},
                    "rpc": {"server": {"name": "calc", "address": other.address}},
                }
            },
            plugins=[offering("observer", "rec", lambda: recorder)],
        )
        server.add(calculator)
        with pytest.raises(OSError, match="in use"), server.in_thread():
            pass
    assert recorder.heard == []


class Tagging:
    """Adds to what the handler sees, as an observer and as an interceptor."""

    def call_started(self, call):
        call.add_metadata("trace", "00-1")
        call.add_baggage("tenant", "a")

    def enter(self, call):
        call.add_metadata("request-id", b"\x00\x01")

    def exit(self, call, outcome):
        pass


class Seeing(Calculator):
    def seen(self):
        call = bee_core.current_call()
        return {
            name: value if isinstance(value, str) else list(value)
            for name, value in call.metadata.items()
        }

    def answers(self, fails: bool) -> None:
        bee_core.current_call().reply_metadata["served-by"] = "b"
        if fails:
            raise RuntimeError("no")

    def travels(self):
        return dict(bee_core.current_call().baggage)


@pytest.mark.parametrize("kind", BOTH)
def test_what_observers_and_interceptors_add_reaches_the_handler_and_no_other_call(kind):
    plugins = [offering("observer", "tag", Tagging), offering("interceptor", "tag", Tagging)]
    with serving(Seeing()) as server:
        config = client_config(
            server.address, observers="tag", interceptors="tag", metadata={"own": "1"}
        )
        user = make_user(kind, config, plugins)
        try:
            for _ in range(2):
                assert user.call("seen") == {
                    "own": "1",
                    "trace": "00-1",
                    "request-id": [0, 1],
                    "tenant": "a",
                }
                assert user.call("travels") == {"tenant": "a"}
        finally:
            user.close()


@pytest.mark.parametrize("kind", BOTH)
def test_an_observer_sees_what_the_handler_sent_along_with_its_answer(kind):
    records = []

    class Keeping:
        def call_ended(self, state, record):
            records.append(record)

    with serving(Seeing()) as server:
        config = client_config(server.address, observers="keeping")
        user = make_user(kind, config, [offering("observer", "keeping", Keeping)])
        try:
            user.call("answers", False)
            with pytest.raises(CallError):
                user.call("answers", True)
        finally:
            user.close()
    assert [dict(record.metadata) for record in records] == [{"served-by": "b"}] * 2


@pytest.mark.parametrize("kind", BOTH)
def test_observers_and_interceptors_see_the_answer_and_its_metadata(kind):
    told = []

    class Watcher:
        def call_ended(self, state, record):
            told.append(record.metadata)

    class Gate:
        def enter(self, call):
            pass

        def exit(self, call, outcome):
            told.append(outcome.metadata)
            assert outcome.ok
            assert outcome.body == b"3"

    class Calc:
        def add(self, a, b):
            bee_core.current_call().reply_metadata["x"] = "1"
            return a + b

    plugins = [offering("observer", "rec", Watcher), offering("interceptor", "gate", Gate)]
    with serving(Calc()) as server:
        config = client_config(server.address, observers="rec", interceptors="gate")
        user = make_user(kind, config, plugins)
        try:
            assert user.call("add", 1, 2) == 3
        finally:
            user.close()
    assert [dict(metadata) for metadata in told] == [{"x": "1"}, {"x": "1"}]


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(("queue", "states"), [(0, ["refused"]), (1, ["queued", "refused"])])
def test_an_observer_hears_that_a_limiter_queues_and_refuses(kind, calculator, queue, states):
    heard = []

    class Watcher:
        def event(self, name, fields):
            if name == "limiter":
                heard.append(tuple(fields[key] for key in ("side", "state", "service", "method")))

    options = {"max_in_flight": 1, "max_queue": queue, "queue_timeout": 0.01}
    with serving(calculator) as server:
        config = client_config(
            server.address, observers="rec", limiter={"name": "fixed", "options": options}
        )
        user = make_user(kind, config, [offering("observer", "rec", Watcher)])
        try:
            limiter = user.client.assembly.services["calc"].limiter
            assert limiter.admit(None, 0.0) is True
            with pytest.raises(CallError):
                user.call("add", 1, 2)
            limiter.release(None, 0.0)
        finally:
            user.close()
    assert heard == [("client", state, "calc", "add") for state in states]


@pytest.mark.parametrize("kind", BOTH)
def test_an_observer_hears_how_many_nodes_there_are_and_fit(kind):
    heard = []

    class Watcher:
        def event(self, name, fields):
            heard.append((name, fields))

    address = [{"url": f"127.0.0.1:{port}", "version": f"{port}.0.0"} for port in (1, 2, 3)]
    client = {"address": address, "version": ">=2", "observers": "rec"}
    config = {"bee": {"rpc": {"client": {"calc": client}}}}
    user = make_user(kind, config, [offering("observer", "rec", Watcher)])
    with pytest.raises(CallError):
        user.call("add", 1, 2)  # an asyncio client makes its channels now
    user.close()
    fields = {"service": "calc", "listed": 3, "fitting": 2, "source": "address"}
    assert heard == [("nodes", fields), ("service_left", {"service": "calc"})]


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("x", 5, "TypeError"), (5, "x", "TypeError"), ("z" * 256, "x", "ValueError")],
)
def test_what_cannot_be_metadata_is_the_fault_of_the_interceptor(kind, name, value, says):
    class Wrong:
        def enter(self, call):
            call.add_metadata(name, value)

        def exit(self, call, outcome):
            pass

    with serving(Calculator()) as server:
        config = client_config(server.address, interceptors="wrong", retries=0)
        user = make_user(kind, config, [offering("interceptor", "wrong", Wrong)])
        try:
            with pytest.raises(PluginFault, match=rf"interceptor 'wrong'.* raised {says}"):
                user.call("add", 1, 2)
        finally:
            user.close()
