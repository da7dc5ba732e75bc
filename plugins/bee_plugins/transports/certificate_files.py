"""Files of certificates that OpenSSL takes for something else, or takes and no peer does."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_EC_KEY = bytes.fromhex("06072a8648ce3d0201")
"""The name of keys on curves (id-ecPublicKey, RFC 5480). The name of the curve follows."""
_USUAL_CURVES = tuple(
    bytes.fromhex(name) for name in ("06082a8648ce3d030107", "06052b81040022", "06052b81040023")
)
"""P-256, P-384 and P-521: what TLS 1.3 has for certificates (RFC 8446, 4.2.3), beside Ed25519."""
_PKCS12 = (b"\x02\x01\x03\x30", b"\x30")
"""Version 3, then a sequence: the start of a PFX (RFC 7292)."""


def other_form(path: Path) -> str:
    """What a file is and how to make PEM of it, if it is not PEM; empty if it looks like PEM."""
    try:
        data = path.read_bytes()
    except OSError:
        return ""
    if data[:1] != b"\x30":
        return ""
    length = data[1] if len(data) > 1 else 0
    content = data[2 + (length & 0x7F if length & 0x80 else 0) :]
    if content.startswith(_PKCS12):
        if content[:1] == b"\x02":
            return (
                f"{path} is a PKCS#12 file, and PEM is wanted: openssl pkcs12 -in {path.name}"
                f" -nodes -out {path.stem}.pem"
            )
        return (
            f"{path} is in DER form, and PEM is wanted: openssl x509 -inform der -in {path.name}"
            f" -out {path.stem}.pem (a key: openssl pkey)"
        )
    return ""


def unusual_curve(path: Path) -> str:
    """That the first certificate's key is on a curve that peers refuse; empty if it is not."""
    try:
        text = path.read_text("latin-1")
        block = text[text.index(_BEGIN) : text.index(_END) + len(_END)]
        der = ssl.PEM_cert_to_DER_cert(block)
    except (OSError, ValueError):
        return ""
    at = der.find(_EC_KEY)
    if at < 0 or der.startswith(_USUAL_CURVES, at + len(_EC_KEY)):
        return ""
    return (
        f"the key of the certificate in {path} is on a curve that no peer takes in TLS 1.3; make"
        " one on P-256 (prime256v1), P-384 or P-521, or an RSA or Ed25519 key"
    )
