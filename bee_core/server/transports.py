"""The transports that a server listens with, and the bounds of its connections."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from ..contracts.transport import ListenSettings
from ..plugins.registered import option_error
from ..terms.addresses import parse

if TYPE_CHECKING:
    from ..config.model import Config
    from ..config.server_model import ServerConfig
    from ..contracts.memory_bound import MemoryBound
    from ..contracts.transport import Transport
    from ..plugins.hub import PluginHub


def make_transports(config: Config, settings: ServerConfig, hub: PluginHub) -> dict[str, Transport]:
    """The transport of each scheme that the server listens on.

    Raises:
        PluginError: There is none for a scheme.
        ConfigError: Its options are wrong, or do not do for a server.
    """
    made: dict[str, Transport] = {}
    for url in settings.address:
        scheme = parse(url).scheme
        ref = settings.transport(scheme)
        if scheme not in made:
            made[scheme] = hub.create(ref, "transport", origin=config)
        check: Any = getattr(made[scheme], "check_listening", None)
        if check is None:
            continue
        try:
            check(url)
        except ValueError as error:
            raise option_error(
                f"{url}: {error}",
                error,
                ref.path or "bee.rpc.server.transport",
                tuple(ref.options),
                config,
            ) from error
    return made


def listen_settings(settings: ServerConfig, memory: MemoryBound) -> ListenSettings:
    """The bounds of a server's connections.

    Args:
        settings: Have them.
        memory: Counts what all listeners of the process hold.
    """
    return ListenSettings(
        settings.backlog,
        settings.max_conn_size,
        settings.read_timeout,
        settings.write_timeout,
        settings.max_size,
        memory,
        inf if settings.max_idle is None else settings.max_idle,
        inf if settings.max_connections_per_peer is None else settings.max_connections_per_peer,
    )
