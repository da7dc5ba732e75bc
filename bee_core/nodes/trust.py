"""Where a client may go because a registry says so, and where it may show its token.

A record of a registry is foreign text. It must not switch TLS off, nor lead to where only this
process or this machine is reached. An address in the client's own file is the user's word and is
not questioned here.

Pure, immutable, thread-safe.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import attrs

from ..terms.addresses import Address, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contracts.transport import Reach, Transport
    from ..terms.node import Node

_REACHES: tuple[Reach, ...] = ("process", "machine", "network")


def reach_of(plugin: object) -> Reach:
    """How far a registry's word or a transport's bytes go; ``network`` where it does not say."""
    return getattr(plugin, "reach", "network")


def in_clear(transport: Transport) -> bool:
    """Whether others on the network could read what goes over a transport."""
    return reach_of(transport) == "network" and not getattr(transport, "encrypted", False)


@attrs.frozen
class Trust:
    """How far a client trusts the records of its registry.

    Attributes:
        reach: How far the registry's own word goes; a record cannot name a place within less.
        schemes: The schemes that records may have, or None for all.
        shows_token: Whether the client has a token, which must not go out in clear.
        named: The urls that the client's file names.
        transport: The transport of a url; raises for one without.
    """

    reach: Reach
    schemes: tuple[str, ...] | None
    shows_token: bool
    named: frozenset[str]
    transport: Callable[[str], Transport] = attrs.field(eq=False, repr=False)

    def unfit(self, url: str) -> str:
        """Why no client of this registry can go to a url; empty when it can.

        Raises:
            ValueError: It is not a url.
            BeeError: There is no transport for it.
        """
        transport = self.transport(url)
        if _REACHES.index(reach_of(transport)) < _REACHES.index(self.reach):
            place = "process" if reach_of(transport) == "process" else "machine"
            return (
                f"{url} is only reached within one {place}, and this registry is read by others; "
                "the server must advertise another address"
            )
        what = _no_destination(parse(url))
        return f"{url} names {what}; the server must advertise another address" if what else ""

    def choose(self, node: Node) -> Node:
        """The node at the address that this client takes, of one with several addresses.

        It is the first of the client's schemes; without schemes the one that the record has as its
        ``address``. An address that the client does not go to is passed over for the next.
        """
        order = [node.url, *(url for url in node.addresses if url != node.url)]
        if self.schemes is not None:
            order = [url for scheme in self.schemes for url in order if parse(url).scheme == scheme]
        url = next(filter(self._goes_to, order), order[0] if order else node.url)
        return node if url == node.url else attrs.evolve(node, url=url)

    def _goes_to(self, url: str) -> bool:
        try:
            return not (self.unfit(url) or self.objection(url))
        except Exception:  # no transport for it, or one that does not read it
            return False

    def objection(self, url: str) -> str:
        """Why this client does not go to a url that only a record names; empty when it does."""
        if url in self.named:
            return ""
        scheme = parse(url).scheme
        if self.schemes is not None and scheme not in self.schemes:
            return f"{scheme}:// is not among the client's schemes ({', '.join(self.schemes)})"
        if not self.may_show_token(url):
            return (
                f"the client's token would go to it in clear over {scheme}://; use transport: tls, "
                "or state the address in the client's file"
            )
        return ""

    def may_show_token(self, url: str) -> bool:
        """Whether a token, if there is one, may go over a connection to a url."""
        return not self.shows_token or url in self.named or not in_clear(self.transport(url))


def _no_destination(address: Address) -> str:
    """What an address is that no other machine can dial, or that may be another host's for each."""
    if address.is_wildcard:
        return "every interface of its server"
    try:
        ip = ipaddress.ip_address(address.host)
    except ValueError:
        return ""
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped or ip
    if ip.is_unspecified:
        return "every interface of its server"
    if ip.is_link_local:
        return "a link-local address, which is another host on every link"
    if ip.is_multicast or ip == ipaddress.IPv4Address("255.255.255.255"):
        return "no single host"
    return ""
