"""Options of the transport ``tls``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  the options are structured by their annotations
from typing import Literal

import attrs


@attrs.frozen
class TlsOptions:
    """Options of the transport ``tls``, the same on both sides. Files are PEM, and relative to the folder that the program runs in.

    Attributes:
        cert: This side's certificate, with those between it and the authority behind it. A server must have one; a client has one where the server asks for it.
        key: The private key of ``cert``; left out when it stands in the same file.
        key_password: What the key is encrypted with: ``${NAME}``.
        ca: The authorities that the other side's certificate must come from. In a client: the system's where it is left out. In a server: clients must show a
            certificate (mutual TLS), and where it is left out they need none.
        verify: Whether a client checks the server's certificate and name. Without, anybody in between can read and change everything, and a warning is logged.
        server_hostname: The name that the server's certificate must be for, where it is not the host of the address.
        min_version: The oldest version of TLS spoken. 1.2, as in Mozilla's intermediate recommendation: 1.3 is spoken wherever both sides can.
    """

    cert: Path | None = None
    key: Path | None = None
    key_password: str | None = attrs.field(default=None, repr=False)
    ca: Path | None = None
    verify: bool = True
    server_hostname: str | None = None
    min_version: Literal["1.2", "1.3"] = "1.2"
