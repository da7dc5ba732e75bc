"""``bee nodes``, ``services`` and ``explain`` with a registry that is silent, slow or out of reach."""

from __future__ import annotations

import importlib
import json
import socket
import time

import pytest

import bee_core
from support.patience import scaled

MEMORY = """
    from bee_core.hookspecs import hookimpl
    from bee_core.testing import MemoryRegistry

    REGISTRY = MemoryRegistry()

    @hookimpl
    def bee_register_registries(registry):
        registry.add("shared", REGISTRY.session)
"""
YAML = """\
bee:
  rpc:
    registry: {{protocol: {protocol}, address: {address}}}
    client:
      default: {{version: ^1}}
      calc: {{{keys}}}
"""
URL = "tcp://127.0.0.1:1"


@pytest.fixture
def registry(site, folder):
    """A registry that commands find by its name, as an installed plugin."""
    site.module("shared_registry", MEMORY)
    site.distribution("shared", {"registry": {"shared": "shared_registry"}})
    (folder / "bee.yml").write_text(YAML.format(protocol="shared", address="r:1", keys=""))
    return importlib.import_module("shared_registry").REGISTRY


@pytest.fixture
def hanging(folder):
    """A registry that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=32) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def told(run, *words):
    result = run(*words, "--json")
    found = json.loads(result.out)
    return result.code, found[0] if isinstance(found, list) else found


class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b


COMMANDS = [("nodes", "calc"), ("services",), ("explain", "calc", "--no-ping")]
EACH = pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])


@EACH
def test_a_registry_that_answers_is_told_with_the_age_of_its_list(run, registry, words):
    registry.publish("calc", URL, version="1.0.0")
    result = run(*words)
    assert (result.code, result.err) == (0, "")
    assert "registry, heard 0." in result.out
    code, fields = told(run, *words)
    assert (code, fields["state"], fields["doubtful"]) == (0, "answering", False)
    assert fields["age"] < scaled(5)
    assert (fields["silent_for"], fields["trouble"], fields["in_doubt"]) == (None, "", 0)


@EACH
def test_a_node_that_only_the_disk_knows_is_told_once_it_has_answered(run, registry, words):
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": "127.0.0.1:0"}}}}
    )
    server.add(Calculator())
    with server.in_thread():
        registry.publish("calc", URL, version="1.0.0")
        node = registry.publish("calc", server.address, version="1.0.0")
        assert run("nodes", "calc").code == 0
        registry.withdraw("calc", node.id)
        result = run(*words)
        assert result.code == 3
        assert "calc: 1 node is in doubt: the registry does not list it, and it" in result.err
        code, fields = told(run, *words)
        assert (code, fields["in_doubt"], fields["doubtful"]) == (3, 1, True)


@EACH
def test_the_list_on_disk_is_told_with_its_age_and_why_it_is_used(run, registry, words):
    registry.publish("calc", URL, version="1.0.0")
    run("nodes", "calc")
    registry.go_out_of_reach(ConnectionRefusedError(111, "Connection refused"))
    result = run(*words)
    assert result.code == 3
    assert "cache, written 0." in result.out
    assert "calc: the registry shared at r:1 has been out of reach for 0." in result.err
    assert "refused" in result.err
    code, fields = told(run, *words)
    assert (code, fields["source"], fields["state"], fields["doubtful"]) == (
        3,
        "cache",
        "silent",
        True,
    )
    assert fields["silent_for"] < scaled(5)


@EACH
def test_a_registry_that_lists_none_is_no_registry_out_of_reach(run, registry, words):
    result = run(*words)
    assert result.code == 1
    assert "error: no node of calc is known: the registry lists none" in result.err
    assert told(run, *words)[0] == 1


@EACH
def test_where_nothing_is_known_the_error_says_that_the_registry_is_out_of_reach(
    run, registry, words
):
    registry.go_out_of_reach(ConnectionRefusedError(111, "Connection refused"))
    result = run(*words)
    assert result.code == 1
    assert "error: no node of calc is known: the registry shared at r:1 is out of" in result.err


@pytest.mark.parametrize(
    "protocol",
    [
        "etcd3",
        *(pytest.param(one, marks=pytest.mark.registries) for one in ("consul", "zookeeper")),
    ],
)
def test_a_registry_that_hangs_is_waited_for_a_second(run, folder, hanging, protocol):
    keys = f"address: {{url: {URL}, version: 1.0.0}}"
    (folder / "bee.yml").write_text(YAML.format(protocol=protocol, address=hanging, keys=keys))
    before = time.monotonic()
    code, fields = told(run, "nodes", "calc")
    assert time.monotonic() - before < scaled(4.0)
    assert (code, fields["source"], fields["state"], fields["age"]) == (
        3,
        "address",
        "unheard",
        None,
    )
    assert [node["url"] for node in fields["nodes"]] == [URL]


def test_a_client_of_addresses_knows_without_doubt(run, folder):
    (folder / "bee.yml").write_text(f"bee: {{rpc: {{client: {{calc: {{address: '{URL}'}}}}}}}}")
    for words in COMMANDS:
        assert run(*words).code == 0
    _, fields = told(run, "nodes", "calc")
    assert (fields["state"], fields["registry"], fields["source"]) == (None, "", "address")


# ── nodes in doubt ──


@pytest.fixture
def serving():
    """A server that no registry lists."""
    rpc = {"server": {"name": "calc", "version": "1.0.0", "address": "127.0.0.1:0"}}
    server = bee_core.build_server({"bee": {"rpc": rpc}})
    server.add(abs)
    with server.in_thread():
        yield server.address


@EACH
def test_a_node_that_vanished_and_serves_is_told_as_in_doubt(run, registry, serving, words):
    registry.publish("calc", serving, version="1.0.0")
    assert run("nodes", "calc").code == 0
    registry.withdraw("calc")
    result = run(*words)
    assert result.code == 3
    assert "calc: 1 node is in doubt: the registry does not list it" in result.err
    code, fields = told(run, *words)
    assert (code, fields["source"], fields["in_doubt"], fields["doubtful"]) == (
        3,
        "registry",
        1,
        True,
    )


def test_a_node_in_doubt_is_told_beside_those_that_are_listed(run, registry, serving):
    registry.publish("calc", serving, version="1.0.0")
    run("nodes", "calc")
    registry.withdraw("calc")
    lines = run("nodes", "calc").out.splitlines()
    (row,) = [line for line in lines if line.startswith(serving)]
    assert "no, in doubt for 0." in row
    (node,) = told(run, "nodes", "calc")[1]["nodes"]
    assert (node["fitting"], "does not list it" in node["doubt"]) == (True, True)
    assert node["doubted_for"] < scaled(5)
    explained = told(run, "explain", "calc")[1]
    assert [(one["standing"], one["health"]) for one in explained["nodes"]] == [
        ("ready", "serving")
    ]
    assert "does not list it" in explained["nodes"][0]["doubt"]


def test_a_node_that_vanished_and_is_gone_is_not_told(run, registry):
    registry.publish("calc", URL, version="1.0.0")
    run("nodes", "calc")
    registry.withdraw("calc")
    result = run("nodes", "calc")
    assert result.code == 1
    assert "error: no node of calc is known: the registry lists none" in result.err
