"""Addresses and options of the registry ``etcd3``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bee_core.config.field_rules import positive
from bee_core.config.scalars import Seconds  # noqa: TC001  read when the options are structured
from bee_plugins.registries.shared.servers import read_addresses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bee_core.addresses import Address

PORT = 2379
"""etcd's usual port."""


def _usable_prefix(_: object, __: object, value: str) -> None:
    if not value.startswith("/") or not value.strip("/") or any(char <= " " for char in value):
        raise ValueError(f"prefix is {value!r}; write the beginning of the keys, such as /bee/rpc")


@attrs.frozen
class EtcdOptions:
    """Options of the registry ``etcd3``.

    Attributes:
        prefix: Beginning of all keys: ``<prefix>/<service>/providers/<id>``.
        username: The user, if etcd's authentication is enabled.
        password: Its password; better from the environment, ``${NAME}``.
        ca: File with the certificates (PEM) that sign etcd's own; without it those that the
            system trusts. For ``https://`` addresses, like the next two.
        cert: File with the client's certificate (PEM), if etcd asks for one.
        key: File with its key (PEM); without it the key stands in the file of the certificate.
        request_timeout: Seconds for one request, shared out among the addresses. 3, since the
            first answer must come within 5, and an etcd that elects a new leader takes up to 2.
    """

    prefix: str = attrs.field(default="/bee/rpc", validator=_usable_prefix)
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    request_timeout: Seconds = attrs.field(default=3.0, validator=positive)

    def __attrs_post_init__(self) -> None:
        """Refuse halves.

        Raises:
            ValueError: A user without a password, or a password without a user.
        """
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together; state both, or neither")

    @property
    def root(self) -> str:
        """The prefix without a slash at its end."""
        return self.prefix.rstrip("/")


def member_addresses(written: Iterable[str]) -> tuple[Address, ...]:
    """The members of etcd, as :func:`~bee_plugins.registries.shared.servers.read_addresses`."""
    forms = "host:port, http://host:port or https://host:port, several separated by commas"
    return read_addresses(written, {"http": PORT, "https": PORT}, "etcd", forms)
