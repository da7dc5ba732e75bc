"""Makes the limiters of a service: one for its calls, and those of methods that have their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..contracts.combined_limiter import combined
from ..terms.failures import raised

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import ClientConfig, PluginRef
    from ..contracts.plugin_faults import PluginFaults
    from ..contracts.policies import Limiter
    from ..terms.failures import Failure


def make_limiters(
    client: ClientConfig,
    make: Callable[[PluginRef], Any],
    clock: Callable[[], float],
    faults: PluginFaults,
) -> dict[str, Limiter | None]:
    """The limiters by method, where a method has its own; the empty name is for all others.

    Args:
        client: The service's part of the configuration.
        make: Makes a plugin.
        clock: Seconds, monotonic.
        faults: Says what a plugin does wrong among several limiters.
    """

    def failed(plugin: object, doing: str, error: BaseException) -> Failure:
        return raised(faults.fault(plugin, doing, error))

    def made(refs: tuple[PluginRef, ...]) -> Limiter | None:
        return combined([make(ref) for ref in refs], clock, failed)

    return {"": made(client.limiter)} | {
        name: made(method.limiter)
        for name, method in client.methods.items()
        if method.limiter != client.limiter
    }
