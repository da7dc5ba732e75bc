"""The observer ``opentelemetry``, against the SDK's exporters in memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from opentelemetry import baggage, context, metrics, trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import bee_core
from bee_core.errors import CallError, ConfigError
from bee_core.interfaces import InboundCall, Node, Snapshot, Success, local
from bee_core.testing import ObserverContract
from bee_core.testing.observing_contracts import IncomingCall, OutgoingCall, record_of
from bee_plugins.observers.opentelemetry.attributes import (
    BOUNDARIES,
    MOST,
    MOST_STATUSES,
    Methods,
    peer_of,
    server_address,
    status_of,
)
from bee_plugins.observers.opentelemetry.observer import OpenTelemetry, OpenTelemetryOptions
from faults.services import Calculator, serving
from faults.users import BOTH, client_config, make_user
from support.patience import PATIENCE
from support.ports import fixed_port
from support.telemetry import Telemetry, is_child

CLIENT_DURATION, SERVER_DURATION = "rpc.client.call.duration", "rpc.server.call.duration"
OF_ALL_KINDS = ("add", "add_async", "add_here")


@pytest.fixture
def telemetry(monkeypatch):
    found = Telemetry(monkeypatch)
    yield found
    found.close()


class Traced(Calculator):
    """Handlers that say in which span they run."""

    def span(self) -> int:
        return trace.get_current_span().get_span_context().span_id

    async def span_async(self) -> int:
        await asyncio.sleep(0)
        return self.span()

    @bee_core.nonblocking
    def span_here(self) -> int:
        return self.span()

    def carried(self) -> str:
        return str(baggage.get_baggage("tenant"))


def traced(name="opentelemetry", **options):
    return {"name": name, "options": options} if options else name


class World:
    """A server and a client that are both observed."""

    def __init__(self, kind, target, **settings):
        self.target = target
        self.settings = {"observers": "opentelemetry", **settings}
        self.kind = kind

    def __enter__(self):
        self.serving = serving(self.target, observers=self.settings["observers"])
        self.server = self.serving.__enter__()
        self.url = self.server.address
        self.user = make_user(self.kind, client_config(self.server.address, **self.settings))
        return self

    def __exit__(self, *exception):
        self.user.close()
        self.serving.__exit__(*exception)

    def call(self, method, *args, **more):
        return self.user.call(method, *args, **more)


def attributes(span, *leaving):
    return {name: value for name, value in span.attributes.items() if name not in leaving}


class TestContract(ObserverContract):
    @pytest.fixture(autouse=True)
    def providers(self, telemetry):
        self.telemetry = telemetry

    def make_observer(self):
        return OpenTelemetry(OpenTelemetryOptions(baggage=True))

    def forget(self):
        self.telemetry.exporter.clear()


class TestContractWithoutSdk(ObserverContract):
    def make_observer(self):
        return OpenTelemetry(OpenTelemetryOptions())


# ── one call ──


@pytest.mark.parametrize("kind", BOTH)
def test_a_call_has_a_span_at_each_end_and_one_for_its_attempt(telemetry, kind):
    with World(kind, Calculator()) as world:
        assert world.call("add", 1, 2) == 3
        host, port = "127.0.0.1", int(world.url.rpartition(":")[2])
    client, server = telemetry.span("CLIENT"), telemetry.span("SERVER")
    attempt = telemetry.span("INTERNAL")
    assert (client.name, server.name, attempt.name) == ("calc/add", "calc/add", "calc/add attempt")
    assert client.parent is None
    assert is_child(server, client)
    assert is_child(attempt, client)
    ours = {"rpc.system.name": "bee", "rpc.method": "calc/add", "rpc.status_code": "OK"}
    there = {"server.address": host, "server.port": port}
    peer = {"network.peer.address": host, "network.peer.port": port}
    assert attributes(client) == {**ours, **there, **peer, "bee.attempts": 1}
    assert attributes(attempt) == {
        **peer, "bee.attempt": 1, "bee.node.id": world.url, "rpc.status_code": "OK"
    }  # fmt: skip
    assert attributes(server, "network.peer.port") == {**ours, "network.peer.address": host}
    assert {span.status.status_code.name for span in telemetry.spans()} == {"UNSET"}
    assert client.instrumentation_scope.name == "bee-rpc"
    assert client.instrumentation_scope.schema_url.endswith("/1.45.0")


def test_durations_are_measured_in_seconds_with_the_buckets_of_the_conventions(telemetry):
    with World("blocking", Calculator()) as world:
        for _ in range(3):
            world.call("add", 1, 2)
        port = int(world.url.rpartition(":")[2])
    (client,), (server,) = telemetry.points(CLIENT_DURATION), telemetry.points(SERVER_DURATION)
    assert (client.count, server.count) == (3, 3)
    assert client.explicit_bounds == server.explicit_bounds == BOUNDARIES
    ours = {"rpc.system.name": "bee", "rpc.method": "calc/add", "rpc.status_code": "OK"}
    assert dict(server.attributes) == ours
    assert dict(client.attributes) == {
        **ours, "server.address": "127.0.0.1", "server.port": port
    }  # fmt: skip
    spans = [span.end_time - span.start_time for span in telemetry.spans("CLIENT")]
    assert client.sum == pytest.approx(sum(spans) / 1e9, abs=1e-6)


def test_a_duration_leads_to_its_trace(telemetry):
    with World("blocking", Calculator()) as world:
        world.call("add", 1, 2)
    for name, kind in ((CLIENT_DURATION, "CLIENT"), (SERVER_DURATION, "SERVER")):
        (point,) = telemetry.points(name)
        (exemplar,) = point.exemplars
        assert exemplar.span_id == telemetry.span(kind).context.span_id


@pytest.mark.parametrize("method", ["span", "span_async", "span_here"])
def test_a_handler_of_any_kind_runs_in_the_span_of_its_server(telemetry, method):
    with World("blocking", Traced()) as world:
        seen = world.call(method)
    assert seen == telemetry.span("SERVER").context.span_id
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize("kind", BOTH)
def test_a_call_is_a_child_of_the_span_that_is_current(telemetry, kind):
    with World(kind, Calculator()) as world:
        tracer = telemetry.tracers.get_tracer("test")
        with tracer.start_as_current_span("outer") as outer:
            if kind == "asyncio":
                current = context.get_current()

                async def call():
                    context.attach(current)
                    return await world.user.client.service("calc").add(1, 2)

                asyncio.run_coroutine_threadsafe(call(), world.user.loop).result(PATIENCE)
            else:
                world.call("add", 1, 2)
    assert is_child(telemetry.span("CLIENT"), outer)


def test_what_was_current_as_a_server_started_is_no_parent_of_its_requests(telemetry):
    tracer = telemetry.tracers.get_tracer("test")
    with (
        tracer.start_as_current_span("start"),
        serving(Calculator(), observers="opentelemetry") as server,
        bee_core.build_client(client_config(server.address)) as client,
    ):
        client.service("calc").add(1, 2)
    assert telemetry.span("SERVER").parent is None


# ── errors ──


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("method", ["fail", "fail_async"])
def test_an_error_of_the_handler_is_one_at_both_ends(telemetry, kind, method):
    with World(kind, Calculator()) as world, pytest.raises(CallError):
        world.call(method, "gone")
    for span in telemetry.spans():
        assert span.status.status_code.name == "ERROR"
        assert span.attributes["rpc.status_code"] == span.attributes["error.type"] == "REMOTE_ERROR"
        assert span.attributes["bee.error_type"] in {"KeyError", "LookupError"}
        assert "gone" in span.status.description
    for name in (CLIENT_DURATION, SERVER_DURATION):
        (point,) = telemetry.points(name)
        assert point.attributes["error.type"] == "REMOTE_ERROR"


def test_a_mistake_of_the_caller_is_no_error_of_the_server(telemetry):
    with World("blocking", Calculator()) as world, pytest.raises(CallError):
        world.call("add", "x", "y")
    client, server = telemetry.span("CLIENT"), telemetry.span("SERVER")
    assert client.attributes["error.type"] == "INVALID_ARGUMENT"
    assert server.attributes["rpc.status_code"] == "INVALID_ARGUMENT"
    assert "error.type" not in server.attributes
    assert server.status.status_code.name == "UNSET"


def test_a_method_that_is_not_there_makes_no_series_of_its_own(telemetry):
    with World("blocking", Calculator()) as world:
        for name in ("nope", "neither"):
            with pytest.raises(CallError):
                world.call(name)
    first, second = telemetry.spans("CLIENT")
    assert first.name == second.name == "bee"
    assert first.attributes["rpc.method"] == "_OTHER"
    assert first.attributes["rpc.method_original"] == "calc/nope"
    assert telemetry.spans("SERVER") == []
    for name in (CLIENT_DURATION, SERVER_DURATION):
        (point,) = telemetry.points(name)
        assert point.count == 2
        assert point.attributes["rpc.method"] == "_OTHER"
        assert point.attributes["error.type"] == "METHOD_NOT_FOUND"


def test_a_request_that_is_refused_is_measured_under_the_name_of_its_method(telemetry):
    calculator = Calculator()
    with (
        serving(calculator, observers="opentelemetry", max_in_flight=1) as server,
        bee_core.build_client(client_config(server.address, retries=0)) as client,
    ):
        calc = client.service("calc")
        held = bee_core.future(calc.hold, 1)
        calculator.await_entered()
        with pytest.raises(CallError):
            calc.hold(2)
        with pytest.raises(CallError):
            calc.add(1, 2)  # nobody has called it yet, so it may be any name
        calculator.release.set()
        held.result(PATIENCE)
    points = {
        (point.attributes["rpc.method"], point.attributes["rpc.status_code"])
        for point in telemetry.points(SERVER_DURATION)
    }
    assert points == {("calc/hold", "OK"), ("calc/hold", "OVERLOADED"), ("_OTHER", "OVERLOADED")}
    assert len(telemetry.spans("SERVER")) == 1


@pytest.mark.parametrize("kind", BOTH)
def test_a_retry_is_a_second_attempt_of_one_call(telemetry, kind):
    dead = f"tcp://127.0.0.1:{fixed_port()}"
    with serving(Calculator()) as server:
        settings = {"balancer": "round-robin", "fail": "failover", "observers": "opentelemetry"}
        alive = server.address
        user = make_user(kind, client_config(dead, alive, **settings))
        try:
            for _ in range(2):
                assert user.call("add", 1, 2) == 3
        finally:
            user.close()
    call = next(one for one in telemetry.spans("CLIENT") if one.attributes["bee.attempts"] == 2)
    first, second = (span for span in telemetry.spans("INTERNAL") if is_child(span, call))
    assert (first.attributes["bee.attempt"], second.attributes["bee.attempt"]) == (1, 2)
    assert first.attributes["bee.node.id"] == dead
    assert first.attributes["error.type"] == "UNAVAILABLE"
    assert first.status.status_code.name == "ERROR"
    assert second.attributes["bee.node.id"] == alive
    assert "error.type" not in second.attributes
    assert first.end_time <= second.end_time <= call.end_time
    # Of an error that a retry made good the call says nothing.
    assert call.attributes["rpc.status_code"] == "OK"
    assert "error.type" not in call.attributes
    # Two nodes are no address of the service: its name is.
    assert call.attributes["server.address"] == "calc"
    assert "server.port" not in call.attributes


def test_without_spans_of_attempts_a_failed_one_is_an_event(telemetry):
    dead = f"tcp://127.0.0.1:{fixed_port()}"
    config = client_config(dead, observers=traced(attempts=False), fail="failtry", retries=1)
    with bee_core.build_client(config) as client, pytest.raises(CallError):
        client.service("calc").add(1, 2)
    span = telemetry.span()
    assert [event.name for event in span.events] == ["bee.attempt_failed"] * 2
    assert span.events[1].attributes["bee.attempt"] == 2
    assert span.events[1].attributes["error.type"] == "UNAVAILABLE"


@pytest.mark.parametrize("kind", BOTH)
def test_a_fallback_is_seen_and_the_call_has_failed_all_the_same(telemetry, kind):
    dead = f"tcp://127.0.0.1:{fixed_port()}"
    settings = {"fallback": {"name": "static", "options": {"value": 7}}, "retries": 0}
    user = make_user(kind, client_config(dead, observers="opentelemetry", **settings))
    try:
        assert user.call("add", 1, 2) == 7
    finally:
        user.close()
    span = telemetry.span("CLIENT")
    assert span.attributes["bee.degraded"] is True
    assert span.attributes["error.type"] == "UNAVAILABLE"
    assert [event.name for event in span.events] == ["bee.fallback"]
    (point,) = telemetry.points(CLIENT_DURATION)
    assert point.attributes["bee.degraded"] is True


def test_a_call_that_is_cancelled_ends_at_both_ends(telemetry):
    calculator = Calculator()
    with World("asyncio", calculator) as world:
        call = world.user.start("hold_async", 1)
        calculator.await_entered()
        call.cancel()
        calculator.await_cancelled()
    client, server = telemetry.span("CLIENT"), telemetry.span("SERVER")
    assert client.attributes["error.type"] == "CANCELLED"
    assert telemetry.span("INTERNAL").attributes["rpc.status_code"] == "CANCELLED"
    assert server.attributes["rpc.status_code"] == "CANCELLED"
    assert server.status.status_code.name == "UNSET"


@pytest.mark.parametrize("method", ["hold_async", "watch_cancelled"])
def test_a_deadline_that_passes_while_the_handler_runs_is_one_at_both_ends(telemetry, method):
    args = (1,) if method == "hold_async" else ()
    calculator = Calculator()
    with World("blocking", calculator, retries=0) as world:
        with pytest.raises(CallError):
            world.call(method, *args, options={"timeout": 0.1})
        calculator.await_cancelled()
    assert telemetry.span("CLIENT").attributes["error.type"] == "DEADLINE_EXCEEDED"
    # The client may give up first: then nobody waits for the server's word.
    assert telemetry.span("SERVER").attributes["rpc.status_code"] in {
        "DEADLINE_EXCEEDED",
        "CANCELLED",
    }


@pytest.mark.parametrize("kind", BOTH)
def test_a_oneway_call_says_that_nobody_knows_how_it_went(telemetry, kind):
    calculator = Calculator()
    with World(kind, calculator) as world:
        world.call("hold", 1, options={"oneway": True})
        calculator.await_entered()
        calculator.release.set()
    client, server = telemetry.span("CLIENT"), telemetry.span("SERVER")
    assert client.attributes["bee.oneway"] is True
    assert "rpc.status_code" not in client.attributes
    assert "rpc.status_code" not in telemetry.span("INTERNAL").attributes
    assert is_child(server, client)
    assert server.attributes["rpc.status_code"] == "OK"
    (point,) = telemetry.points(CLIENT_DURATION)
    assert "rpc.status_code" not in point.attributes


# ── many calls ──


class Relay:
    """A service whose handler calls another one."""

    def __init__(self, config):
        self.config, self.client = config, None

    async def pass_on(self, number: int) -> int:
        if self.client is None:
            self.client = bee_core.build_async_client(self.config)
        return await self.client.service("calc").add_async(number, 0)

    async def leave(self) -> None:
        await self.client.close()


@pytest.mark.parametrize("kind", BOTH)
def test_many_calls_at_a_time_keep_their_spans_apart(telemetry, kind):
    count = 64
    observed = {"observers": "opentelemetry"}
    with serving(Calculator(), **observed) as server:
        relay = Relay(client_config(server.address, **observed))
        with serving(relay, name="relay", **observed) as outer:
            user = make_user(kind, client_config(outer.address, service="relay", **observed))
            try:
                calls = [user.start("pass_on", number) for number in range(count)]
                assert [call.result(PATIENCE) for call in calls] == list(range(count))
                user.call("leave")
            finally:
                user.close()
    roots = [span for span in telemetry.spans("CLIENT", "relay/pass_on") if span.parent is None]
    assert len({root.context.trace_id for root in roots}) == len(roots) == count
    children = {}
    for span in telemetry.spans():
        children.setdefault(span.parent and span.parent.span_id, []).append(span)
    for root in roots:
        step = root
        for name in ("relay/pass_on", "calc/add_async", "calc/add_async"):
            below = children[step.context.span_id]
            assert {one.context.trace_id for one in below} == {root.context.trace_id}
            (step,) = (one for one in below if one.kind.name != "INTERNAL")
            assert step.name == name
        assert step.kind.name == "SERVER"
        assert step.context.span_id not in children


def test_no_more_methods_are_told_apart_than_fit():
    methods = Methods(frozenset())
    for number in range(MOST + 10):
        methods.get("calc", f"m{number}")
    assert methods.get("calc", "m0").attributes["rpc.method"] == "calc/m0"
    assert methods.get("calc", "one more").attributes["rpc.method"] == "_OTHER"
    methods.other("calc", "m0")
    assert methods.get("calc", "one more").attributes["rpc.method"] == "calc/one more"


def test_no_more_ways_to_end_are_told_apart_than_fit():
    method = Methods(frozenset({"OK"})).get("calc", "add")
    for number in range(MOST_STATUSES):
        assert method.measured(f"E{number}")["error.type"] == f"E{number}"
    assert method.measured("one more")["error.type"] == "_OTHER"
    assert method.measured("E1")["error.type"] == "E1"


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (None, "CANCELLED"),
        (Success(b""), "OK"),
        (local("circuit_open", "no"), "CIRCUIT_OPEN"),
        (SimpleNamespace(ok=False, kind="remote_error", code=""), "REMOTE_ERROR"),
        (SimpleNamespace(ok=False, kind="remote_error", code="OUT_OF_STOCK"), "OUT_OF_STOCK"),
    ],
)
def test_the_status_is_the_code_of_the_service_or_the_kind_of_the_error(outcome, status):
    assert status_of(outcome) == status


# ── addresses ──


@pytest.mark.parametrize(
    ("nodes", "source", "expected"),
    [
        (["tcp://a.example:9"], "address", {"server.address": "a.example", "server.port": 9}),
        (["unix:///run/calc.sock"], "address", {"server.address": "/run/calc.sock"}),
        (["tcp://a:9", "tcp://b:9"], "address", {"server.address": "calc"}),
        (["tcp://a:9"], "registry", {"server.address": "calc"}),
        (["tcp://a:9"], "cache", {"server.address": "calc"}),
    ],
)
def test_the_address_of_a_service_is_what_the_configuration_calls_it(nodes, source, expected):
    methods = Methods(frozenset())
    before = methods.get("calc", "add"), methods.other("calc")
    methods.locate("calc", Snapshot(1, source, tuple(Node(url, url) for url in nodes)))
    for method in (methods.get("calc", "add"), methods.other("calc")):
        assert method not in before
        assert attributes_of(method) == expected
    assert methods.get("calc", "add") is methods.get("calc", "add")


def attributes_of(method):
    return {k: v for k, v in method.attributes.items() if k.startswith("server.")}


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("10.0.0.9:4711", "10.0.0.9", 4711),
        ("::1:4711", "::1", 4711),
        ("unix:///run/a.sock", "/run/a.sock", None),
        ("tls://[::1]:9", "::1", 9),
        ("memory://calc", "calc", None),
        ("somebody", "somebody", None),
        ("no url ://", "no url ://", None),
    ],
)
def test_a_peer_has_an_address_and_perhaps_a_port(address, host, port):
    named = {"network.peer.address": host}
    assert peer_of(address) == ({**named, "network.peer.port": port} if port else named)


def test_a_url_without_a_port_has_none():
    assert server_address("memory://calc") == {"server.address": "calc"}


# ── propagation ──


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def started_with(metadata, **options):
    """The SERVER span of a request with this metadata."""
    observer = OpenTelemetry(OpenTelemetryOptions(**options))

    class Asked(IncomingCall):
        def __init__(self):
            InboundCall.__init__(
                self, "calc", "add", 30.0, metadata, {}, "10.0.0.9:4711", b"key", lambda: 1.0
            )

    call = Asked()

    def run():
        state = observer.request_started(call)
        observer.request_ended(state, call, Success(b""), 0.1)

    thread = threading.Thread(target=run)  # in a context of its own
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"traceparent": b"\x00\x01"},
        {"traceparent": PARENT.encode()},
        {"traceparent": "00-zz-01"},
        {"traceparent": "é" * 55, "tracestate": b"\xff"},
        {"baggage": b"\xff"},
    ],
)
def test_a_context_that_cannot_be_read_begins_a_trace(telemetry, metadata):
    started_with(metadata, baggage=True)
    assert telemetry.span("SERVER").parent is None


@pytest.mark.parametrize(
    "state",
    [
        "=,=",
        "k=v,k=w",
        "K=v",
        "k=",
        "k=\x1b",
        "k=" + "v" * 9000,
        ",".join(f"k{n}=v" for n in range(33)),
    ],
)
def test_a_state_that_is_none_is_left_out_and_fills_no_log(telemetry, caplog, state):
    started_with({"traceparent": PARENT, "tracestate": state})
    span = telemetry.span("SERVER")
    assert f"{span.parent.span_id:x}" == "b7ad6b7169203331"
    assert not span.context.trace_state
    assert not caplog.records


@pytest.mark.parametrize("state", ["a=1,,b=2", " a=1 , b=2", "a=1,t@b=two words"])
def test_a_state_that_is_one_is_taken_whole(telemetry, caplog, state):
    started_with({"traceparent": PARENT, "tracestate": state})
    assert len(telemetry.span("SERVER").context.trace_state) == 2
    assert not caplog.records


@pytest.mark.parametrize("value", ["x", "a=b;c=d", "=", "a=" + "b" * 9000, "a=1," * 200, "a=\x7f"])
def test_baggage_that_is_none_fills_no_log(telemetry, caplog, value):
    started_with({"traceparent": PARENT, "baggage": value}, baggage=True)
    telemetry.span("SERVER")
    assert not caplog.records


def test_the_callers_context_and_state_are_taken(telemetry):
    started_with({"traceparent": PARENT, "tracestate": "vendor=1"})
    span = telemetry.span("SERVER")
    assert f"{span.parent.span_id:x}" == "b7ad6b7169203331"
    assert span.context.trace_state["vendor"] == "1"


def test_the_context_goes_last_and_names_the_clients_span(telemetry):
    observer = OpenTelemetry(OpenTelemetryOptions())
    call = OutgoingCall()
    token = context.attach(
        trace.set_span_in_context(
            trace.NonRecordingSpan(
                trace.SpanContext(
                    1, 2, True, trace.TraceFlags(1), trace.TraceState([("vendor", "1")])
                )
            )
        )
    )
    try:
        state = observer.call_started(call)
    finally:
        context.detach(token)
    observer.call_ended(state, record_of(Success(b"3")))
    span = telemetry.span("CLIENT")
    assert list(call.metadata) == ["tenant", "tracestate", "traceparent"]
    assert call.metadata["tracestate"] == "vendor=1"
    assert call.metadata["traceparent"] == f"00-{1:032x}-{span.context.span_id:016x}-01"


@pytest.mark.parametrize(("option", "seen"), [(False, "None"), (True, "acme")])
def test_baggage_travels_if_the_option_says_so(telemetry, option, seen):
    with World("blocking", Traced(), observers=traced(baggage=option)) as world:
        token = context.attach(baggage.set_baggage("tenant", "acme"))
        try:
            assert world.call("carried") == seen
        finally:
            context.detach(token)


# ── options ──


def test_without_traces_nothing_is_sent_along_and_durations_are_measured(telemetry):
    with World("blocking", Calculator(), observers=traced(traces=False)) as world:
        assert "traceparent" not in world.call("said")
    assert telemetry.spans() == []
    assert telemetry.points(CLIENT_DURATION)[0].count == 1
    assert telemetry.points(SERVER_DURATION)[0].count == 1


def test_without_metrics_there_are_spans_alone(telemetry):
    with World("blocking", Calculator(), observers=traced(metrics=False)) as world:
        assert "traceparent" in world.call("said")
    assert len(telemetry.spans()) == 3
    assert telemetry.points(CLIENT_DURATION) == []


def test_with_neither_it_says_to_leave_it_out(telemetry):
    observers = traced(traces=False, metrics=False)
    with pytest.raises(ConfigError, match="leave the observer out"):
        bee_core.build_client(client_config("127.0.0.1:9", observers=observers))


def test_a_trace_that_is_not_sampled_has_no_spans_and_says_so_to_the_server(monkeypatch):
    telemetry = Telemetry(monkeypatch, sampler=ALWAYS_OFF)
    with World("blocking", Calculator()) as world:
        flags = world.call("said")["traceparent"].rpartition("-")[2]
        assert int(flags, 16) & trace.TraceFlags.SAMPLED == 0
        with pytest.raises(CallError):
            world.call("fail", "x")
    assert telemetry.spans() == []
    assert sum(point.count for point in telemetry.points(SERVER_DURATION)) == 2
    telemetry.close()


WITHOUT_SDK = """
import sys
sys.modules["opentelemetry.sdk"] = None
import bee_core
from opentelemetry import context, trace

server = bee_core.build_server({"bee": {"application": {"observers": "opentelemetry"},
    "rpc": {"server": {"name": "calc", "address": "memory://calc"}}}})

def seen() -> str:
    return bee_core.current_call().metadata.get("traceparent", "none")

def ids() -> str:
    return f"{trace.get_current_span().get_span_context().trace_id:x}"

server.add(seen)
server.add(ids)
config = {"bee": {"application": {"observers": "opentelemetry"},
    "rpc": {"client": {"calc": {"address": "memory://calc"}}}}}
with server.in_thread(), bee_core.build_client(config) as client:
    calc = client.service("calc")
    print(calc.seen())
    parent = trace.SpanContext(1, 2, True, trace.TraceFlags(1))
    context.attach(trace.set_span_in_context(trace.NonRecordingSpan(parent)))
    print(calc.seen(), calc.ids())
"""


def test_with_the_api_alone_it_does_nothing_but_pass_a_trace_on():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SDK], capture_output=True, text=True, check=True, timeout=60
    )
    first, second = done.stdout.splitlines()
    assert first == "none"
    assert second == f"00-{1:032x}-{2:016x}-01 1"
    assert done.stderr == ""


def test_a_server_that_stops_sends_what_is_left(monkeypatch, telemetry):
    flushed = []

    class Provider:
        def __init__(self, name):
            self.name = name

        def force_flush(self, timeout_millis):
            flushed.append((self.name, timeout_millis))

    monkeypatch.setattr(trace, "get_tracer_provider", lambda: Provider("spans"))
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: Provider("metrics"))
    with serving(Calculator(), observers="opentelemetry"):
        assert flushed == []
    assert flushed == [("spans", 1000), ("metrics", 1000)]


def test_events_without_a_state_are_passed_over(telemetry):
    """Something went wrong as the call began, and that was said."""
    observer = OpenTelemetry(OpenTelemetryOptions())
    outcome = local("unavailable", "no node")
    observer.attempt_ended(None, OutgoingCall(), Node("1", "tcp://a:1"), outcome, 0.1)
    observer.call_ended(None, record_of(outcome))
    observer.request_ended(None, IncomingCall(), outcome, 0.1)
    assert telemetry.spans() == []
