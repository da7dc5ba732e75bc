from __future__ import annotations

import json

import bee_core


def test_each_plugin_is_one_line_also_where_the_reason_is_long(run, folder, monkeypatch):
    monkeypatch.setenv("BEE_DISABLE_PLUGINS", "codec:json")
    result = run("plugins")
    assert result.code == 0
    rows = {
        tuple(line.split()[:2]): line.rstrip().split(maxsplit=4)[2:]
        for line in result.out.splitlines()
    }
    assert rows["kind", "name"] == ["distribution", "version", "loadable"]
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
    }
    assert not rows["compressor", "gzip"]["loadable"]
    assert "blocked by BEE_DISABLE_PLUGINS" in rows["compressor", "gzip"]["reason"]
