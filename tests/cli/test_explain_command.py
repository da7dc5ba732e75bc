from __future__ import annotations

import json
import sys

import pytest

import bee_core

YAML = """\
bee:
  rpc:
    client:
      calc:
        version: ^1
        retries: 3
        address:
          - {url: "%s", version: 1.2.3}
          - {url: "127.0.0.1:1", version: 2.0.0}
"""


@pytest.fixture
def server(folder):
    sys.path.insert(0, str(folder))
    import app

    server = bee_core.build_server(str(folder / "bee.yml"))
    server.add(app.Calculator())
    with server.in_thread():
        (folder / "bee.yml").write_text(YAML % server.address)
        yield server


@pytest.fixture
def gone(folder):
    """A configuration with one fitting node, which is not there."""
    (folder / "bee.yml").write_text(YAML % "127.0.0.1:1")


def test_nodes_next_pick_and_settings_are_told_with_their_lines(run, server):
    result = run("explain", "calc", "add")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "calc.add: asks for version ^1; 1 of 2 nodes fit and serve"
    assert f"next: random picks {server.address}, then {server.address}" in result.out
    (ready,) = [line for line in lines if line.startswith(server.address)]
    assert ready.split()[1:] == ["1.2.3", "1", "-", "serving", "ready"]
    assert "filtered: version 2.0.0 is not in ^1" in result.out
    (retries,) = [line for line in lines if line.startswith("retries")]
    assert retries.split() == ["retries", "3", "bee.yml:6", "bee.rpc.client.calc.retries"]
    (timeout,) = [line for line in lines if line.startswith("timeout")]
    assert timeout.split() == ["timeout", "30", "s", "default"]


def test_a_node_that_no_pick_met_can_be_picked_all_the_same(run, folder):
    weights = ("1", "0.0000000001", "0")
    nodes = ", ".join(
        f"{{url: '127.0.0.1:{port}', weight: {weight}}}" for port, weight in enumerate(weights, 1)
    )
    (folder / "bee.yml").write_text(f"bee: {{rpc: {{client: {{calc: {{address: [{nodes}]}}}}}}}}")
    lines = run("explain", "calc", "--no-ping").out.splitlines()
    assert lines[0] == "calc: asks for anything; 2 of 3 nodes can be picked"


def test_verbose_says_why_a_default_is_what_it_is(run, server):
    assert "default: Every language has gzip." in run("explain", "calc", "--verbose").out


def test_a_call_is_traced_with_what_was_decided(run, server):
    result = run("explain", "calc", "add", "--call", "1", "-2")
    assert result.code == 0
    assert "return the result" in result.out
    assert result.out.splitlines()[-1].endswith("1 attempt; result: -1")


def test_json_is_one_object(run, server):
    told = json.loads(run("explain", "calc", "add", "--json", "--call", "1", "b=2").out)
    assert told["can_be_picked"] is True
    assert [node["standing"] for node in told["nodes"]] == ["ready", "filtered"]
    assert told["next"]["shares"] == [{"node": server.address, "share": 1.0}]
    assert told["settings"]["retries"] == {
        "value": 3,
        "path": "bee.rpc.client.calc.retries",
        "line": 6,
        "options": [],
        "unit": "",
        "file": "bee.yml",
    }
    (step,) = told["call"]["steps"]
    assert (step["node"], step["failure"], step["decision"]) == (
        server.address,
        None,
        "return the result",
    )
    assert told["call"]["value"] == 3


def test_without_call_nothing_is_called(run, server):
    assert "call" not in json.loads(run("explain", "calc", "hang", "--json").out)


def test_a_traced_call_that_fails_exits_1_and_tells_the_failure(run, gone):
    result = run("explain", "calc", "add", "--call", "1", "2")
    assert result.code == 1
    assert "connection refused (executed: no, blame: node, retry: same)" in result.out
    assert "no other node is left to try" in result.out


def test_a_node_that_does_not_answer_pings_is_told(run, gone):
    result = run("explain", "calc")
    assert "cannot connect: connection refused" in result.out
    assert "connection refused" not in run("explain", "calc", "--no-ping").out


def test_no_node_that_can_be_picked_exits_1_and_says_why(run, folder):
    (folder / "bee.yml").write_text((YAML % "127.0.0.1:1").replace("^1", "^3"))
    result = run("explain", "calc")
    assert result.code == 1
    assert "nothing can be picked" in result.out
    assert result.err.startswith(
        "error: no node of calc fits version ^3: 2 nodes are known; versions there are: "
        "1.2.3 (1 node), 2.0.0 (1 node)"
    )
    assert json.loads(run("explain", "calc", "--json").out)["can_be_picked"] is False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["calc", "add", "1"], "add --call"),
        (["calc", "--call"], "wants a METHOD"),
        (["clac"], "did you mean 'calc'"),
        (["calc", "add", "--call", "one"], "is not JSON"),
        (["calc", "add", "--cal"], "--cal"),
        (["calc", "--jsno"], "there is no option --jsno"),
    ],
)
def test_a_command_that_makes_no_sense_exits_2_in_one_line(run, gone, words, said):
    result = run("explain", *words)
    assert result.code == 2
    assert said in result.err
    assert result.err.count("\n") == 1


def test_a_narrow_terminal_cuts_no_path_short(run, server, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    monkeypatch.setenv("COLUMNS", "70")
    settings = run("explain", "calc").out.partition("setting")[2]
    assert "…" not in settings
    assert "calc.retries" in "".join(settings.split())


MARKED = """
import bee_core

class Calc:
    @bee_core.idempotent
    def add(self, a: int, b: int) -> int: ...
"""


def test_an_interface_tells_the_marks_of_a_method(run, server, folder):
    (folder / "marked.py").write_text(MARKED)
    plain = json.loads(run("explain", "calc", "add", "--json").out)
    assert plain["settings"]["idempotent"]["value"] is False
    marked = run("explain", "calc", "add", "--interface", "marked:Calc")
    (line,) = [line for line in marked.out.splitlines() if line.startswith("idempotent")]
    assert line.rstrip().split(maxsplit=2) == ["idempotent", "yes", "the interface's mark"]
    other = run("explain", "calc", "sub", "--interface", "marked:Calc")
    assert (other.code, "declares no sub; it declares add" in other.err) == (2, True)


def test_a_service_whose_nodes_do_not_answer_is_a_failure(run, gone):
    result = run("explain", "calc")
    assert result.code == 1
    assert (
        "error: the one node that can be picked does not serve: tcp://127.0.0.1:1: " in result.err
    )
    assert not json.loads(run("explain", "calc", "--json").out)["can_be_picked"]
    assert run("explain", "calc", "--no-ping").code == 0
