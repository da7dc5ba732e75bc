"""What another configuration makes of a client, before anything has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from ..config import RegistryConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..calls.service import Policies, Service
    from ..config import Config
    from ..contracts.registry import Registry

C = TypeVar("C")


@attrs.frozen
class Draft(Generic[C]):
    """What a configuration makes beside what is there already.

    Attributes:
        config: The configuration.
        registry: Who knows the nodes.
        services: All services, by name.
        fresh: Those among them that were made anew.
        revised: Those that stay, with other settings of their calls.
        gone: Those of before that are not in use any more.
        waiting: The keys whose change needs a restart: ``config`` has their values of before.
    """

    config: Config
    registry: Registry
    services: dict[str, Service[C]]
    fresh: tuple[Service[C], ...]
    revised: Mapping[Service[C], Policies]
    gone: tuple[Service[C], ...]
    waiting: tuple[str, ...]

    @property
    def registry_config(self) -> RegistryConfig:
        """The registry's part of the configuration, or its defaults."""
        return self.config.registry or RegistryConfig()
