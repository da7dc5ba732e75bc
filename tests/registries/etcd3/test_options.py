from __future__ import annotations

import pytest
import trustme

import bee_core
from bee_core.errors import ConfigError
from bee_plugins.registries.etcd3.registry import EtcdOptions, member_addresses
from bee_plugins.registries.shared.servers import https_context


@pytest.mark.parametrize(
    ("written", "urls"),
    [
        ((), ("http://127.0.0.1:2379",)),
        (("127.0.0.1:2379",), ("http://127.0.0.1:2379",)),
        (("etcd-1",), ("http://etcd-1:2379",)),
        (("http://a:1/", "https://b"), ("http://a:1", "https://b:2379")),
        (("[::1]:2379", "::1"), None),
        (("[::1]",), ("http://[::1]:2379",)),
        (("a, b:1", "a"), ("http://a:2379", "http://b:1")),
    ],
)
def test_addresses_are_urls_with_etcds_port_where_none_is_named(written, urls):
    if urls is None:
        with pytest.raises(ValueError, match=r"put an IPv6 address in brackets"):
            member_addresses(written)
    else:
        assert tuple(address.url for address in member_addresses(written)) == urls


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a:b",
        "a:99999",
        "a:0",
        "tcp://a:1",
        "http://",
        "http://a/v3",
        "a b",
        "unix:///x",
        "http://a:1,",
    ],
)
def test_a_malformed_address_is_an_error_of_the_configuration_that_shows_it(text):
    config = {
        "bee": {
            "rpc": {"registry": {"protocol": "etcd3", "address": [text]}, "client": {"calc": {}}}
        }
    }
    with pytest.raises(ConfigError, match="address") as caught:
        bee_core.build_client(config)
    assert caught.value.path.startswith("bee.rpc.registry")


def test_a_password_in_an_address_is_refused_and_not_shown():
    with pytest.raises(ValueError, match="credentials go into the plugin's options") as caught:
        member_addresses(["http://bee:honey@a:1"])
    assert "honey" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prefix": "bee"}, "'bee' is impossible here"),
        ({"prefix": "/"}, "'/' is impossible here"),
        ({"username": "bee"}, "username and password go together"),
        ({"password": "honey"}, "username and password go together"),
        ({"key": "key.pem"}, "state cert as well"),
        ({"ca": "ca.pem"}, "write https://host:port"),
        ({"request_timeout": 0}, "more than 0"),
        ({"pasword": "honey"}, "pasword"),
    ],
)
def test_wrong_options_are_errors_of_the_configuration_and_keep_the_password(options, said):
    config = {
        "bee": {
            "rpc": {"registry": {"protocol": "etcd3", "options": options}, "client": {"calc": {}}}
        }
    }
    with pytest.raises(ConfigError, match=said) as caught:
        bee_core.build_client(config)
    assert "honey" not in str(caught.value)


def test_the_password_is_not_shown():
    assert "honey" not in repr(EtcdOptions(username="bee", password="honey"))


def test_a_slash_at_the_end_of_the_prefix_is_of_no_meaning():
    assert EtcdOptions(prefix="/shop/").root == "/shop"


def test_files_that_cannot_be_used_are_named(tmp_path):
    addresses = member_addresses(["https://a:1"])
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(ValueError, match=r"ca is '.*none.pem'.*no such file"):
        https_context(EtcdOptions(ca=str(tmp_path / "none.pem")), addresses)
    with pytest.raises(ValueError, match=r"ca is '.*junk.pem'.*no certificate"):
        https_context(EtcdOptions(ca=str(tmp_path / "junk.pem")), addresses)
    with pytest.raises(ValueError, match=r"cert is '.*junk.pem'"):
        https_context(EtcdOptions(cert=str(tmp_path / "junk.pem")), addresses)


def test_certificate_and_key_may_stand_in_one_file(tmp_path):
    trustme.CA().issue_cert("bee").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "both.pem"
    )
    options = EtcdOptions(cert=str(tmp_path / "both.pem"))
    assert https_context(options, member_addresses(["https://a:1"])) is not None
