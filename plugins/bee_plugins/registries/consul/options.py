"""Addresses and options of the registry ``consul``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from bee_plugins.registries.shared.servers import read_addresses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bee_core.addresses import Address

_NAME_PART = re.compile(r"[A-Za-z0-9._~-]*")


def _part_of_a_name(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not _NAME_PART.fullmatch(value):
        raise ValueError(
            f"{attribute.name} must be letters, digits, and any of . _ ~ - , and not {value!r}"
        )


@attrs.frozen
class ConsulOptions:
    """Options of ``consul``.

    Attributes:
        token: ACL token: service:write to register, service:read and node:read to watch. None
            means ``$CONSUL_HTTP_TOKEN``, as in all of Consul's programs, or else no token.
        datacenter: Where clients look for services; None means the agent's own. A server always
            registers with its agent.
        prefix: Comes before each service's name in Consul, so that two installations can share
            one Consul. Empty by default: other programs look for the plain name.
        verify: Whether an agent's certificate is checked. Only for https.
        ca: File or folder of the certificates (PEM) that sign the agents'; None means those of
            the system. Only for https.
        cert: File of a certificate (PEM) that the agent asks for, or None. Only for https.
        key: File of its key; None if the key stands in ``cert``.
    """

    token: str | None = attrs.field(default=None, repr=False)
    datacenter: str | None = None
    prefix: str = attrs.field(default="", validator=_part_of_a_name)
    verify: bool = True
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


def agent_addresses(written: Iterable[str]) -> tuple[Address, ...]:
    """The agents, as :func:`~bee_plugins.registries.shared.servers.read_addresses` has them.

    Every machine of a Consul cluster has an agent, so the default is this machine's.
    """
    forms = "host:port, http://host:port or https://host:port"
    return read_addresses(written, {"http": 8500, "https": 8501}, "a Consul agent", forms)
