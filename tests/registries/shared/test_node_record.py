"""The record of a node that has several addresses."""

from __future__ import annotations

import json

import pytest

from bee_core.control.sound_nodes import SoundNodes
from bee_core.interfaces import Changes, Node, Snapshot
from bee_plugins.registries.consul.entries import registration
from bee_plugins.registries.shared.node_record import decode_record, encode_record

TCP, TLS = "tcp://10.0.0.7:9000", "tls://10.0.0.7:9443"
BOTH = Node("a", TCP, "1.0.0", addresses=(TCP, TLS))


def test_a_record_has_a_url_for_each_scheme():
    data = encode_record(BOTH)
    assert json.loads(data)["addresses"] == {"tcp": TCP, "tls": TLS}
    assert decode_record(data) == BOTH


def test_a_record_of_one_address_does_not_name_them():
    assert "addresses" not in json.loads(encode_record(Node("a", TCP, "1.0.0")))


@pytest.mark.parametrize(
    "addresses",
    [
        {"tls": TLS},
        {"tcp": TCP, "unix": TLS},
        {"tcp": TCP, "tls": "tls://0.0.0.0:9443"},
        {"tcp": TCP, "tls": "tls://host:0"},
        {"tcp": TCP, "tls": 7},
        [TCP],
    ],
)
def test_a_record_whose_addresses_cannot_be_right_is_refused(addresses):
    with pytest.raises(ValueError, match=r"address|is no record"):
        decode_record(json.dumps({"address": TCP, "addresses": addresses}).encode(), "a")


def test_consul_keeps_them_in_meta():
    meta = registration("calc", "calc-a", BOTH, "me")["meta"]
    assert json.loads(meta["addresses"]) == {"tcp": TCP, "tls": TLS}
    assert "addresses" not in registration("calc", "calc-b", Node("b", TCP), "me")["meta"]


def at_tls(node):
    return Node(node.id, TLS, node.version, addresses=node.addresses)


def test_a_list_is_taken_over_at_the_addresses_that_the_client_takes():
    sound = SoundNodes("calc", lambda node: "", at_tls)
    other = Node("b", "tcp://10.0.0.8:9000", "1.0.0")
    first = sound.at_addresses(Snapshot(1, "registry", (BOTH, other)))
    assert [node.url for node in first.nodes] == [TLS, other.url]
    third = Node("c", TCP, "1.0.0", addresses=(TCP, TLS))
    changes = Changes(1, (third,), frozenset())
    second = sound.at_addresses(Snapshot(2, "registry", (BOTH, other, third), changes))
    assert [node.url for node in second.nodes] == [TLS, other.url, TLS]
    assert second.nodes[0] is first.nodes[0]  # it has not changed
    assert second.changes.put == (second.nodes[2],)


def test_a_list_without_several_addresses_is_not_touched():
    sound = SoundNodes("calc", lambda node: "", at_tls)
    listed = Snapshot(1, "registry", (Node("b", TCP, "1.0.0"),))
    assert sound.at_addresses(listed) is listed
