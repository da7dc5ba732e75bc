"""Files of client certificates: which are accepted, and the errors of the others.

They are the same in every registry that speaks TLS.
"""

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
from bee_plugins.registries.consul.registry import ConsulOptions, agent_addresses
from bee_plugins.registries.etcd3.registry import EtcdOptions, member_addresses
from bee_plugins.registries.shared.servers import https_context
from bee_plugins.registries.zookeeper.registry import ZooKeeperOptions, server_tls


def of_etcd(cert, key):
    return https_context(EtcdOptions(cert=cert, key=key), member_addresses(["https://a:1"]))


def of_consul(cert, key):
    return https_context(ConsulOptions(cert=cert, key=key), agent_addresses(["https://a"]))


def of_zookeeper(cert, key):
    return server_tls(ZooKeeperOptions(tls=True, cert=cert, key=key))


REGISTRIES = pytest.mark.parametrize("use", [of_etcd, of_consul, of_zookeeper])


@pytest.fixture
def issued(tmp_path):
    made = trustme.CA().issue_cert("bee")
    made.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    made.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    made.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    return made


@REGISTRIES
def test_a_key_may_stand_in_the_file_of_its_certificate(use, issued, tmp_path):
    both, cert, key = (str(tmp_path / f"{name}.pem") for name in ("both", "cert", "key"))
    assert isinstance(use(both, None), ssl.SSLContext)
    assert isinstance(use(cert, key), ssl.SSLContext)


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
