"""Where Consul's agents are, and how they are talked to: the registry ``consul``'s options and addresses, checked before anything is dialled."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from bee_core.options import OptionError
from bee_core.interfaces import Address, parse
from bee_plugins.registries.client_certificate import load_client_certificate, reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCAL_AGENT = "127.0.0.1"
"""Where an agent runs on every machine of a Consul cluster."""
PORTS = {"http": 8500, "https": 8501}
"""Consul's own, by scheme."""

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
        token: ACL token: service:write to register, service:read and node:read to watch. None: ``$CONSUL_HTTP_TOKEN``, as all of Consul's programs take it, or none.
        datacenter: Where services are looked for; None for the agent's own. Servers always register with their agent.
        prefix: Stands before the name of every service in Consul, so that two installations can share one. None by default: other programs look for the plain name.
        verify: Whether an agent's certificate must be good. Only for https.
        ca: File or folder of the certificates (PEM) that sign the agents'; None for the system's. Only for https.
        cert: File of a certificate (PEM) that the agent wants to see, or None. Only for https.
        key: File of its key, where that does not stand in ``cert``.
    """

    token: str | None = attrs.field(default=None, repr=False)
    datacenter: str | None = None
    prefix: str = attrs.field(default="", validator=_part_of_a_name)
    verify: bool = True
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


def agent_addresses(addresses: Sequence[str]) -> tuple[Address, ...]:
    """The agents to talk to, ports filled in; without any address the one of this machine.

    Raises:
        ValueError: One is malformed; the message says what to write.
    """
    return tuple(dict.fromkeys(map(_agent_address, addresses))) or (
        Address("http", LOCAL_AGENT, PORTS["http"]),
    )


def _agent_address(text: str) -> Address:
    try:
        address = parse(text if "://" in text else f"http://{text}")
    except ValueError as error:
        raise ValueError(
            f"address: {error}" if "@" in text else f"address {text!r}: {error}"
        ) from None  # what stands before an @ is a secret
    if (
        address.scheme not in PORTS
        or not address.host
        or address.path not in {"", "/"}
        or address.port == 0
    ):
        raise ValueError(
            f"address {text!r} is not one of a Consul agent; write host:port, http://host:port or https://host:port"
        )
    return Address(address.scheme, address.host, address.port or PORTS[address.scheme])


def tls_context(options: ConsulOptions, addresses: Sequence[Address]) -> ssl.SSLContext:
    """What https connections are made with. Reads the files that the options name.

    Raises:
        OptionError: A file cannot be used, or the options contradict each other or the addresses.
    """
    if all(address.scheme != "https" for address in addresses):
        stated = [name for name in ("ca", "cert", "key") if getattr(options, name) is not None] + [
            "verify"
        ] * (not options.verify)
        if stated:
            raise OptionError(
                stated[0], f"{stated[0]} is for https, and no address begins with https://"
            )
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and cheap without certificates
    if options.key is not None and options.cert is None:
        raise OptionError("key", "key is the key of a certificate: state cert as well")
    context = ssl.create_default_context()
    if options.ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # nobody else's signature counts
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load_authorities(context, options.ca)
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.cert is not None:
        load_client_certificate(context, options.cert, options.key)
    return context


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    try:
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:
        raise OptionError(
            "ca", f"ca is {path!r}, which cannot be used: {reason_of(error)}"
        ) from error
