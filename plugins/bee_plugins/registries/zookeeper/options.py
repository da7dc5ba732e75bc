"""Addresses and options of the registry ``zookeeper``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs

from bee_plugins.registries.shared.servers import read_addresses, tls_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from bee_core.addresses import Address

PORT = 2181
"""ZooKeeper's usual port."""
TLS_PORT = 2281
"""The port for TLS in ZooKeeper's own examples. It has no usual one."""

# ZooKeeper allows no control characters, no surrogates, no private use area, and not the last
# characters of the basic plane.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]")


def _usable_prefix(_: object, attribute: attrs.Attribute[Any], value: str) -> None:
    parts = value.split("/")
    if parts[0] or len(parts) < 2 or not all(parts[1:]):
        raise ValueError(
            f"{attribute.name} must look like /bee/rpc: a slash before each part, none at the "
            f"end; not {value!r}"
        )
    if _FORBIDDEN.search(value) or not {".", ".."}.isdisjoint(parts):
        raise ValueError(
            f"{attribute.name} has a part or a character that ZooKeeper takes for no name: "
            f"{value!r}"
        )
    if parts[1] == "zookeeper":
        raise ValueError(
            f"{attribute.name} must not begin with /zookeeper, which belongs to ZooKeeper itself"
        )


@attrs.frozen
class ZooKeeperOptions:
    """Options of the registry ``zookeeper``.

    Attributes:
        prefix: Beginning of all paths: ``<prefix>/<service>/providers/<id>``. What other clients
            call a chroot goes here as well.
        username: The user of ZooKeeper's scheme ``digest``. With it, only this user may write
            what bee writes, and everybody may read it.
        password: Its password; better from the environment, ``${NAME}``.
        tls: Whether the addresses are those of a ``secureClientPort``.
        ca: File with the certificates (PEM) that sign the servers'; without it those that the
            system trusts. For ``tls``, like the next two.
        cert: File with the client's certificate (PEM). ZooKeeper asks for it unless
            ``ssl.clientAuth`` says otherwise.
        key: File with its key (PEM); without it the key stands in the file of the certificate.
    """

    prefix: str = attrs.field(default="/bee/rpc", validator=_usable_prefix)
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse a user that ZooKeeper could not have.

        Raises:
            ValueError: A half is missing, or the name cannot be one.
        """
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together; state both, or neither")
        if self.username is not None and (not self.username or ":" in self.username):
            raise ValueError("username must not be empty and must not have a colon in it")


def server_tls(options: ZooKeeperOptions) -> ssl.SSLContext | None:
    """As :func:`bee_plugins.registries.shared.servers.tls_context`."""
    how = "is for TLS; set tls: true, with the address of the server's secureClientPort"
    return tls_context(options, wanted=options.tls, how=how)


def server_addresses(written: Sequence[str], *, tls: bool) -> tuple[Address, ...]:
    """The servers, as :func:`bee_plugins.registries.shared.servers.read_addresses` has them."""
    for text in written:
        path = text.rpartition("://")[2].partition("/")[2]
        if path and "@" not in text:  # what stands before an @ is a secret
            raise ValueError(
                f"address {text!r}: a path does not belong to an address; "
                f"state it as the option prefix: /{path}"
            )
    ports = dict.fromkeys(("zk", "zookeeper", "tcp"), TLS_PORT if tls else PORT)
    forms = "host:port; for TLS set tls: true in the options"
    return read_addresses(written, ports, "ZooKeeper", forms)
