"""The policies of a service's calls: fault tolerances and fallbacks, each by method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..calls.service import Policies, Service
    from ..config import CallConfig, ClientConfig

    Create = Callable[[CallConfig, str], Any]


def make_policies(
    client: ClientConfig, create: Create, before: Service[Any] | None = None
) -> Policies:
    """The fault tolerances and the fallbacks of a service.

    Args:
        client: The service's part of the configuration.
        create: Makes the plugin that a field of a section names; None where it names none.
        before: The service as it is, where it stays. A policy that is configured as it was stays
            too, with what it has learned: recent latencies, a budget, the last good results.

    Raises:
        ConfigError, PluginError: One cannot be made.
    """
    tolerances = {} if before is None else before.fault_tolerances
    fallbacks = {} if before is None else before.fallbacks
    old = client if before is None else before.config
    return (
        _by_method(client, "fail", create, old, tolerances),
        _by_method(client, "fallback", create, old, fallbacks),
    )


def _by_method(
    client: ClientConfig,
    field: str,
    create: Create,
    old: ClientConfig,
    before: Mapping[str, Any],
) -> dict[str, Any]:
    """The policies of methods that have their own; the empty name is for all others."""
    sections: dict[str, CallConfig] = {"": client} | {
        name: method
        for name, method in client.methods.items()
        if getattr(method, field) != getattr(client, field)
    }
    return {
        name: before[name]
        if name in before and getattr(old.methods.get(name, old), field) == getattr(section, field)
        else create(section, field)
        for name, section in sections.items()
    }
