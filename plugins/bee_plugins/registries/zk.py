"""Registry ``zk``: short for ``zookeeper``. A module of its own, so that each name is promised, loaded and blocked on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee_core.hookspecs import hookimpl
from bee_plugins.registries.zookeeper import ZooKeeperRegistry
from bee_plugins.registries.zookeeper_options import ZooKeeperOptions

if TYPE_CHECKING:
    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Registry


@hookimpl
def bee_register_registries(registry: Registrar[Registry]) -> None:
    """Offer ``zk``."""
    registry.add("zk", ZooKeeperRegistry, options=ZooKeeperOptions)
