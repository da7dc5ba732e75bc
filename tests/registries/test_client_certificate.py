"""Files of client certificates: which are taken, and what is said of the others; the same in every registry that speaks TLS."""

from __future__ import annotations

import ssl

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from bee_core.options import OptionError
from bee_plugins.registries import consul_options, etcd_options, zookeeper_options
from bee_plugins.registries.client_certificate import load_client_certificate


def of_etcd(cert, key):
    etcd_options.tls_context(["https://a:1"], etcd_options.EtcdOptions(cert=cert, key=key))


def of_consul(cert, key):
    consul_options.tls_context(
        consul_options.ConsulOptions(cert=cert, key=key),
        consul_options.agent_addresses(["https://a"]),
    )


def of_zookeeper(cert, key):
    zookeeper_options.tls_context(zookeeper_options.ZooKeeperOptions(tls=True, cert=cert, key=key))


REGISTRIES = pytest.mark.parametrize("use", [of_etcd, of_consul, of_zookeeper])


@pytest.fixture
def issued(tmp_path):
    made = trustme.CA().issue_cert("bee")
    made.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    made.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    made.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    return made


def test_a_key_may_stand_in_the_file_of_its_certificate(issued, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    load_client_certificate(context, str(tmp_path / "both.pem"), None)
    load_client_certificate(context, str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))


@REGISTRIES
def test_an_encrypted_key_is_refused_and_not_asked_about_at_the_terminal(use, issued, tmp_path):
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    )
    with pytest.raises(OptionError, match=r"cert is .* and key .* cannot be used") as caught:
        use(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    assert caught.value.option == "cert"


@REGISTRIES
def test_a_file_that_is_missing_or_is_no_certificate_is_named(use, tmp_path):
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(OptionError, match=r"none\.pem'.*no such file"):
        use(str(tmp_path / "none.pem"), None)
    with pytest.raises(OptionError, match=r"junk\.pem'.*no certificate or key in the form PEM"):
        use(str(tmp_path / "junk.pem"), None)
