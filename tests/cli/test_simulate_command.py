from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

CONFIG = """
bee:
  rpc:
    client:
      calc: {balancer: BALANCER, breaker: consecutive, timeout: 3, read_timeout: 1}
"""
SMALL = ("--nodes", "5", "--rate", "50", "--seconds", "15")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "bee.yml"
    path.write_text(CONFIG.replace("BALANCER", "random"), encoding="utf-8")
    return str(path)


def test_the_scenarios_are_listed(run):
    result = run("simulate", "--list")
    assert result.code == 0
    for name in [
        "slow-node",
        "gray-node",
        "lost-answers",
        "invalidate",
        "dead-nodes",
        "rolling-deploy",
        "flapping",
        "zone-cut",
        "overload",
        "cold-start",
        "retry-storm",
    ]:
        assert name in result.out
    listed = json.loads(run("simulate", "--list", "--json").out)
    assert listed[0]["name"] == "slow-node"


def test_the_figures_are_a_table_for_people(run, file):
    result = run("simulate", file, "--scenario", "dead-nodes", *SMALL)
    assert result.code == 0
    for word in ("success", "goodput", "p99.9", "extra attempts", "time to detect", "digest"):
        assert word in result.out
    assert "5 nodes, 50 calls a second for 15 s of virtual time, seed 1" in result.out
    assert "all nodes together can handle 1,912 calls a second" in result.out
    assert [line.split()[0] for line in result.out.splitlines()[-2:]] == ["before", "during"]


def test_the_json_has_them_too_and_repeats_with_its_seed(run, file):
    words = ("simulate", file, "--scenario", "dead-nodes", *SMALL, "--json")
    first, second = (json.loads(run(*words).out) for _ in range(2))
    assert first == second
    assert first["bad_nodes"]["fair_share"] == 0.2
    assert first["kinds"][0]["method"] == "read"
    other = json.loads(run(*words, "--seed", "2").out)
    assert other["digest"] != first["digest"]


def test_two_files_run_on_one_seed_side_by_side(run, file, tmp_path):
    other = tmp_path / "other.yml"
    other.write_text(CONFIG.replace("BALANCER", "round-robin"), encoding="utf-8")
    words = ("simulate", file, "--compare", str(other), "--scenario", "slow-node", *SMALL)
    first, second = json.loads(run(*words, "--json").out)
    assert first["calls"] == second["calls"]
    assert first["digest"] != second["digest"]
    picture = tmp_path / "both.svg"
    shown = run(*words, "--svg", str(picture))
    assert shown.code == 0
    assert "other.yml" in shown.out
    assert ET.parse(picture).getroot().tag.endswith("svg")


def test_a_scenario_of_a_file_of_ones_own(run, file, tmp_path):
    mine = tmp_path / "mine.yml"
    mine.write_text("nodes: 4\nrate: 20\nseconds: 5\n", encoding="utf-8")
    result = run("simulate", file, "--scenario", str(mine), "--json")
    assert json.loads(result.out)["scenario"] == "mine"
    mine.write_text("nodes: 4\ntroubles: [{kind: slow, tims: 3}]\n", encoding="utf-8")
    wrong = run("simulate", file, "--scenario", str(mine))
    assert wrong.code == 2
    assert "mine.yml:2: troubles[0].tims: unknown key 'tims'; did you mean 'times'?" in wrong.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name a scenario with --scenario: slow-node, "),
        (("--scenario", "slow"), "there is no such scenario; there are: slow-node, "),
        (("--scenario", "slow-node", "--service", "clac"), "did you mean 'calc'?"),
        (("--scenario", "slow-node", "--nodes", "100001"), "1 to 100,000"),
        (("--scenario", "slow-node", "--rate", "1e9"), "are more than 20,000,000"),
        (("--scenario", "slow-node", "--svg", "/no/such/folder/a.svg"), "there is no such folder"),
        (("--scenario", "slow-node", "--svg", "/"), "--svg /: this is a folder; name a file"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(run, file, words, message):
    result = run("simulate", file, *words)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_trouble_that_never_comes_is_warned_of(run, file):
    result = run("simulate", file, "--scenario", "slow-node", "--nodes", "3", "--seconds", "2")
    assert result.code == 0
    assert result.err == (
        "warning: nothing goes wrong in 2 s: the first trouble begins at 10 s; give more --seconds\n"
    )


def test_several_services_need_a_name(run, tmp_path):
    path = tmp_path / "two.yml"
    path.write_text("bee: {rpc: {client: {a: {}, b: {}}}}\n", encoding="utf-8")
    result = run("simulate", str(path), "--scenario", "slow-node", *SMALL)
    assert result.code == 2
    assert "several services are configured, so name one (--service): a, b" in result.err
    named = run("simulate", str(path), "--scenario", "slow-node", "--service", "b", *SMALL)
    assert named.code == 0
