from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.terms.addresses import Address, parse


@pytest.mark.parametrize(
    ("text", "address", "url"),
    [
        ("127.0.0.1:9000", Address("tcp", "127.0.0.1", 9000), "tcp://127.0.0.1:9000"),
        ("tcp://calc:1", Address("tcp", "calc", 1), "tcp://calc:1"),
        (
            "TLS://Calc.Example:9443",
            Address("tls", "calc.example", 9443),
            "tls://calc.example:9443",
        ),
        ("[::1]:9000", Address("tcp", "::1", 9000), "tcp://[::1]:9000"),
        ("tcp://[0:0:0:0:0:0:0:1]:9000", Address("tcp", "::1", 9000), "tcp://[::1]:9000"),
        ("tcp://0.0.0.0:0", Address("tcp", "0.0.0.0", 0), "tcp://0.0.0.0:0"),
        ("unix:///run/calc.sock", Address("unix", path="/run/calc.sock"), "unix:///run/calc.sock"),
        ("memory://calc", Address("memory", "calc"), "memory://calc"),
        (
            "http+x://calc:80/rpc/v1",
            Address("http+x", "calc", 80, "/rpc/v1"),
            "http+x://calc:80/rpc/v1",
        ),
        ("shm:///bee", Address("shm", path="/bee"), "shm:///bee"),
        ("my_service:9000", Address("tcp", "my_service", 9000), "tcp://my_service:9000"),
    ],
)
def test_an_address_is_read_and_has_a_canonical_url(text, address, url):
    assert parse(text) == address
    assert parse(text).url == str(parse(text)) == url


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the address is empty"),
        ("calc", "has no port"),
        ("calc:", "no port after the colon"),
        ("tcp://:9000", "has no host"),
        ("calc:99999", "port 99999 is not between 0 and 65535"),
        ("calc:-1", "port '-1' is not a number between"),
        ("calc:٣", "is not a number between"),
        ("calc:9000/rpc", "wants host:port and nothing more"),
        ("::1:9000", "in brackets"),
        ("[::1:9000", r"as \[::1\]:9000"),
        ("[::1]9000", r"as \[::1\]:9000"),
        ("[calc]:9000", "not an IPv6 address"),
        ("127.0.0.256:9000", "not an IPv4 address"),
        ("0xa9fea9fe:80", "not an IPv4 address"),
        ("0XA9.0xfe.0xa9.254:80", "not an IPv4 address"),
        ("169.254.0xa9fe.:80", "not an IPv4 address"),
        ("0x:80", "not an IPv4 address"),
        ("ca lc:9000", "space or a control character"),
        ("calc:9000\n", "space or a control character"),
        ("-calc:9000", "not a host name"),
        ("a..b:9000", "not a host name"),
        ("a$b:9000", "not a host name"),
        ("unix://run/calc.sock", "wants an absolute path"),
        ("unix://", "wants an absolute path"),
        ("unix:/run/calc.sock", "write unix:///absolute/path"),
        ("/run/calc.sock", "write unix:///absolute/path"),
        ("memory://", "names no host and no path"),
        ("9p://calc:1", "does not begin with a scheme"),
    ],
)
def test_what_is_no_address_is_refused_with_a_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse(text)


def test_a_password_in_an_address_is_refused_without_being_repeated():
    with pytest.raises(ValueError, match="credentials go into") as caught:
        parse("tcp://root:hunter2@calc:9000")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wildcard"),
    [("0.0.0.0:1", True), ("[::]:1", True), ("127.0.0.1:1", False), ("[::1]:1", False)],
)
def test_a_wildcard_address_is_recognised(text, wildcard):
    assert parse(text).is_wildcard is wildcard


hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip.exploded}]"),
    st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9]", fullmatch=True),
)


@given(st.sampled_from(["tcp", "tls", "TCP"]), hosts, st.integers(0, 65535))
def test_every_host_and_port_survives_the_way_to_its_url_and_back(scheme, host, port):
    address = parse(f"{scheme}://{host}:{port}")
    assert (address.scheme, address.port) == (scheme.lower(), port)
    assert parse(address.url) == address
    if host.startswith("["):
        assert ipaddress.ip_address(address.host) == ipaddress.ip_address(host[1:-1])


@given(st.one_of(st.text(), st.text(alphabet="tcpunixmemory:/[]@.0123456789%-_ ", max_size=40)))
def test_any_text_is_either_an_address_with_a_stable_url_or_a_value_error(text):
    try:
        address = parse(text)
    except ValueError:
        return
    assert parse(address.url) == address
