"""Where a registry's word leads, and where a token goes."""

from __future__ import annotations

import pytest

from bee_core.nodes.directory import Directory, explain_none
from bee_core.nodes.trust import Trust
from bee_core.terms.addresses import parse
from bee_core.terms.node import Node, Snapshot


class Plain:
    """A transport that says nothing of itself."""


class Tls:
    encrypted = True


class Unix:
    reach = "machine"


class Memory:
    reach = "process"


TRANSPORTS = {"tcp": Plain(), "tls": Tls(), "unix": Unix(), "memory": Memory()}


def trust(reach="network", schemes=None, token=False, named=()):
    return Trust(reach, schemes, token, frozenset(named), lambda url: TRANSPORTS[parse(url).scheme])


@pytest.mark.parametrize(
    ("reach", "url", "fits"),
    [
        ("network", "tcp://10.0.0.1:9000", True),
        ("network", "tls://calc.internal:9443", True),
        ("network", "unix:///run/calc.sock", False),
        ("network", "memory://calc", False),
        ("machine", "unix:///run/calc.sock", True),
        ("machine", "memory://calc", False),
        ("process", "memory://calc", True),
        ("process", "unix:///run/calc.sock", True),
        ("network", "tcp://127.0.0.1:9000", True),
    ],
)
def test_a_record_names_no_place_that_its_readers_may_not_share(reach, url, fits):
    assert (trust(reach).unfit(url) == "") is fits


@pytest.mark.parametrize("reach", ["process", "machine", "network"])
@pytest.mark.parametrize(
    "url",
    [
        "tcp://0.0.0.0:9000",
        "tcp://[::]:9000",
        "tls://[::ffff:0.0.0.0]:9000",
        "tcp://169.254.169.254:80",
        "tcp://[fe80::1]:9000",
        "tcp://[::ffff:169.254.169.254]:80",
        "tcp://224.0.0.1:9000",
        "tcp://255.255.255.255:9000",
        "tls://[ff02::1]:9000",
    ],
)
def test_an_address_that_is_no_single_host_for_all_is_unfit(reach, url):
    assert url in trust(reach).unfit(url)


def test_schemes_hold_for_records_and_not_for_addresses_of_the_file():
    strict = trust(schemes=("tls",), named=["tcp://10.0.0.1:9000"])
    assert strict.objection("tls://10.0.0.2:9443") == ""
    assert strict.objection("tcp://10.0.0.1:9000") == ""
    assert (
        strict.objection("tcp://10.0.0.2:9000") == "tcp:// is not among the client's schemes (tls)"
    )


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("tcp://127.0.0.1:9000", False),
        ("tcp://10.0.0.1:9000", False),
        ("tls://10.0.0.1:9000", True),
        ("unix:///run/calc.sock", True),
        ("tcp://10.0.0.9:9000", True),
    ],
)
def test_a_token_goes_in_clear_only_to_an_address_of_the_file(url, may):
    shows = trust(token=True, named=["tcp://10.0.0.9:9000"])
    assert shows.may_show_token(url) is may
    assert (shows.objection(url) == "") is may
    assert trust().may_show_token(url)


def test_schemes_that_the_file_lists_do_not_let_a_token_out():
    assert "in clear" in trust(schemes=("tls", "tcp"), token=True).objection("tcp://10.0.0.2:9000")


def test_nodes_that_are_passed_over_are_told_with_the_reason():
    nodes = (Node("a", "tcp://10.0.0.1:9000", "1.0"), Node("b", "tls://10.0.0.2:9443", "1.0"))
    asked = Directory(trust=trust(schemes=("tls",)))
    for source in ("registry", "cache"):
        selection = asked.select(Snapshot(1, source, nodes))
        assert selection.fitting == nodes[1:]
        (passed,) = selection.rejected
        assert passed.reason == "tcp:// is not among the client's schemes (tls)"
    assert asked.select(Snapshot(1, "address", nodes)).fitting == nodes

    message = explain_none(asked.select(Snapshot(1, "registry", nodes[:1])), "calc")
    assert message == (
        "no node of calc fits scheme tls: 1 node is known; versions there are: 1.0.0 (1 node); "
        "1 passed over: tcp:// is not among the client's schemes (tls). "
        "Start a server that fits, or change what bee.rpc.client.calc asks for"
    )


TCP, TLS, UNIX = "tcp://10.0.0.1:9000", "tls://10.0.0.1:9443", "unix:///run/calc.sock"


@pytest.mark.parametrize(
    ("asks", "addresses", "taken"),
    [
        (trust(), (TCP, TLS), TCP),
        (trust(), (TLS, TCP), TLS),
        (trust(), (), TCP),
        (trust(schemes=("tls",)), (TCP, TLS), TLS),
        (trust(schemes=("tls", "tcp")), (TCP, TLS), TLS),
        (trust(schemes=("tcp", "tls")), (TLS, TCP), TCP),
        (trust(schemes=("unix", "tcp")), (TLS, TCP), TCP),
        (trust(schemes=("unix", "tcp")), (TCP, UNIX), TCP),  # no record of the network names it
        (trust("machine", schemes=("unix", "tcp")), (TCP, UNIX), UNIX),
        (trust(token=True), (TCP, TLS), TLS),  # the token would go out in clear
        (trust(token=True, named=(TCP,)), (TCP, TLS), TCP),
        (trust(schemes=("tls",)), ("quic://10.0.0.1:1", TCP), "quic://10.0.0.1:1"),  # objected to
        (trust(), (TCP, "quic://10.0.0.1:1"), TCP),
    ],
)
def test_of_several_addresses_the_first_that_the_client_goes_to_is_taken(asks, addresses, taken):
    node = Node("a", addresses[0] if addresses else TCP, "1.0.0", addresses=addresses)
    chosen = asks.choose(node)
    assert chosen.url == taken
    assert (chosen.id, chosen.addresses) == ("a", addresses)
    assert asks.choose(chosen) is chosen
