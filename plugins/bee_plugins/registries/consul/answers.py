"""What Consul says of an instance: agents of their own ones, servers of all.

Only what bee uses is read. Everything comes from outside, so it may be missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.interfaces import Address

if TYPE_CHECKING:
    from collections.abc import Mapping

OWNER, ID, URL = "bee-owner", "bee-id", "bee-url"
"""Keys of Meta that only bee sets.

Other programs may also set ``version``, ``weight``, ``zone``, ``workers`` and, instead of the url,
``scheme``.
"""


class Machine(msgspec.Struct):
    """Where an instance is."""

    name: str = msgspec.field(name="Node", default="")
    address: str = msgspec.field(name="Address", default="")


class Service(msgspec.Struct):
    """An instance."""

    id: str = msgspec.field(name="ID")
    name: str = msgspec.field(name="Service")
    address: str = msgspec.field(name="Address", default="")
    port: int = msgspec.field(name="Port", default=0)
    tags: tuple[str, ...] | None = msgspec.field(name="Tags", default=())
    meta: dict[str, str] | None = msgspec.field(name="Meta", default=None)
    modified: int = msgspec.field(name="ModifyIndex", default=0)
    created: int = msgspec.field(name="CreateIndex", default=0)

    @property
    def owner(self) -> str | None:
        """Who registered it; None if bee did not."""
        return (self.meta or {}).get(OWNER)

    def url(self, host: str = "") -> str:
        """Where its server is; ``host`` is used if it states none of its own."""
        meta = self.meta or {}
        scheme = meta.get("scheme", "tcp").lower()
        return meta.get(URL) or Address(scheme, self.address or host, self.port).url

    def is_as(self, arguments: Mapping[str, Any]) -> bool:
        """Whether it is what these arguments of py-consul's ``service.register`` have made."""
        return (
            self.name == arguments["name"]
            and self.address == (arguments["address"] or "")
            and self.port == (arguments["port"] or 0)
            and sorted(self.tags or ()) == arguments["tags"]
            and (self.meta or {}) == arguments["meta"]
        )


class Check(msgspec.Struct):
    """A check of an instance, or of its machine."""

    id: str = msgspec.field(name="CheckID", default="")
    instance: str = msgspec.field(name="ServiceID", default="")
    machine: str = msgspec.field(name="Node", default="")


class Held(msgspec.Struct):
    """An id that is held: an instance with its checks. An agent also tells its status."""

    status: str = msgspec.field(name="AggregatedStatus", default="passing")
    service: Service | None = msgspec.field(name="Service", default=None)
    checks: tuple[Check, ...] | None = msgspec.field(name="Checks", default=())
    node: Machine = msgspec.field(name="Node", default_factory=Machine)

    @property
    def machine(self) -> str:
        """The name of its machine; empty if nothing tells it."""
        return self.node.name or next((check.machine for check in self.checks or ()), "")

    @property
    def owner(self) -> str | None:
        """Who registered it; None if bee did not."""
        return None if self.service is None else self.service.owner

    @property
    def modified(self) -> int:
        """The servers' index of its last change."""
        return 0 if self.service is None else self.service.modified

    def lives(self, but_for: str = "") -> bool:
        """Whether a check of its own keeps it alive, other than the one with this id."""
        return self.status == "passing" and any(
            check.instance and check.id != but_for for check in self.checks or ()
        )

    def __str__(self) -> str:
        """What messages call it."""
        if self.service is None:
            return "nobody"
        return f"{self.service.url(self.node.address)} (on {self.machine or 'this machine'})"


class OnMachine(msgspec.Struct):
    """What the servers know of a machine."""

    services: dict[str, Service] | None = msgspec.field(name="Services", default=None)


agents_own = msgspec.json.Decoder(Held)
on_machine = msgspec.json.Decoder(OnMachine | None)
raw_entries = msgspec.json.Decoder(list[msgspec.Raw])
