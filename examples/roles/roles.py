"""An interceptor that authorises by method: a token stands for somebody, who has roles.

The server's ``tokens`` say whom a token stands for. The options say which roles these have, and
which role a method needs. Nobody may call a method that no pattern names.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  bee reads the annotations
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import attrs

import bee_core

if TYPE_CHECKING:
    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Interceptor, Outcome


@attrs.frozen
class RolesOptions:
    """What stands under ``interceptors: {name: roles, options: {…}}``.

    Attributes:
        identities: The roles of each identity.
        methods: The role that a method needs, by a pattern of its name: ``Stats.*``. The first
            pattern that fits counts.
    """

    identities: Mapping[str, tuple[str, ...]]
    methods: Mapping[str, str]


class Roles:
    """Refuses what the caller's token has no role for. Thread-safe: it keeps nothing of a call."""

    def __init__(self, options: RolesOptions) -> None:
        self._roles = {who: frozenset(roles) for who, roles in options.identities.items()}
        self._methods = tuple(options.methods.items())

    def enter(self, call: Any) -> None:
        """Look before the handler runs, and before its arguments are decoded."""
        who, needed = call.peer_identity, self._needed(call.method)
        if needed is None or needed not in self._roles.get(who, frozenset()):
            raise bee_core.ServiceError(
                "PERMISSION_DENIED",
                f"{who or 'a caller without an identity'} may not call {call.method}",
                details={"method": call.method, "needs": needed},
            )

    def exit(self, call: Any, outcome: Outcome | None) -> None:
        """Nothing is left to be done."""

    def _needed(self, method: str) -> str | None:
        """The role that a method needs, or None where nobody may call it."""
        return next((role for pattern, role in self._methods if fnmatchcase(method, pattern)), None)


@bee_core.hookimpl
def bee_register_interceptors(registry: Registrar[Interceptor]) -> None:
    """Offer ``roles``."""
    registry.add("roles", Roles, options=RolesOptions)
