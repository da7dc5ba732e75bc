"""Authorities and certificates for tests of TLS, made by trustme as they are needed."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import trustme

if TYPE_CHECKING:
    from pathlib import Path

HOUR = dt.timedelta(hours=1)


class Authority:
    """A certificate authority that writes files into a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._ca = trustme.CA(organization_name=name)
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str, *identities: str, **how: Any) -> tuple[Path, Path]:
        """A certificate and its key, in files that are replaced when they are there."""
        made = self._ca.issue_cert(*(identities or ("127.0.0.1", "localhost")), **how)
        cert, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        write(cert, b"".join(part.bytes() for part in made.cert_chain_pems))
        write(key, made.private_key_pem.bytes())
        return cert, key

    def expired(self, name: str) -> tuple[Path, Path]:
        now = dt.datetime.now(dt.timezone.utc)
        return self.issue(name, not_before=now - 2 * HOUR, not_after=now - HOUR)


def write(path: Path, data: bytes) -> None:
    """Replace a file as whoever renews certificates should: whole, by a new one."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)


def tls(cert: tuple[Path, Path] | None = None, **options: Any) -> dict[str, Any]:
    """The transport of a configuration."""
    files = {} if cert is None else {"cert": str(cert[0]), "key": str(cert[1])}
    return {
        "name": "tls",
        "options": {
            **files,
            **{
                name: str(value) if hasattr(value, "open") else value
                for name, value in options.items()
            },
        },
    }
