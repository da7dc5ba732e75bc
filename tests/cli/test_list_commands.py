from __future__ import annotations

import json
from functools import partial

import pytest
from rich.console import Console

import bee_core
from bee_core.cli import list_commands, output
from bee_core.interfaces import Node
from bee_core.nodes.report import KnownNode, NodesReport
from bee_core.streams.client.native import PATH


def test_each_plugin_is_one_line_also_where_the_reason_is_long(run, folder, monkeypatch):
    monkeypatch.setenv("BEE_DISABLE_PLUGINS", "codec:json")
    result = run("plugins")
    assert result.code == 0
    rows = {
        tuple(line.split()[:2]): line.rstrip().split(maxsplit=4)[2:]
        for line in result.out.splitlines()
    }
    assert rows["kind", "name"] == ["distribution", "version", "loadable"]
    assert result.out.splitlines()[-1] == f"blocking calls: {PATH}", "the codec json is blocked"
    distribution, version, loadable = rows["balancer", "round-robin"]
    assert (distribution, version, loadable) == ("bee-rpc", bee_core.__version__, "yes")
    assert (
        rows["codec", "json"][2]
        == "no: codec 'json' is blocked by BEE_DISABLE_PLUGINS; unblock it or name another codec"
    )


def test_json_is_a_list_of_objects_with_a_reason_where_one_cannot_be_loaded(
    run, folder, monkeypatch
):
    monkeypatch.setenv("BEE_DISABLE_PLUGINS", "gzip")
    rows = {(row["kind"], row["name"]): row for row in json.loads(run("plugins", "--json").out)}
    assert rows["transport", "tcp"] == {
        "kind": "transport",
        "name": "tcp",
        "distribution": "bee-rpc",
        "version": bee_core.__version__,
        "loadable": True,
        "reason": "",
        "wrong": False,
    }
    assert not rows["compressor", "gzip"]["loadable"]
    assert "blocked by BEE_DISABLE_PLUGINS" in rows["compressor", "gzip"]["reason"]


def test_a_node_that_is_cut_off_is_shown_with_the_reason(capsys):
    one, two = Node("1", "tcp://127.0.0.1:1"), Node("2", "tcp://127.0.0.1:2")
    known = (KnownNode(one, True, cut_off="ten failures"), KnownNode(two, True))
    list_commands.print_nodes(NodesReport("calc", "address", 1, known, "any version"))
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.rstrip().endswith("cut off")
    assert first.rstrip().endswith("ten failures")
    assert second.rstrip().endswith("no")


@pytest.mark.parametrize("columns", [80, 60])
def test_nodes_fit_a_narrow_terminal_and_lose_nothing(columns, monkeypatch, capsys):
    console = partial(Console, width=columns, force_terminal=True, color_system=None)
    monkeypatch.setattr("rich.console.Console", console)
    url = "tcp://calc-7f9c6d5b8-x2x4z.shop.svc.cluster.local:9000"
    name = "calc-shop-12345-0123456789ab"
    output.print_table(
        ("url", "version", "weight", "zone", "tags", "fits", "id"),
        [(url, "1.2.3", "1", "eu-west-1a", "blue,canary", "no: version 1.2.3 is not in ^2", name)],
        wrapped=("url", "tags", "fits", "id"),
    )
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in "".join(lines)
    # What is folded is read down its column, so nothing of a name is missing.
    (start,) = {line.index("url") for line in lines if "url" in line}
    column = "".join(line[start : start + 200].split("  ")[0].strip() for line in lines[2:])
    assert url in column
