"""The limiters of a server: one for its requests, and those of methods that have their own."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from ..contracts.combined_limiter import combined
from .faults import plugin_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..config import Config, PluginRef
    from ..config.server_model import ServerConfig
    from ..contracts.plugin_faults import PluginFaults
    from ..contracts.policies import Limiter
    from ..plugins.hub import PluginHub
    from ..terms.failures import Failure


@attrs.frozen
class Limiters:
    """Which limiter a request asks. Immutable; the limiters are thread-safe.

    Attributes:
        usual: That of the server, or None.
        own: Of the methods that have their own, by name. Their requests do not ask ``usual``.
        there: Whether there is any.
    """

    usual: Limiter | None = None
    own: Mapping[str, Limiter | None] = MappingProxyType({})
    there: bool = attrs.field(init=False)

    @there.default
    def _is_there(self) -> bool:
        return any(one is not None for one in (self.usual, *self.own.values()))

    def of(self, method: str) -> Limiter | None:
        """The limiter of a method; None without one."""
        return self.own.get(method, self.usual) if self.own else self.usual


NO_LIMITERS = Limiters()


def make_limiters(
    hub: PluginHub, config: Config, settings: ServerConfig, faults: PluginFaults
) -> Limiters:
    """The limiters that a configuration names, with nothing in flight.

    Args:
        hub: Makes plugins.
        config: The whole configuration, for the line of a mistake.
        settings: Its server section.
        faults: Says what a plugin does wrong among several limiters.

    Raises:
        ConfigError, PluginError: One cannot be made.
    """

    def failed(plugin: object, doing: str, error: BaseException) -> Failure:
        faults.said(plugin, doing, error)
        return plugin_failure(faults.name(plugin), error, "no")

    def made(refs: tuple[PluginRef, ...]) -> Limiter | None:
        each = [hub.create(ref, "limiter", origin=config) for ref in refs]
        return combined(each, time.monotonic, failed, BaseException)

    methods = settings.methods.items()
    return Limiters(made(settings.limiter), {name: made(one.limiter) for name, one in methods})


def keeping(made: Limiters, new: ServerConfig, old: ServerConfig, before: Limiters) -> Limiters:
    """New limiters, with those of before in place of each that is configured as it was."""
    usual = before.usual if new.limiter == old.limiter else made.usual
    own = {
        name: before.own[name] if old.methods.get(name) == new.methods[name] else limiter
        for name, limiter in made.own.items()
    }
    return Limiters(usual, own)
