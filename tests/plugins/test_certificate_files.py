"""Files of certificates that OpenSSL takes for something else, or takes and no peer does."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

from bee_core.options import OptionError
from bee_plugins.transports.tls_contexts import TlsOptions, check_files

if TYPE_CHECKING:
    from pathlib import Path


def made(curve: Any) -> tuple[Any, Any]:
    key = ec.generate_private_key(curve)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])
    now = dt.datetime.now(dt.timezone.utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return cert, key


def pem(folder: Path, curve: Any) -> Path:
    cert, key = made(curve)
    path = folder / "cert.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + cert.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_usual_curves_are_taken(tmp_path: Path, curve: Any) -> None:
    check_files(TlsOptions(cert=pem(tmp_path, curve)))


@pytest.mark.parametrize("curve", [ec.SECP256K1(), ec.BrainpoolP256R1()])
def test_a_curve_that_no_peer_takes_is_said_at_build(tmp_path: Path, curve: Any) -> None:
    with pytest.raises(OptionError, match="on a curve that no peer takes"):
        check_files(TlsOptions(cert=pem(tmp_path, curve)))


def test_a_pkcs12_file_is_told_by_its_name(tmp_path: Path) -> None:
    cert, key = made(ec.SECP256R1())
    path = tmp_path / "server.p12"
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(b"a", key, cert, None, serialization.NoEncryption())
    )
    with pytest.raises(OptionError, match=r"server\.p12 is a PKCS#12 file, .* pkcs12 -in server"):
        check_files(TlsOptions(cert=path))


def test_der_is_told(tmp_path: Path) -> None:
    path = tmp_path / "server.crt"
    path.write_bytes(made(ec.SECP256R1())[0].public_bytes(serialization.Encoding.DER))
    with pytest.raises(OptionError, match="in DER form, and PEM is wanted"):
        check_files(TlsOptions(cert=path))
