"""The attributes of spans and metrics, by the RPC conventions 1.45.

https://github.com/open-telemetry/semantic-conventions/tree/v1.45.0/docs/rpc
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bee_core.interfaces import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bee_core.interfaces import Outcome, Snapshot

    Attributes = Mapping[str, str | int | bool]

SCHEMA = "https://opentelemetry.io/schemas/1.45.0"
SYSTEM = "bee"
OTHER = "_OTHER"
"""The name of a method that the server does not know, and of whatever has too many names."""
METHOD_NOT_FOUND = "METHOD_NOT_FOUND"

NO_ERROR_OF_THE_SERVER = frozenset(
    {
        *("OK", "CANCELLED", "INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED"),
        *("NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
        "RESOURCE_EXHAUSTED",
    }
)
"""What a server's span and metric do not count as an error: the caller did it, or wanted it.

The list is that of the conventions for gRPC. bee has its own word for a server that is overloaded,
and that is an error.
"""

BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Seconds: the bounds of the buckets of both histograms."""

MOST = 1000
"""Methods that are told apart: a program that makes up names must not fill the memory."""
MOST_STATUSES = 50
"""Ways to end that are told apart for a method: services may make up codes."""


def status_of(outcome: Outcome | None) -> str:
    """``rpc.status_code``: ``OK``, the code that the service gave, or the error's kind in capitals.

    Args:
        outcome: None for a call that was given up.
    """
    if outcome is None:
        return "CANCELLED"
    if outcome.ok:
        return "OK"
    failure: Any = outcome
    return getattr(failure, "code", "") or failure.kind.upper()


class Method:
    """The attributes of one method.

    Attributes:
        name: The name of its spans.
        attributes: What its spans have from the start.
    """

    __slots__ = ("_errors", "_measured", "attributes", "name")

    def __init__(self, name: str, address: Attributes, no_errors: frozenset[str]) -> None:
        self.name = SYSTEM if name == OTHER else name
        self.attributes: Attributes = {"rpc.system.name": SYSTEM, "rpc.method": name, **address}
        self._errors = no_errors
        self._measured: dict[tuple[str, bool], Attributes] = {}

    def is_error(self, status: str) -> bool:
        """Whether a call that ended so has failed, on this side."""
        return status not in self._errors

    def measured(self, status: str, *, degraded: bool = False) -> Attributes:
        """The attributes of a duration; an empty status is not known."""
        found = self._measured.get((status, degraded))
        if found is None:
            if len(self._measured) >= MOST_STATUSES and status != OTHER:
                return self.measured(OTHER, degraded=degraded)
            made: dict[str, Any] = dict(self.attributes)
            if status:
                made["rpc.status_code"] = status
                if self.is_error(status):
                    made["error.type"] = status
            if degraded:
                made["bee.degraded"] = True
            found = self._measured[status, degraded] = made
        return found


class Methods:
    """The methods of one client or server. Thread-safe.

    Args:
        no_errors: The statuses that are no errors on this side.
    """

    def __init__(self, no_errors: frozenset[str]) -> None:
        self._no_errors = no_errors
        self._known: dict[tuple[str, str], Method] = {}
        self._others: dict[str, Method] = {}
        self._addresses: dict[str, Attributes] = {}

    def get(self, service: str, method: str) -> Method:
        """A method that is there, as far as anybody knows."""
        found = self._known.get((service, method))
        if found is not None:
            return found
        if len(self._known) >= MOST:
            return self.other(service)
        made = Method(f"{service}/{method}", self._addresses.get(service, {}), self._no_errors)
        return self._known.setdefault((service, method), made)

    def known(self, service: str, method: str) -> Method:
        """A method that was there before; else that of all others."""
        return self._known.get((service, method)) or self.other(service)

    def other(self, service: str, method: str = "") -> Method:
        """The method that stands for all others of a service.

        Args:
            service: The service.
            method: A name that the server does not know. It is forgotten.
        """
        self._known.pop((service, method), None)
        found = self._others.get(service)
        if found is None:
            made = Method(OTHER, self._addresses.get(service, {}), self._no_errors)
            found = self._others.setdefault(service, made)
        return found

    def locate(self, service: str, snapshot: Snapshot) -> None:
        """Take ``server.address`` from a list of nodes: the client's name for the service.

        It is the address in the configuration where that is the only one. Otherwise it is the name
        of the service: nodes come and go, and a metric must not have a series for each of them.
        """
        alone = snapshot.source == "address" and len(snapshot.nodes) == 1
        address = server_address(snapshot.nodes[0].url) if alone else {"server.address": service}
        if self._addresses.get(service) != address:
            self._addresses[service] = address
            self._others.pop(service, None)
            for key in [key for key in self._known.copy() if key[0] == service]:
                self._known.pop(key, None)


def server_address(url: str) -> Attributes:
    """``server.address`` and ``server.port`` of a url."""
    host, port = _parts(url)
    return (
        {"server.address": host} if port is None else {"server.address": host, "server.port": port}
    )


@lru_cache(maxsize=4096)
def peer_of(address: str) -> Attributes:
    """``network.peer.address`` and ``network.peer.port`` of a node's url or a caller's address."""
    host, port = _parts(address)
    if port is None:
        return {"network.peer.address": host}
    return {"network.peer.address": host, "network.peer.port": port}


def _parts(address: str) -> tuple[str, int | None]:
    if "://" in address:
        try:
            known = parse(address)
        except ValueError:
            return address, None
        return known.host or known.path, known.port
    # A caller's address; an IPv6 address has no brackets there.
    host, _, port = address.rpartition(":")
    return (host, int(port)) if host and port.isdecimal() else (address, None)
