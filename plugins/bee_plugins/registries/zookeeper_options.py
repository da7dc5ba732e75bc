"""What the configuration says of ZooKeeper: its addresses, and the options of the registry ``zookeeper``."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any

import attrs

from bee_core.options import OptionError
from bee_core.interfaces import Address, parse
from bee_plugins.registries.client_certificate import load_client_certificate, reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence

PORT = 2181
"""Where ZooKeeper listens when nobody says otherwise."""
TLS_PORT = 2281
"""Likewise for TLS: there is no default, and this is the port of ZooKeeper's own examples."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCHEMES = frozenset({"tcp", "zk", "zookeeper"})
# What ZooKeeper takes for no name: control characters, surrogates, the private use area, and the last of the basic plane.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]")


def _usable_prefix(_: object, attribute: attrs.Attribute[Any], value: str) -> None:
    parts = value.split("/")
    if parts[0] or len(parts) < 2 or not all(parts[1:]):
        raise ValueError(
            f"{attribute.name} must look like /bee/rpc: a slash before each part, none at the end; not {value!r}"
        )
    if _FORBIDDEN.search(value) or not {".", ".."}.isdisjoint(parts):
        raise ValueError(
            f"{attribute.name} has a part or a character that ZooKeeper takes for no name: {value!r}"
        )
    if parts[1] == "zookeeper":
        raise ValueError(
            f"{attribute.name} must not begin with /zookeeper, which belongs to ZooKeeper itself"
        )


@attrs.frozen
class ZooKeeperOptions:
    """Options of the registry ``zookeeper``.

    Attributes:
        prefix: Beginning of all paths: ``<prefix>/<service>/providers/<id>``. What other clients call a chroot goes here as well.
        username: The user of ZooKeeper's scheme ``digest``. With it, only this user may write what bee writes, and everybody may read it.
        password: Its password; better from the environment, ``${NAME}``.
        tls: Whether the addresses are those of a ``secureClientPort``.
        ca: File with the certificates (PEM) that sign the servers'; without it those that the system trusts. For ``tls``, like the next two.
        cert: File with the client's certificate (PEM), which ZooKeeper asks for unless it is told not to (``ssl.clientAuth``).
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
        """Refuse options that contradict each other.

        Raises:
            ValueError: They do.
        """
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together; state both, or neither")
        if self.username is not None and (not self.username or ":" in self.username):
            raise ValueError("username must not be empty and must not have a colon in it")
        if not self.tls and (self.ca or self.cert or self.key):
            raise ValueError(
                "ca, cert and key are for TLS; set tls: true, with the address of the server's secureClientPort"
            )
        if self.key and not self.cert:
            raise ValueError("key is the key of a certificate; state cert as well")


def tls_context(options: ZooKeeperOptions) -> ssl.SSLContext | None:
    """How servers are believed, and what they are shown; None without TLS. Names of hosts are checked.

    Raises:
        OptionError: A file cannot be used; the message names it.
    """
    if not options.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=options.ca)
    except OSError as error:  # SSLError is one
        raise OptionError(
            "ca", f"ca is {options.ca!r}, which cannot be used: {reason_of(error)}"
        ) from error
    if options.cert:
        load_client_certificate(context, options.cert, options.key)
    return context


def server_addresses(addresses: Sequence[str], *, tls: bool) -> tuple[Address, ...]:
    """The servers of an ensemble; one on this machine where none is named.

    Raises:
        ValueError: One of them is no address; the message says what to write.
    """
    port = TLS_PORT if tls else PORT
    return tuple(_address(text, port) for text in addresses) or (parse(f"127.0.0.1:{port}"),)


def _address(text: str, port: int) -> Address:
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() :] if scheme else text
    if scheme is not None and scheme[1].lower() not in _SCHEMES:
        raise ValueError(
            f"address {text!r}: ZooKeeper's addresses are host:port; for TLS set tls: true in the options"
        )
    if "@" in rest:
        raise ValueError(
            "address: it holds no user and no password; state username and password in the options"
        )
    rest, slash, path = rest.partition("/")
    if path:
        raise ValueError(
            f"address {text!r}: a path does not belong to an address; state it as the option prefix: {slash}{path}"
        )
    with_port = (
        rest
        if re.search(r":[^:\]]*$", rest) and (not rest.startswith("[") or "]:" in rest)
        else f"{rest}:{port}"
    )
    try:
        address = parse(with_port)
    except ValueError as error:
        raise ValueError(f"address {text!r}: {error}") from None
    if address.port == 0:
        raise ValueError(f"address {text!r}: nobody listens on port 0")
    return address
