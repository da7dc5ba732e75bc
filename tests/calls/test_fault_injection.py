"""``faults`` of a client's service: what attempts meet, and that nothing of it costs others."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bee_core
from bee_core.calls.fault_injection import chosen
from bee_core.cli import main
from bee_core.config import load_config
from bee_core.config.fault_model import FaultConfig
from bee_core.errors import ConfigError, DeadlineExceeded, Overloaded, Unavailable
from bee_core.terms.causes import cancelled, lost
from bee_core.testing import seeded_random
from bee_plugins.fault_tolerance.failover import FailOver
from bee_plugins.fault_tolerance.failtry import BackoffOptions
from support.call_harness import SUCCESS, Harness

LOST = lost("end of file")


def fault(kind="error", rate=1.0, **more):
    return FaultConfig(kind=kind, rate=rate, **more)


def harness(*faults, **more):
    return Harness("abc", gates={"a": {}, "b": {}, "c": {}}, faults=faults, **more)


def failover(**more):
    return {"fail": FailOver(BackoffOptions(base=0.001)), "retries": 2, **more}


def test_an_error_fails_the_attempt_and_nothing_is_sent():
    made = harness(fault())
    result = made.run()
    assert isinstance(result.error, Unavailable)
    assert (result.error.executed, result.attempts) == ("no", [])
    assert made.gates["a"].verdicts == ["unavailable"]
    assert made.gates["a"].held == 0


def test_each_attempt_draws_anew_so_retries_are_tried_too():
    made = harness(fault(), **failover())
    result = made.run()
    assert result.error.attempts == 3
    assert [gate.verdicts for gate in made.gates.values()] == [["unavailable"]] * 3


def test_load_is_no_fault_of_the_node():
    made = harness(fault(error="Overloaded"))
    assert isinstance(made.run().error, Overloaded)
    assert made.nodes.states["a"].breaker.state == "closed"


def test_a_delay_comes_before_the_request_and_is_bounded_by_the_deadline():
    made = harness(fault("delay", seconds=2.0))
    result = made.run(SUCCESS)
    assert (result.value, result.pauses) == (3, [2.0])
    made = harness(fault("delay", seconds=60.0), timeout=5.0)
    assert made.run(SUCCESS).pauses == [5.0]


def test_a_drop_lasts_the_read_timeout_and_it_is_unknown_whether_the_call_ran():
    made = harness(fault("drop"), read_timeout=1.0)
    result = made.run()
    assert isinstance(result.error, DeadlineExceeded)
    assert (result.error.executed, result.pauses, result.attempts) == ("maybe", [1.0], [])


def test_a_drop_that_the_deadline_cuts_short_does_not_count_against_the_node():
    for seconds, blame in ((10.0, "none"), (1.0, "node")):
        made, outcomes = harness(fault("drop"), read_timeout=seconds, timeout=2.0), []
        made.balancer.settle = lambda node, outcome, *_, heard=outcomes: heard.append(outcome)
        assert made.run().pauses == [min(2.0, seconds)]
        assert [(one.kind, one.blame) for one in outcomes] == [("deadline_exceeded", blame)]


def test_a_write_that_was_dropped_is_not_tried_again_and_a_read_is():
    made = harness(fault("drop"), read_timeout=1.0, **failover())
    assert made.run().error.attempts == 1
    made = harness(fault("drop"), read_timeout=1.0, **failover())
    assert made.run(idempotent=True).error.attempts == 3


def test_a_fault_of_a_method_meets_no_other():
    made = harness(fault(method="add"))
    assert made.run(SUCCESS, method="sub").value == 3
    assert isinstance(made.run(method="add").error, Unavailable)


def test_a_client_that_is_closed_in_a_delay_ends_the_call():
    made = harness(fault("delay"))
    result = made.run(pause=cancelled("the client was closed", sent=False))
    assert result.error.kind == "cancelled"
    assert made.gates["a"].held == 0


def test_a_service_without_faults_has_nothing_between_a_call_and_its_attempts():
    assert not Harness("a").service.staged
    assert harness(fault(rate=0.5)).service.staged


@given(st.lists(st.tuples(st.floats(0.01, 1.0), st.sampled_from([None, "add", "sub"]))))
@settings(deadline=None)
def test_the_first_fault_whose_turn_it_is_is_met_as_the_seed_says(drawn):
    faults = [fault(rate=rate, method=method) for rate, method in drawn]
    rng, model = seeded_random(7), seeded_random(7)
    for _ in range(20):
        expected = None
        for one in faults:
            if one.method in (None, "add") and model.random() < one.rate:
                expected = one
                break
        assert chosen(faults, "add", rng) is expected


def test_about_as_many_attempts_as_stated_meet_a_fault():
    faults, rng = [fault(rate=0.2)], seeded_random(3)
    met = sum(chosen(faults, "add", rng) is not None for _ in range(10_000))
    assert 1_850 < met < 2_150


class Counter:
    def __init__(self):
        self.runs = 0

    def add(self, a, b):
        self.runs += 1
        return a + b


def configured(address, faults, **more):
    client = {"address": address, "faults": faults, **more}
    return {"bee": {"rpc": {"client": {"calc": client}}}}


@pytest.mark.parametrize("style", ["blocking", "asyncio"])
def test_no_write_runs_twice_and_executed_is_true_whatever_is_injected(style):
    counter = Counter()
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": "127.0.0.1:0"}}}}
    )
    server.add(counter)
    faults = [
        {"kind": "error", "rate": 0.3},
        {"kind": "drop", "rate": 0.1},
        {"kind": "delay", "rate": 0.2, "seconds": 0.001},
    ]
    with server.in_thread():
        config = configured(server.address, faults, fail="failtry", read_timeout=0.5, timeout=5)
        config["bee"]["rpc"]["client"]["calc"]["read_timeout"] = 0.02
        told = []

        def take(error):
            told.append("yes" if error is None else error.executed)

        if style == "blocking":
            with bee_core.build_client(config) as client:
                for _ in range(100):
                    runs = counter.runs
                    try:
                        client.service("calc").add(1, 2)
                        take(None)
                    except bee_core.errors.CallError as error:
                        take(error)
                    ran = counter.runs - runs
                    assert ran == 1 if told[-1] == "yes" else ran <= (told[-1] == "maybe")
        else:

            async def calls():
                async with bee_core.build_async_client(config) as client:
                    for _ in range(100):
                        runs = counter.runs
                        try:
                            await client.service("calc").add(1, 2)
                            take(None)
                        except bee_core.errors.CallError as error:
                            take(error)
                        ran = counter.runs - runs
                        assert ran == 1 if told[-1] == "yes" else ran <= (told[-1] == "maybe")

            asyncio.run(calls())
    assert len(told) == 100
    assert "yes" in told


def test_faults_are_said_in_the_log_and_by_explain(caplog, capsys, tmp_path):
    path = tmp_path / "bee.yml"
    path.write_text(
        "bee: {rpc: {client: {calc: {address: '127.0.0.1:1', faults:"
        " {kind: delay, rate: 0.25, seconds: 200ms, method: add}}}}}\n",
        encoding="utf-8",
    )
    said = "25% of attempts: delay 0.2 s (add)"
    with caplog.at_level(logging.WARNING, "bee.client"), bee_core.build_client(path):
        pass
    assert f"calc: FAULTS ARE INJECTED into its calls: {said}" in caplog.text
    main(["explain", "calc", "--no-ping", "--config", str(path)])
    assert f"FAULTS ARE INJECTED into these calls: {said}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("one", "key"),
    [
        ({"kind": "delay"}, "rate"),
        ({"rate": 0.5}, "kind"),
        ({"kind": "crash", "rate": 0.5}, "kind"),
        ({"kind": "delay", "rate": 0}, "rate"),
        ({"kind": "delay", "rate": 2}, "rate"),
        ({"kind": "delay", "rate": 0.5, "seconds": 0}, "seconds"),
        ({"kind": "error", "rate": 0.5, "error": "RemoteError"}, "error"),
        ({"kind": "error", "rate": 0.5, "caller": "a"}, "caller"),
        ({"kind": "drop", "rate": 0.5, "seconds": 3}, "seconds is for kind: delay, and this one"),
        ({"kind": "delay", "rate": 0.5, "error": "Overloaded"}, "error is for kind: error"),
    ],
)
def test_an_impossible_fault_is_an_error_with_its_path(one, key):
    with pytest.raises(ConfigError) as caught:
        load_config(configured("127.0.0.1:1", [one]))
    assert "bee.rpc.client.calc.faults" in str(caught.value)
    assert key in str(caught.value)
