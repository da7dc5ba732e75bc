"""When fallbacks begin and cease to answer is said, once each."""

from __future__ import annotations

from bee_core.calls.degradation import CALM, MOST, Degradation
from bee_core.errors import Unavailable
from support.call_harness import SUCCESS, Harness, failure


def test_the_first_answer_is_said_with_the_error_and_the_rest_is_not():
    harness = Harness("a", fallback=7)
    for _ in range(5):
        assert harness.run(failure()).value == 7
    (line,) = harness.complaints
    assert line.startswith("calc.add: degraded: ")
    assert "answers instead of Unavailable: it failed" in line


def test_each_method_is_said_by_itself():
    harness = Harness("a", fallback=7)
    for method in ("add", "mean", "add"):
        harness.run(failure(), method=method)
    assert [line.split(":")[0] for line in harness.complaints] == ["calc.add", "calc.mean"]


def test_a_result_after_some_calm_is_the_end_and_is_said():
    harness = Harness("a", fallback=7)
    harness.run(failure())
    harness.clock.advance(2.0)
    harness.run(failure())
    harness.run(SUCCESS)
    assert len(harness.complaints) == 1, "half of the calls still fail"
    harness.clock.advance(CALM)
    harness.run(SUCCESS)
    harness.run(SUCCESS)
    (_, line) = harness.complaints
    assert line == (
        "calc.add: no longer degraded: nodes answer again; the fallback answered 2 calls in 2.0 s"
    )
    assert not harness.service.attentive, "calls that go well are nobody's business again"


def test_it_begins_anew_after_its_end():
    harness = Harness("a", fallback=7)
    harness.run(failure())
    harness.clock.advance(CALM)
    harness.run(SUCCESS)
    harness.run(failure())
    assert len(harness.complaints) == 3


def test_a_fallback_that_declines_is_no_degradation():
    harness = Harness("a", fallback="declines")
    assert harness.run(failure()).error.kind == "unavailable"
    assert harness.complaints == []


def test_observers_hear_of_it():
    class Watcher:
        def __init__(self):
            self.events = []

        def event(self, name, fields):
            self.events.append((name, fields["method"], fields["state"], fields["calls"]))

    watcher = Watcher()
    harness = Harness("a", fallback=7, watchers=[watcher])
    harness.run(failure())
    harness.clock.advance(CALM)
    harness.run(SUCCESS)
    assert watcher.events == [
        ("degradation", "add", "begun", 1),
        ("degradation", "add", "ended", 1),
    ]


def test_names_that_a_caller_makes_up_do_not_fill_the_memory():
    lines = []
    degradation = Degradation("calc", lines.append, lambda name, fields: None)
    for number in range(MOST + 10):
        degradation.answered(f"m{number}", "fallback 'static'", Unavailable("no node"), 0.0)
    assert len(degradation.methods) == len(lines) == MOST
