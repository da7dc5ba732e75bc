"""The observer prometheus: its numbers, the bounds of its labels, the folder of workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client import REGISTRY, Counter, values
from prometheus_client.parser import text_string_to_metric_families

import bee_core
from bee_core.config import PluginRef
from bee_core.errors import ConfigError
from bee_core.interfaces import CallRecord, Node, Snapshot, Success, local
from bee_core.plugins.hub import PluginHub
from bee_core.testing import ObserverContract
from bee_core.testing.observing_contracts import IncomingCall, OutgoingCall
from bee_plugins.observers import prometheus_meters
from bee_plugins.observers.prometheus import Prometheus, PrometheusOptions
from bee_plugins.observers.prometheus_meters import Meters
from bee_plugins.observers.prometheus_numbers import families
from bee_plugins.observers.prometheus_workers import SharedFolder

NODE = Node("1", "tcp://10.0.0.1:9000")
OTHER = Node("2", "tcp://10.0.0.2:9000")


class TestPrometheus(ObserverContract):
    def make_observer(self):
        return Prometheus(PrometheusOptions())


@pytest.fixture
def observer():
    """An observer with metrics of its own."""
    made = Prometheus(PrometheusOptions())
    made.renew(Meters(made.meters.boundaries))
    return made


def collected(observer):
    meters = observer.meters
    yield from families(meters.numbers.items(), meters.boundaries)
    yield from meters.registry.collect()


def read(observer, name, **labels):
    wanted = (name, labels)
    samples = [one for metric in collected(observer) for one in metric.samples]
    return next((one.value for one in samples if (one.name, one.labels) == wanted), None)


def call(observer, method, failure=None, attempts=1, degraded=False):
    state = observer.call_started(OutgoingCall())
    observer.call_ended(state, CallRecord("calc", method, NODE, attempts, 0.02, failure, degraded))


CALLS = "rpc_client_call_duration_seconds_count"


def test_a_call_is_counted_by_its_method_and_the_kind_of_its_error(observer):
    call(observer, "add")
    call(observer, "add", local("overloaded", "too many"), attempts=3)
    call(observer, "add", local("unavailable", "no node"), degraded=True)
    names = {"rpc_service": "calc", "rpc_method": "add"}
    for kind in ("", "overloaded", "unavailable"):
        assert read(observer, CALLS, **names, error_type=kind) == 1
    bucket = "rpc_client_call_duration_seconds_bucket"
    assert read(observer, bucket, **names, error_type="", le="0.01") == 0
    assert read(observer, bucket, **names, error_type="", le="0.025") == 1
    assert read(observer, "bee_client_retries_total", **names) == 2
    assert read(observer, "bee_client_degraded_calls_total", **names) == 1
    assert read(observer, "bee_client_calls_in_flight", rpc_service="calc") == 0


def test_a_call_that_runs_is_in_flight(observer):
    state = observer.call_started(OutgoingCall())
    assert read(observer, "bee_client_calls_in_flight", rpc_service="calc") == 1
    request = observer.request_started(IncomingCall())
    assert read(observer, "bee_server_requests_in_flight", rpc_service="calc") == 1
    observer.request_ended(request, IncomingCall(), None, 0.1)
    names = {"rpc_service": "calc", "rpc_method": "Stats.mean"}
    name = "rpc_server_call_duration_seconds_count"
    assert read(observer, name, **names, error_type="cancelled") == 1
    observer.request_ended(
        observer.request_started(IncomingCall()), IncomingCall(), Success(b""), 1
    )
    assert read(observer, name, **names, error_type="") == 1
    observer.call_ended(state, CallRecord("calc", "add", None, 0, 0.1, None, False))
    assert read(observer, "bee_client_calls_in_flight", rpc_service="calc") == 0


def labels(observer, label):
    return {
        sample.labels[label]
        for metric in collected(observer)
        for sample in metric.samples
        if label in sample.labels
    }


def test_a_caller_that_makes_up_methods_makes_one_label(observer, monkeypatch):
    for number in range(50):
        call(observer, f"made-up-{number}", local("method_not_found", "no such method"))
    assert labels(observer, "rpc_method") == {"_OTHER"}
    for name in ("x" * 200, "two\nlines", "\ud800"):
        call(observer, name)
    assert labels(observer, "rpc_method") == {"_OTHER"}
    monkeypatch.setattr(prometheus_meters, "MOST_METHODS", 10)
    for number in range(50):
        call(observer, f"there-{number}")
    assert len(labels(observer, "rpc_method")) == 11
    assert read(observer, CALLS, rpc_service="calc", rpc_method="_OTHER", error_type="") == 43


def test_breakers_are_counted_and_named_as_long_as_their_nodes_are_listed(observer):
    for node in (NODE, OTHER):
        observer.breaker_changed("calc", node, "closed", "open")
    observer.breaker_changed("calc", NODE, "open", "half-open")

    def counts():
        return tuple(
            read(observer, "bee_client_breakers", rpc_service="calc", state=state)
            for state in ("open", "half-open")
        )

    def state(node):
        return read(observer, "bee_client_breaker_state", rpc_service="calc", node=node.url)

    assert counts() == (1, 1)
    assert (state(NODE), state(OTHER)) == (1, 2)
    observer.breaker_changed("calc", NODE, "half-open", "closed")
    assert (counts(), state(NODE)) == ((1, 0), 0)
    observer.nodes_changed("calc", Snapshot(2, "registry", (NODE,)))
    assert (counts(), state(NODE), state(OTHER)) == ((0, 0), 0, None)


def test_what_a_client_cut_off_leaves_with_it_and_what_another_one_cut_off_stays(observer):
    other = Prometheus(PrometheusOptions())
    other.renew(observer.meters)
    for one in (observer, other):
        one.breaker_changed("calc", NODE, "closed", "open")
    observer.breaker_changed("calc", OTHER, "closed", "open")

    def shown():
        opened = read(observer, "bee_client_breakers", rpc_service="calc", state="open")
        states = [
            read(observer, "bee_client_breaker_state", rpc_service="calc", node=node.url)
            for node in (NODE, OTHER)
        ]
        return opened, *states

    assert shown() == (3, 2, 2)
    observer.event("service_left", {"service": "calc"})
    assert shown() == (1, 2, None)
    other.event("service_left", {"service": "calc"})
    assert shown() == (0, None, None)
    observer.breaker_changed("calc", NODE, "half-open", "closed")  # a call that was under way
    assert shown() == (0, 0, None)


def test_the_nodes_of_all_clients_of_a_process_are_added_up(observer):
    other = Prometheus(PrometheusOptions())
    other.renew(observer.meters)

    def shown(state):
        return read(observer, "bee_client_nodes", rpc_service="calc", state=state)

    observer.event("nodes", {"service": "calc", "listed": 5, "fitting": 3})
    other.event("nodes", {"service": "calc", "listed": 4, "fitting": 4})
    other.event("nodes_in_doubt", {"service": "calc", "nodes": 1})
    assert (shown("listed"), shown("fitting"), shown("in_doubt")) == (9, 7, 1)
    observer.event("nodes", {"service": "calc", "listed": 6, "fitting": 1})
    assert (shown("listed"), shown("fitting"), shown("in_doubt")) == (10, 5, 1)
    other.event("service_left", {"service": "calc"})
    assert (shown("listed"), shown("fitting"), shown("in_doubt")) == (6, 1, 0)
    observer.event("service_left", {"service": "calc"})
    assert (shown("listed"), shown("fitting")) == (None, None)


def test_a_registry_is_out_of_reach_as_long_as_one_client_does_not_reach_it(observer):
    other = Prometheus(PrometheusOptions())
    other.renew(observer.meters)

    def shown():
        return read(observer, "bee_registry_in_reach", rpc_service="reached")

    observer.registry_changed("reached", "registry_out_of_reach", "refused")
    other.registry_changed("reached", "registry_in_reach", "")
    assert shown() == 0
    observer.event("service_left", {"service": "reached"})
    assert shown() == 1


def test_repetitions_are_counted_by_what_answered_them(observer):
    for repeated, deduplicated in ((False, False), (True, False), (True, True), (True, True)):
        request = IncomingCall()
        request.repeated, request.deduplicated = repeated, deduplicated
        observer.request_ended(observer.request_started(request), request, Success(b"3"), 0.1)
    method = {"rpc_service": "calc", "rpc_method": "Stats.mean"}
    counted = "bee_server_repeated_requests_total"
    assert read(observer, counted, **method, answer="remembered") == 2
    assert read(observer, counted, **method, answer="new") == 1


def test_a_server_is_counted_as_long_as_its_observer_watches_it(observer):
    def processes():
        return read(observer, "bee_server_processes")

    observer.server_changed("draining")  # it was added as the server drained
    assert processes() == 0
    observer.server_changed("serving")
    assert processes() == 1
    observer.event("service_left", {"service": "calc"})
    observer.server_changed("draining")
    assert processes() == 0


def test_the_nodes_that_breakers_name_are_bounded(observer):
    for number in range(2 * prometheus_meters.MOST_NODES):
        node = Node(str(number), f"tcp://10.0.{number // 250}.{number % 250}:9000")
        observer.breaker_changed("calc", node, "closed", "open")
    assert len(labels(observer, "node")) == prometheus_meters.MOST_NODES
    opened = read(observer, "bee_client_breakers", rpc_service="calc", state="open")
    assert opened == 2 * prometheus_meters.MOST_NODES


def test_nodes_leases_limiters_and_rejections_are_told_by_events(observer):
    service = {"rpc_service": "calc"}
    observer.event("nodes", {"service": "calc", "listed": 5, "fitting": 3})
    observer.event("nodes_in_doubt", {"service": "calc", "nodes": 2})
    for state, nodes in (("listed", 5), ("fitting", 3), ("in_doubt", 2)):
        assert read(observer, "bee_client_nodes", **service, state=state) == nodes
    for state in ("registering", "held", "unsure"):
        observer.event("lease", {"service": "calc", "state": state})
    assert read(observer, "bee_server_lease", **service, state="held") == 0
    assert read(observer, "bee_server_lease", **service, state="unsure") == 1
    for state in ("queued", "refused", "refused"):
        for side in ("client", "server"):
            limited = {"side": side, "service": "calc", "method": "x", "state": state}
            observer.event("limiter", limited)
    assert read(observer, "bee_client_limited_calls_total", **service, state="refused") == 2
    observer.request_refused(IncomingCall(), local("overloaded", "too many"))
    rejected = "bee_server_rejected_requests_total"
    assert read(observer, rejected, **service, error_type="overloaded") == 1
    observer.registry_changed("calc", "registry_out_of_reach", "refused")
    assert read(observer, "bee_registry_in_reach", **service) == 0
    observer.registry_changed("calc", "registry_in_reach", "")
    assert read(observer, "bee_registry_in_reach", **service) == 1


def test_the_exposition_has_bee_s_metrics_and_those_of_the_program():
    of_the_program = Counter("sold_tea", "Cups of tea that were sold.")
    try:
        of_the_program.inc()
        made = Prometheus(PrometheusOptions())
        kind, body = made.exposition("text/plain")
        families = {one.name: one for one in text_string_to_metric_families(body.decode())}
        assert kind.startswith("text/plain")
        assert families["sold_tea"].samples[0].value == 1
        assert families["rpc_client_call_duration_seconds"].type == "histogram"
        kind, body = made.exposition("application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
    finally:
        REGISTRY.unregister(of_the_program)


@pytest.mark.parametrize("buckets", [[], [0.0, 1.0], [-1.0], [1.0, 1.0], [2.0, 1.0], ["x"]])
def test_buckets_ascend(buckets):
    hub = PluginHub()
    ref = PluginRef("prometheus", {"buckets": buckets}, "bee.application.observers")
    with pytest.raises(ConfigError, match="buckets"):
        hub.create(ref, "observer", origin=lambda _: None)


def test_two_lists_of_buckets_in_one_process_are_an_error():
    kept = Prometheus(PrometheusOptions())
    application = {"observers": {"name": "prometheus", "options": {"buckets": [0.1, 1.0]}}}
    config = {"bee": {"application": application, "rpc": {"client": {"calc": {"address": "x:1"}}}}}
    with pytest.raises(ConfigError, match="this process has other buckets already"):
        bee_core.build_client(config)
    assert kept is not None


# ── workers ──


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    return tmp_path


def test_a_parent_counts_in_a_private_folder_until_its_workers_have_ended(temporary):
    made = Prometheus(PrometheusOptions())
    before = values.ValueClass
    made.workers_begin()
    try:
        (folder,) = temporary.iterdir()
        assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(folder)
        call(made, "add")
        assert f'{CALLS}{{error_type="",rpc_method="add"' in made.exposition("")[1].decode()
        made.worker_ended(os.getpid())
        assert [one.name for one in folder.glob("*.n*")] == []
        assert f'{CALLS}{{error_type="",rpc_method="add"' in made.exposition("")[1].decode()
    finally:
        made.workers_ended()
    assert list(temporary.iterdir()) == []
    assert values.ValueClass is before
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_a_folder_of_the_user_is_used_and_stays(temporary, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(temporary / "theirs"))
    monkeypatch.setattr(values, "ValueClass", of_theirs := values.MultiProcessValue())
    (temporary / "theirs").mkdir()
    (temporary / "theirs" / "bee_999999999.names").write_text(
        '[0, 1, "in_flight", "client", "x"]\n'
    )
    folder = SharedFolder([1.0])
    assert Path(folder.path) == temporary / "theirs"
    assert list(Path(folder.path).iterdir()) == [], "numbers of an earlier run"
    assert values.ValueClass is of_theirs, "two would write to one file"
    folder.remove()
    assert (temporary / "theirs").is_dir()
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(temporary / "theirs")


def test_what_a_dead_program_has_left_is_removed_and_what_lives_is_not(temporary):
    (temporary / "bee-prometheus-dead").mkdir()
    (temporary / "bee-prometheus-dead" / ".lock").touch()
    (temporary / "bee-prometheus-none").mkdir()
    (temporary / "other").mkdir()
    first = SharedFolder([1.0])
    del os.environ["PROMETHEUS_MULTIPROC_DIR"]
    second = SharedFolder([1.0])
    left = {one.name for one in temporary.iterdir()}
    assert left == {
        Path(first.path).name,
        Path(second.path).name,
        "bee-prometheus-none",
        "other",
    }
    for folder in (second, first):
        folder.remove()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_begins_at_zero():
    made = Prometheus(PrometheusOptions())
    call(made, "forked")
    names = {"rpc_service": "calc", "rpc_method": "forked", "error_type": ""}
    before = read(made, CALLS, **names)
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        call(made, "forked")
        os.write(write_end, b"%d" % read(made, CALLS, **names))
        os._exit(0)
    os.close(write_end)
    assert os.read(read_end, 8) == b"1"
    os.close(read_end)
    os.wait()
    assert read(made, CALLS, **names) == before
