"""bee: a distributed RPC framework for Python.

The public API; everything else is imported when it is first used, so that ``import bee_core`` costs
next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors
from .errors import ServiceError
from .methods.decorators import idempotent, nonblocking, oneway, raises
from .terms.call_context import CurrentCall, current_call

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from .client.asyncio import AsyncClient
    from .client.blocking import Client
    from .client.proxies import Reply, ServiceProxy, detailed, future, with_options
    from .config import load_config
    from .config.model import Config
    from .hookspecs import hookimpl
    from .methods.proto_interfaces import interface_of
    from .server.server import Server
    from .terms.node import Node

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Client",
    "Config",
    "CurrentCall",
    "Node",
    "Reply",
    "Server",
    "ServiceError",
    "ServiceProxy",
    "build_async_client",
    "build_client",
    "build_server",
    "current_call",
    "detailed",
    "errors",
    "future",
    "hookimpl",
    "idempotent",
    "interface_of",
    "load_config",
    "nonblocking",
    "oneway",
    "raises",
    "with_options",
]

_LAZY = {
    "AsyncClient": "client.asyncio",
    "Client": "client.blocking",
    "Config": "config.model",
    "Node": "terms.node",
    "Reply": "client.proxies",
    "Server": "server.server",
    "ServiceProxy": "client.proxies",
    "detailed": "client.proxies",
    "future": "client.proxies",
    "hookimpl": "hookspecs",
    "interface_of": "methods.proto_interfaces",
    "load_config": "config",
    "with_options": "client.proxies",
}


def __getattr__(name: str) -> Any:
    """Import what is first asked for."""
    from importlib import import_module

    where = _LAZY.get(name)
    if where is None:
        raise AttributeError(f"module 'bee_core' has no attribute {name!r}")
    value = getattr(import_module(f".{where}", __name__), name)
    globals()[name] = value
    return value


def build_client(
    config: str | os.PathLike[str] | Mapping[str, Any] | Config, *, plugins: Sequence[object] = ()
) -> Client:
    """Make a blocking client.

    Args:
        config: A path to a YAML file, a dict of the same shape, or a :class:`Config`.
        plugins: Plugin objects that have no entry point.

    Returns:
        A client that is safe to use from many threads. It does no network until the first call.
        Close it, or use it in a ``with`` block.

    Raises:
        ConfigError: The configuration cannot be used; the message says where and why.
        PluginError: A plugin that it names is unknown or cannot be loaded.
    """
    from .client.blocking import Client

    return Client(config, plugins)


def build_async_client(
    config: str | os.PathLike[str] | Mapping[str, Any] | Config, *, plugins: Sequence[object] = ()
) -> AsyncClient:
    """Make an asyncio client; arguments and errors as for :func:`build_client`.

    Returns:
        A client that belongs to the event loop of its first call. Close it, or use it in an ``async
        with`` block.
    """
    from .client.asyncio import AsyncClient

    return AsyncClient(config, plugins)


def build_server(
    config: str | os.PathLike[str] | Mapping[str, Any] | Config, *, plugins: Sequence[object] = ()
) -> Server:
    """Make a server; arguments and errors as for :func:`build_client`.

    Returns:
        A server that listens nowhere yet. ``add`` objects or functions, then ``run()``, ``with
        server.in_thread()`` or ``async with server``.
    """
    from .server.server import Server

    return Server(config, plugins)
