"""The addresses and options of the registry ``etcd3``, checked while a client or server is built."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import attrs

from bee_core.options import Seconds  # noqa: TC001 - read at run time, when the options are structured
from bee_core.options import OptionError
from bee_core.interfaces import parse
from bee_plugins.registries.client_certificate import load_client_certificate, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterable

PORT = 2379
"""etcd's own, where an address names none."""


def _usable_prefix(_: object, __: object, value: str) -> None:
    if (
        not value.startswith("/")
        or not value.strip("/")
        or any(ord(char) <= 0x20 for char in value)
    ):
        raise ValueError(f"prefix is {value!r}; write the beginning of the keys, such as /bee/rpc")


def _positive(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if value <= 0:
        raise ValueError(f"{attribute.name} must be more than 0 seconds")


@attrs.frozen
class EtcdOptions:
    """Options of the registry ``etcd3``.

    Attributes:
        prefix: Beginning of all keys: ``<prefix>/<service>/providers/<id>``.
        username: The user, where etcd's authentication is enabled.
        password: Its password; better from the environment, ``${NAME}``.
        ca: File with the certificates (PEM) that sign etcd's own; without it those that the system trusts. For ``https://`` addresses, like the next two.
        cert: File with the client's certificate (PEM), where etcd asks for one.
        key: File with its key (PEM); without it the key stands in the file of the certificate.
        request_timeout: Seconds for one request, shared out among the addresses. 3, since the first answer must come within 5, and an etcd that elects a new
            leader takes up to 2.
    """

    prefix: str = attrs.field(default="/bee/rpc", validator=_usable_prefix)
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    request_timeout: Seconds = attrs.field(default=3.0, validator=_positive)

    def __attrs_post_init__(self) -> None:
        """Refuse halves."""
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together; state both, or neither")
        if self.key is not None and self.cert is None:
            raise ValueError("key is the key of a certificate: state cert as well")

    @property
    def root(self) -> str:
        """The prefix without a slash at its end."""
        return self.prefix.rstrip("/")


def read_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """The addresses as urls without a path.

    Args:
        addresses: ``host``, ``host:port``, ``http://host:port``, ``https://host:port``. None at all means etcd on this machine, as etcd's own tools take it.

    Raises:
        ValueError: One cannot be used; the message says what to write.
    """
    texts = [text.strip() for several in addresses for text in several.split(",")]
    return tuple(dict.fromkeys(_read_address(text) for text in texts)) or (
        f"http://127.0.0.1:{PORT}",
    )


def _read_address(text: str) -> str:
    try:
        address = parse(text if "://" in text else f"http://{text}")
    except ValueError as error:
        raise ValueError(
            f"address {text!r}: {error}" if "@" not in text else f"address: {error}"
        ) from None
    if address.scheme not in {"http", "https"} or not address.host or address.path.strip("/"):
        raise ValueError(
            f"address {text!r} is not one of etcd; write host:port, http://host:port or https://host:port, several separated by commas"
        )
    port = PORT if address.port is None else address.port
    if port == 0:
        raise ValueError(f"address {text!r} has the port 0; etcd's usual one is {PORT}")
    return attrs.evolve(address, port=port, path="").url


def tls_context(addresses: Iterable[str], options: EtcdOptions) -> ssl.SSLContext | None:
    """What TLS needs, or None where no address wants it. Reads the files.

    Raises:
        ValueError: A file is missing or is not what it should be (OptionError), or there are files and no address to use them for.
    """
    if not any(address.startswith("https:") for address in addresses):
        if options.ca is not None or options.cert is not None:
            raise ValueError(
                "ca and cert are for TLS, and no address wants it; write https://host:port"
            )
        return None
    try:
        context = ssl.create_default_context(cafile=options.ca)
    except OSError as error:  # SSLError is one
        raise OptionError(
            "ca", f"ca is {options.ca!r}, which cannot be used: {reason_of(error)}"
        ) from None
    if options.cert is not None:
        load_client_certificate(context, options.cert, options.key)
    return context
