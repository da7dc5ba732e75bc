"""Service instances as Consul writes them (copied from an agent's answers), and their nodes."""

from __future__ import annotations

import itertools
import json
import logging
import math

import attrs
import pytest

from bee_core.terms.node import Node
from bee_core.testing.registry_contract import FULL
from bee_plugins.registries.consul.entries import EntryList, registration
from bee_plugins.registries.shared.watched_registry import WarnOnce

PLAIN = {
    "ID": "calc-1",
    "Service": "calc",
    "Address": "10.0.0.5",
    "Port": 9000,
    "Tags": None,
    "Meta": None,
    "ModifyIndex": 7,
}


def entry(machine="host-1", machine_address="10.0.0.9", **service):
    return json.dumps(
        {
            "Node": {"Node": machine, "Address": machine_address},
            "Service": {**PLAIN, **service},
            "Checks": [],
        }
    ).encode()


@pytest.fixture
def entries():
    revisions, warnings = itertools.count(1), WarnOnce(logging.getLogger("bee.registry.consul"))
    return EntryList("calc", "Consul at http://a:8500", revisions, warnings)


def nodes(entries, *found):
    return entries.take(found).nodes


def registered(node, **changes):
    """What Consul makes of a registration."""
    told = registration("calc", f"calc:{node.id}", node, "me")
    fields = {
        "ID": told["service_id"],
        "Address": told["address"] or "",
        "Port": told["port"] or 0,
        "Tags": told["tags"],
        "Meta": told["meta"],
    }
    return entry(**{**fields, **changes})


@pytest.mark.parametrize(
    "node",
    [
        FULL,
        Node("a", "tcp://10.0.0.1:1"),
        Node("a", "unix:///run/calc.sock", zone="ü"),
        Node("a b", "tls://[::1]:9443", weight=0.1),
        Node("m", "memory://calc"),
    ],
)
def test_all_that_a_node_says_comes_back(entries, node):
    assert nodes(entries, registered(node)) == (node,)


def test_others_find_address_port_tags_and_version_where_they_look_for_them():
    told = registration("calc", "calc:a", FULL, "me")
    assert (told["address"], told["port"], told["tags"], told["meta"]["version"]) == (
        "10.0.0.7",
        9000,
        ["blue", "gpu"],
        "1.10.0-rc.1",
    )


@pytest.mark.parametrize(
    ("service", "node"),
    [
        ({}, Node("calc-1@host-1", "tcp://10.0.0.5:9000")),
        ({"Address": ""}, Node("calc-1@host-1", "tcp://10.0.0.9:9000")),
        ({"Address": "fd00::5"}, Node("calc-1@host-1", "tcp://[fd00::5]:9000")),
        (
            {"Meta": {"version": "1.4.0", "team": "blue"}, "Tags": ["jvm"]},
            Node("calc-1@host-1", "tcp://10.0.0.5:9000", "1.4.0", tags=frozenset({"jvm"})),
        ),
        (
            {"Meta": {"scheme": "TLS", "weight": "3", "zone": "eu", "workers": "2"}},
            Node("calc-1@host-1", "tls://10.0.0.5:9000", None, 3.0, "eu", workers=2),
        ),
        (
            {"Meta": {"version": "", "zone": "", "url": "https://wiki/calc"}},
            Node("calc-1@host-1", "tcp://10.0.0.5:9000"),
        ),
    ],
)
def test_instances_that_others_registered_are_nodes(entries, service, node):
    assert nodes(entries, entry(**service)) == (node,)


def test_one_id_on_two_agents_is_two_nodes_where_others_registered_it(entries):
    assert {node.id for node in nodes(entries, entry("host-1"), entry("host-2"))} == {
        "calc-1@host-1",
        "calc-1@host-2",
    }


@pytest.mark.parametrize(
    ("service", "complaint"),
    [
        ({"Meta": {"weight": "heavy"}}, "weight or a number of workers that is none"),
        ({"Meta": {"weight": "nan"}}, "impossible"),
        ({"Meta": {"workers": "0"}}, "impossible"),
        ({"Meta": {"bee-url": "::::"}}, "address that cannot be used"),
        ({"Meta": {"bee-url": "tcp://0.0.0.0:1"}}, "nobody can call"),
        ({"Meta": {"scheme": "?"}}, "address that cannot be used"),
        ({"Port": 0}, "nobody can call"),
        ({"Service": "Calc"}, "told apart by case"),
        ({"Meta": 1}, "no service instance"),
    ],
)
def test_garbage_is_left_out_with_one_warning_and_the_others_stay(
    entries, caplog, service, complaint
):
    for _ in range(3):
        found = nodes(entries, entry(ID="calc-2"), entry(**service))
    assert [node.id for node in found] == ["calc-2@host-1"]
    assert len(caplog.records) == 1
    assert complaint in caplog.text
    assert "of calc in Consul at http://a:8500" in caplog.text


def test_what_changed_is_said_and_the_same_list_is_no_snapshot(entries):
    everything = [registered(attrs.evolve(FULL, id=f"n{number}")) for number in range(10)]
    first = entries.take(everything)
    assert entries.take([bytes(bytearray(data)) for data in everything[::-1]]) is first
    changes = entries.take([*everything[1:], registered(attrs.evolve(FULL, id="new"))]).changes
    assert ([node.id for node in changes.put], changes.gone) == (["new"], {"n0"})


def test_bytes_that_change_without_saying_anything_new_are_no_snapshot(entries):
    first = entries.take([registered(FULL)])
    assert entries.take([registered(FULL, ModifyIndex=8)]) is first


def test_a_server_that_changed_to_another_agent_is_one_node_with_what_it_said_last(entries):
    moved = attrs.evolve(FULL, url="tcp://10.0.0.8:9000")
    for order in (1, -1):
        found = [registered(FULL, ModifyIndex=7), registered(moved, ModifyIndex=9)][::order]
        assert nodes(entries, *found) == (moved,)
    assert nodes(entries, registered(FULL, ModifyIndex=7)) == (FULL,)


@pytest.mark.parametrize(
    ("node", "complaint"),
    [
        (Node("x" * 513, "tcp://a:1"), "bee-id of 513 bytes"),
        (Node("a", "tcp://a:1", zone="ü" * 257), "zone of 514 bytes"),
        (Node("a", "tcp://a:0"), "nobody can call"),
        (Node("a", "tcp://a:1", weight=math.inf), "impossible"),
        (Node("\ud800", "tcp://a:1"), "surrogates"),
        (Node("a", "tcp://a:1", tags=frozenset({"\ud800"})), "surrogates"),
    ],
)
def test_what_consul_or_readers_would_not_take_is_refused_before_it_is_sent(node, complaint):
    with pytest.raises(ValueError, match=complaint):
        registration("calc", "calc:a", node, "me")
