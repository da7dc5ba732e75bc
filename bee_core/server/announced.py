"""What a server announces of itself: its id, and an address that others can dial."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING

import attrs

from ..contracts.registry import Instance
from ..terms.addresses import parse
from ..terms.node import Node
from .log_lines import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config.server_model import ServerConfig

_UNSAFE = re.compile(r"[^A-Za-z0-9._]+")
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses reserved for documentation (RFC 5737, RFC 3849): nobody has them, so the way to them is the way to everybody else. Nothing is sent."""


def instance_id(service: str) -> str:
    """A new id of this process as an instance: service, host, process and 48 random bits of the operating system. Safe as a file name and as a part of a key."""
    host = socket.gethostname().partition(".")[0]
    parts = (service, host, str(os.getpid()), os.urandom(6).hex())
    return "-".join(_UNSAFE.sub("_", part)[:64] for part in parts)


def announce(settings: ServerConfig, id_: str, listening: Sequence[str], workers: int) -> Instance:
    """The instance as the registry gets it.

    Args:
        settings: The server's configuration.
        id_: From :func:`instance_id`.
        listening: The urls it listens on, with the real ports.
        workers: How many processes serve behind them.
    """
    node = Node(
        id_,
        announced_url(settings.advertise, listening),
        settings.version,
        settings.weight,
        settings.zone,
        settings.tags,
        workers,
    )
    return Instance(settings.name, node)


def announced_url(advertise: str | None, listening: Sequence[str]) -> str:
    """Where clients reach the server: the address that was stated, with the real port for port 0, or the first that it listens on. Never a wildcard address."""
    if advertise is None:
        address = parse(listening[0])
        return (
            attrs.evolve(address, host=outward_host(address.host)).url
            if address.is_wildcard
            else address.url
        )
    address = parse(advertise)
    if address.port == 0:
        doors = [parse(url) for url in listening]
        # The door of the same scheme, since several may be open; tls may be ended in front of a tcp door.
        ports = [door.port for door in doors if door.scheme == address.scheme and door.port] + [
            door.port for door in doors if door.port
        ]
        if ports:
            return attrs.evolve(address, port=ports[0]).url
    return address.url


def outward_host(wildcard: str) -> str:
    """An address of this machine that others can dial.

    Args:
        wildcard: ``0.0.0.0`` or ``::``, the address listened on. A socket on ``::`` takes IPv4 as well.

    Returns:
        The address that the way to other machines begins with; without such a way, what the host's name resolves to; without that, this machine's own loopback, with a
        warning.
    """
    families = (socket.AF_INET6, socket.AF_INET) if ":" in wildcard else (socket.AF_INET,)
    for family in families:
        found = _by_route(family) or _by_name(family)
        if found is not None:
            return found
    loopback = "::1" if ":" in wildcard else "127.0.0.1"
    log.warning(
        "no address of this machine was found that others could dial, so %s is announced; state bee.rpc.server.advertise",
        loopback,
    )
    return loopback


def _by_route(family: socket.AddressFamily) -> str | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_ELSEWHERE[family], 9))  # UDP: only the route is looked up
            return _real(probe.getsockname()[0])
    except OSError:
        return None


def _by_name(family: socket.AddressFamily) -> str | None:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, family, socket.SOCK_STREAM)
    except OSError:
        return None
    return next((host for entry in found if (host := _real(str(entry[4][0]))) is not None), None)


def _real(host: str) -> str | None:
    """None for what cannot be dialled from elsewhere: wildcard, loopback, and link-local addresses of IPv6, which need a zone."""
    return None if host in {"0.0.0.0", "::", "::1"} or host.startswith(("127.", "fe80:")) else host  # noqa: S104  compared, not bound
