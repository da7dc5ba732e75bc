from __future__ import annotations

import json

import pytest

OLD = """
bee:
  rpc:
    registry: {protocol: etcd3, options: {username: ann, password: first-secret}}
    server: {name: calc, workers: 2, max_in_flight: 10}
    client:
      default: {timeout: 3}
      calc: {token: "first-secret-of-20-letters"}
      stock: {}
"""


@pytest.fixture
def pair(folder):
    """Two files; the second one differs as it is told."""

    def write(*changes):
        (folder / "old.yml").write_text(OLD)
        text = OLD
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        (folder / "new.yml").write_text(text)
        return "diff", "old.yml", "new.yml"

    return write


def test_nothing_differs(run, pair):
    result = run(*pair())
    assert (result.code, result.out) == (0, "nothing differs\n")
    assert json.loads(run(*pair(), "--json").out) == []


def test_each_key_says_who_takes_it_over(run, pair):
    words = pair(("workers: 2", "workers: 4"), ("timeout: 3", "timeout: 5"), (": 10", ": 20"))
    result = run(*words)
    assert result.code == 1
    rows = {line.split()[0]: line.split()[-4:] for line in result.out.splitlines()}
    assert rows["bee.rpc.server.workers"] == ["2", "4", "-", "restart"]
    assert rows["bee.rpc.server.max_in_flight"] == ["10", "20", "-", "live"]
    assert rows["bee.rpc.client.default.timeout"] == ["3", "5", "live", "-"]
    assert "(for calc, stock)" in result.out


def test_json_is_a_list_of_objects(run, pair):
    result = run(*pair(("workers: 2", "workers: 4")), "--json")
    assert result.code == 1
    assert json.loads(result.out) == [
        {
            "path": "bee.rpc.server.workers",
            "old": "2",
            "new": "4",
            "client": None,
            "server": "restart",
            "services": [],
        }
    ]


def test_no_secret_is_shown(run, pair):
    words = pair(("first-secret", "other-secret"), ("ann", "bob"))
    for result in (run(*words), run(*words, "--json")):
        assert result.code == 1
        assert "secret" not in result.out + result.err
        assert "password" in result.out
        assert "ann" in result.out, "a name is none"


def test_what_of_an_observer_cannot_change_in_a_program_that_runs_needs_a_restart(run, folder):
    pytest.importorskip("prometheus_client")

    def row(workers, before, after):
        rpc = f"rpc: {{server: {{name: calc, workers: {workers}}}, client: {{calc: {{}}}}}}"
        for name, observers in (("old", before), ("new", after)):
            text = f"bee: {{application: {{observers: {observers}}}, {rpc}}}"
            (folder / f"{name}.yml").write_text(text)
        (found,) = json.loads(run("diff", "old.yml", "new.yml", "--json").out)
        return found["path"], found["client"], found["server"]

    buckets = "[{name: prometheus, options: {buckets: [%s]}}]"
    path = "bee.application.observers"
    option = f"{path}[0].options.buckets"
    assert row(1, buckets % "1", buckets % "2") == (option, "restart", "restart")
    assert row(1, "[access-log]", "[access-log, prometheus]") == (path, "live", "live")
    assert row(2, "[access-log]", "[access-log, prometheus]") == (path, "live", "restart")
    assert row(2, "none", "prometheus") == (path, "live", "restart")
    assert row(2, "[prometheus]", "[prometheus, access-log]") == (path, "live", "live")


def test_a_file_that_cannot_be_used_is_trouble(run, pair):
    assert run(*pair(("timeout: 3", "timeout: soon"))).code == 2
    assert run("diff", "old.yml", "gone.yml").code == 2
