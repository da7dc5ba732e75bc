from __future__ import annotations

import json
import sys

import pytest

import bee_core

OLD = """
class Shop:
    def add(self, a: int, b: int) -> int: ...
    def gone(self) -> None: ...
"""
NEW = """
class Shop:
    def add(self, a: int, c: int) -> int: ...
"""


@pytest.fixture
def sources(write):
    write("old.py", OLD)
    write("new.py", NEW)


def test_changes_are_named_and_the_exit_code_is_1(run, sources):
    result = run("breaking", "old:Shop", "new.py:Shop")
    assert (result.code, result.err) == (1, "")
    assert result.out.splitlines() == [
        "add (b): it is called c now, and callers may name it",
        "gone: the method is gone",
    ]


def test_nothing_that_breaks_is_said_too(run, sources):
    result = run("breaking", "old:Shop", "old.py:Shop")
    assert (result.code, result.out) == (0, "nothing breaks callers (2 methods compared)\n")


def test_changes_as_json(run, sources):
    found = json.loads(run("breaking", "old:Shop", "new:Shop", "--json").out)
    assert found[1] == {
        "rule": "METHOD_REMOVED",
        "method": "gone",
        "path": "",
        "message": "the method is gone",
        "breaks": "all",
    }
    assert json.loads(run("breaking", "old:Shop", "old:Shop", "--json").out) == []


def test_a_file_a_service_and_a_url_are_compared(run, sources, folder):
    sys.path.insert(0, str(folder))
    import old

    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "shop", "address": "127.0.0.1:0"}}}}
    )
    server.add(old.Shop())
    with server.in_thread():
        (folder / "bee.yml").write_text(
            f"bee: {{rpc: {{client: {{shop: {{address: '{server.address}'}}}}}}}}"
        )
        (folder / "kept.json").write_text(run("describe", "shop", "--json").out)
        assert run("breaking", "kept.json", server.address).code == 0
        assert run("breaking", "shop", "kept.json").code == 0
        assert run("breaking", "shop", "new:Shop").code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bad.json", "old:Shop"], "bad.json is no description: "),
        (["other.json", "old:Shop"], "it has the format 7, this bee reads 1"),
        (["none.json", "old:Shop"], "none.json: No such file"),
        (["old:Shp", "old:Shop"], "did you mean 'Shop'?"),
        (["nobody", "old:Shop"], "no service 'nobody' is configured"),
    ],
)
def test_what_cannot_be_compared_is_one_line(run, sources, write, words, said):
    write("bad.json", '{"methods": 7}')
    write("other.json", '{"format": 7}')
    result = run("breaking", *words)
    assert (result.code in {1, 2}, result.out, result.err.count("\n")) == (True, "", 1)
    assert said in result.err
