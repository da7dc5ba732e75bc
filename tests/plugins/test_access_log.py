"""The observer ``access-log``: which calls have a line, and what stands in it."""

from __future__ import annotations

import json
import logging

import attrs
import pytest

import bee_core
from bee_core.contracts.endpoint import InboundCall, Peer
from bee_core.errors import ConfigError, RemoteError
from bee_core.terms.causes import lost, reported
from bee_core.terms.failures import Success
from bee_core.testing import FakeClock, ObserverContract, seeded_random
from bee_plugins.observers.access_log import AccessLogOptions, Sample, _Lines, access_log
from faults.services import Calculator, serving
from faults.users import client_config

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
WELL, FAILED = Success(b"3"), lost("end of file")


class TestAccessLog(ObserverContract):
    def make_observer(self):
        return access_log(AccessLogOptions(calls=True))


class TestAccessLogOfASampleInJson(ObserverContract):
    def make_observer(self):
        return access_log(AccessLogOptions(format="json", sample=Sample(0.5, 0.5, 0.5)))


class Incoming(InboundCall):
    def __init__(self, method="add", metadata=(), body=b"[1,2]", peer="10.0.0.9:4711"):
        super().__init__("calc", method, None, dict(metadata), {}, peer, None, lambda: 1.0)
        self.id, self.form, self.body, self.compressed = 7, 0, body, False
        self.granted, self.caller = None, Peer(peer, "json", None)


@pytest.fixture
def written(caplog):
    """The records of the log, once something was written."""
    caplog.set_level(logging.INFO, "bee.access")

    def records():
        return [one for one in caplog.records if one.name == "bee.access"]

    return records


def observer(clock=None, **options):
    """The observer of requests, with a clock and randomness of the test's."""
    made = access_log(AccessLogOptions(**options))
    made._lines = _Lines(  # noqa: SLF001  # the seam of this test
        AccessLogOptions(**options), clock or FakeClock(), lambda: 1795959000.1234, seeded_random()
    )
    return made


def end(log, outcome=WELL, seconds=0.25, **request):
    log.request_ended(None, Incoming(**request), outcome, seconds)


def fields(line):
    return dict(part.split("=", 1) for part in line.split(" "))


def test_a_line_has_what_an_operator_asks_for_and_programs_get_it_as_fields(written):
    end(observer(), metadata={"traceparent": PARENT, "request-id": "r-1"})
    (record,) = written()
    assert record.getMessage() == (
        "time=2026-11-29T13:30:00.123Z event=request service=calc method=add"
        " peer=10.0.0.9:4711 request=7 status=ok seconds=0.250000 bytes=5"
        f" trace={TRACE} request_id=r-1"
    )
    assert (record.bee_event, record.bee_fields["seconds"]) == ("request", 0.25)


def test_a_failure_is_told_with_its_type_and_whether_the_handler_ran(written):
    end(observer(), reported("remote_error", "boom", error_type="OutOfStock"))
    end(observer(), FAILED)
    end(observer(), None)
    raised, gone, given_up = (fields(record.getMessage()) for record in written())
    assert (raised["status"], raised["type"], raised["executed"]) == (
        "remote_error",
        "OutOfStock",
        "yes",
    )
    assert (gone["status"], gone["executed"]) == ("unavailable", "maybe")
    assert given_up["status"] == "cancelled"


def test_json_is_one_object_a_line(written):
    end(observer(format="json"), metadata={"traceparent": PARENT})
    line = json.loads(written()[0].getMessage())
    assert (line["method"], line["trace"], line["seconds"]) == ("add", TRACE, 0.25)


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_strangers_send_stays_one_line_and_acts_on_no_terminal(written, form):
    hostile = 'a\x1b[31m\n" status=ok \u202e'
    end(observer(format=form), method=hostile, metadata={"request-id": hostile * 100})
    (line,) = [record.getMessage() for record in written()]
    assert line.isprintable()
    assert len(line) < 1500
    if form == "text":
        assert r'method="a\\x1b[31m\\n\" status=ok \\u202e"' in line


def test_nothing_of_arguments_results_messages_and_other_metadata_is_written(written):
    log = observer()
    end(log, body=b'["secret-1"]', metadata={"authorization": "secret-2"})
    end(log, reported("remote_error", "secret-3"))
    end(log, Success(b"secret-4"))
    assert "secret" not in " ".join(record.getMessage() for record in written())


def test_lines_are_sampled_by_how_a_call_ended(written):
    log = observer(sample=Sample(ok=0.0, error=1.0, slow=1.0), slow_after=1.0)
    end(log)
    end(log, seconds=1.5)
    end(log, FAILED)
    assert [fields(one.getMessage())["status"] for one in written()] == ["ok", "unavailable"]


def test_a_share_of_the_calls_has_a_line(written):
    log = observer(sample=Sample(ok=0.1), max_per_second=10_000)
    for _ in range(2000):
        end(log)
    assert 140 < len(written()) < 260


def test_services_that_sample_alike_have_the_lines_of_the_same_traces(written):
    rng = seeded_random()
    ids = [f"{rng.getrandbits(128):032x}" for _ in range(200)]
    for _ in range(2):
        log = observer(sample=Sample(ok=0.3))
        for trace in ids:
            end(log, metadata={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    traces = [record.bee_fields["trace"] for record in written()]
    assert traces[: len(traces) // 2] == traces[len(traces) // 2 :]
    assert 20 < len(traces) // 2 < 100


def test_lines_above_the_rate_are_counted_and_the_next_line_says_how_many(written):
    clock = FakeClock()
    log = observer(clock, max_per_second=2)
    for _ in range(5):
        end(log)
    clock.advance(1.0)
    end(log)
    assert [record.bee_fields.get("left_out") for record in written()] == [None, None, 3]


def test_at_a_client_a_line_has_node_and_attempts(written):
    with (
        serving(Calculator()) as server,
        bee_core.build_client(
            client_config(
                address := server.address,
                observers={"name": "access-log", "options": {"requests": False, "calls": True}},
                metadata={"traceparent": PARENT},
            )
        ) as client,
    ):
        assert client.service("calc").add(1, 2) == 3
        with pytest.raises(RemoteError):
            client.service("calc").fail("no")
    well, failed = (record.bee_fields for record in written())
    assert (well["node"], well["attempts"], well["status"]) == (address, 1, "ok")
    assert (failed["method"], failed["status"], failed["trace"]) == ("fail", "remote_error", TRACE)


def test_at_a_server_the_yaml_names_it(written):
    options = {"name": "access-log", "options": {"sample": {"ok": 1.0}}}
    with (
        serving(Calculator(), observers=options) as server,
        bee_core.build_client(client_config(server.address)) as client,
    ):
        assert client.service("calc").add(1, 2) == 3
    (line,) = (record.bee_fields for record in written())
    assert (line["event"], line["method"], line["status"]) == ("request", "add", "ok")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sample": {"ok": 1.5}}, "a share from 0 to 1"),
        ({"format": "xml"}, "format"),
        ({"slow_after": 0}, "more than 0"),
        ({"requests": False}, "writes nothing"),
    ],
)
def test_impossible_options_are_refused(options, said):
    config = client_config("127.0.0.1:1", observers={"name": "access-log", "options": options})
    with pytest.raises((ConfigError, bee_core.errors.PluginError), match=said):
        bee_core.build_client(config)


def test_the_options_have_defaults():
    assert attrs.asdict(AccessLogOptions())["sample"] == {"ok": 1.0, "error": 1.0, "slow": 1.0}
