from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bee_core.errors import ConfigError
from bee_core.testing.simulation import Scenario, Trouble, read_scenario

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """
about: half of the nodes of a zone hang
seconds: 30
nodes: 12
zones: [a, b]
workers: 4
latency: {kind: bimodal, median: 20ms, slow: 200ms, slow_share: 0.1}
rate: 300
clients: 2
calls:
  - {method: find, share: 3, idempotent: true, keys: 10}
  - {method: pay, options: {timeout: 2}}
troubles:
  - {kind: hang, at: 5, until: 10, zone: b}
  - {kind: slow, at: 15s, count: 2, times: 20}
"""


def write(folder: Path, text: str) -> str:
    file = folder / "mine.yml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_a_file_has_the_attributes_of_a_scenario(tmp_path):
    found = read_scenario(write(tmp_path, WHOLE))
    assert found.name == "mine"
    assert found.latency.slow == 0.2
    assert found.calls[1].options == {"timeout": 2}
    assert found.troubles[1] == Trouble(kind="slow", at=15.0, count=2, times=20.0)
    assert found.fault == (5.0, 30.0)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("node: 3", "node", "did you mean 'nodes'?"),
        ("nodes: many", "nodes", "number"),
        ("nodes: 0", "nodes", "1 to 100,000"),
        ("latency: {kind: normal}", "latency.kind", "lognormal"),
        ("troubles: [{kind: sloww}]", "troubles[0].kind", "slow"),
        ("troubles:\n  - {kind: slow, share: 2}", "troubles[0].share", "up to 1"),
        ("troubles: [{kind: slow, share: 0.1, count: 1}]", "troubles[0]", "keep one of them"),
        ("troubles: [{kind: slow, at: 5, until: 4}]", "troubles[0]", "must be after"),
        ("troubles: [{kind: slow, period: 3}]", "troubles[0]", "at, until, share, count, zone, ti"),
        (
            "troubles: [{kind: surge, count: 1}]",
            "troubles[0]",
            "count changes nothing in a trouble",
        ),
        ("latency: {kind: fixed, sigma: 1}", "latency", "the kind fixed, which has: median"),
        ("calls: [{method: a, share: 0}]", "calls[0].share", "more than 0"),
        ("latency: {sigma: 1000}", "latency.sigma", "0 to 10"),
        ("troubles: [{kind: flap, period: '0.0000001'}]", "troubles[0].period", "0.01 or more"),
        ("calls: []", "calls", "[] is impossible here; write at least one"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(tmp_path, text, path, message):
    with pytest.raises(ConfigError) as caught:
        read_scenario(write(tmp_path, text))
    assert caught.value.path == path
    assert message in str(caught.value)
    assert "mine.yml" in str(caught.value)


def test_an_error_names_the_line(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read_scenario(write(tmp_path, "nodes: 3\ntroubles:\n  - kind: slow\n    times: -1\n"))
    assert caught.value.line == 4


@pytest.mark.parametrize("text", ["", "- 1", "nodes"])
def test_a_file_that_is_no_mapping_is_told_what_a_scenario_is(tmp_path, text):
    with pytest.raises(
        ConfigError, match=r"a scenario is a mapping, .* its keys: name, about, seconds"
    ):
        read_scenario(write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_scenario(str(tmp_path / "none.yml"))


def test_a_zone_without_nodes_is_refused():
    with pytest.raises(ValueError, match="no node is in zone 'x'; zones: a"):
        Scenario(zones=("a",), troubles=(Trouble(kind="unreachable", zone="x"),))


def test_a_trouble_that_begins_after_the_last_call_is_none():
    found = Scenario(seconds=5, troubles=(Trouble(kind="slow", at=5), Trouble(kind="hang", at=9)))
    assert found.that_begin == ()
    assert found.fault is None
