"""The key ``slow_start`` of a client: has the balancer of a service start fresh nodes slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..contracts import balancer_parts
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..config import ClientConfig, Config
    from ..contracts.policies import Balancer


def start_slowly(balancer: Balancer, client: ClientConfig, config: Config) -> Balancer:
    """Tell a new balancer; without the key nothing happens. Returns it.

    Raises:
        ConfigError: The balancer has no slow start.
    """
    if not client.slow_start:
        return balancer
    try:
        balancer_parts.start_slowly(balancer, client.slow_start, client.balancer.name)
    except ValueError as error:
        path = config.stated(client.name, "slow_start", None) or ""
        raise ConfigError(
            str(error),
            path=path,
            value=client.slow_start,
            line=config.origin(path),
            source=config.file(path),
        ) from error
    return balancer
