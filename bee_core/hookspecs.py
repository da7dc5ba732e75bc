"""The hooks that a plugin can implement.

A plugin is any object with functions or methods marked by :data:`hookimpl`: usually a module. Each
kind has one hook, which registers factories under names. The YAML uses these names.
``docs/plugins.md`` shows a whole plugin. :mod:`bee_core.interfaces` says what the objects that the
factories make must do.

Hooks are called while a client or server is built, on the thread that builds it, and never during a
call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import pluggy

if TYPE_CHECKING:
    from collections.abc import Callable

    from .contracts.codec import Codec, Compressor
    from .contracts.observers import Interceptor, Observer
    from .contracts.policies import Balancer, Breakers, Fallback, FaultTolerance, Limiter
    from .contracts.registry import Registry
    from .contracts.transport import Transport

PROJECT = "bee"
"""The name that joins hook implementations to these specifications."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function or method as the implementation of the hook of that name."""

Kind = Literal[
    "codec",
    "compressor",
    "transport",
    "registry",
    "balancer",
    "fault_tolerance",
    "breaker",
    "limiter",
    "fallback",
    "observer",
    "interceptor",
]
"""A kind of plugin. The entry-point group of a kind is ``bee.<kind>``."""

REGISTER_HOOKS: dict[Kind, str] = {
    "codec": "bee_register_codecs",
    "compressor": "bee_register_compressors",
    "transport": "bee_register_transports",
    "registry": "bee_register_registries",
    "balancer": "bee_register_balancers",
    "fault_tolerance": "bee_register_fault_tolerances",
    "breaker": "bee_register_breakers",
    "limiter": "bee_register_limiters",
    "fallback": "bee_register_fallbacks",
    "observer": "bee_register_observers",
    "interceptor": "bee_register_interceptors",
}
"""The hook that registers plugins of each kind."""


T_contra = TypeVar("T_contra", contravariant=True)


class Registrar(Protocol[T_contra]):
    """What a register hook is handed: takes factories under names."""

    def add(
        self, name: str, factory: Callable[..., T_contra], options: type[Any] | None = None
    ) -> None:
        """Offer a plugin.

        Args:
            name: What the YAML says. An entry point of this name must lead here, unless the plugin
                is handed over as an object.
            factory: Called once for each object that is needed, while a client or server is built.
                It gets what the hook of its kind says. The options are left out when there is no
                ``options`` class.
            options: An attrs class for ``options: {...}`` of the YAML, checked strictly; None for a
                plugin that takes none.

        Raises:
            PluginError: The name is taken, or an argument is not of the right kind.
        """


@hookspec
def bee_register_codecs(registry: Registrar[Codec]) -> None:
    """Offer codecs, which turn arguments and results into bytes.

    A factory is called as ``factory(options)`` and makes a :class:`~bee_core.interfaces.Codec`. The
    options ``max_size`` and ``max_inflated`` belong to the core, which takes them out before.
    """


@hookspec
def bee_register_compressors(registry: Registrar[Compressor]) -> None:
    """Offer compressors, which make large bodies smaller.

    A factory is called as ``factory(options)`` and makes a
    :class:`~bee_core.interfaces.Compressor`.
    """


@hookspec
def bee_register_transports(registry: Registrar[Transport]) -> None:
    """Offer transports, which carry requests to nodes and into servers.

    A factory is called as ``factory(options)`` and makes a :class:`~bee_core.interfaces.Transport`.
    The name is also the scheme of the urls.
    """


@hookspec
def bee_register_registries(registry: Registrar[Registry]) -> None:
    """Offer registries, which know the nodes of services.

    A factory is called as ``factory(settings, options)`` and makes a
    :class:`~bee_core.interfaces.Registry`. The ``settings`` are the
    :class:`~bee_core.interfaces.RegistrySettings` beside ``protocol`` in the YAML.
    """


@hookspec
def bee_register_balancers(registry: Registrar[Balancer]) -> None:
    """Offer balancers, which pick the node of an attempt.

    A factory is called as ``factory(options)`` for each service and makes a
    :class:`~bee_core.interfaces.Balancer`.
    """


@hookspec
def bee_register_fault_tolerances(registry: Registrar[FaultTolerance]) -> None:
    """Offer fault tolerances, which decide what follows a failed attempt.

    A factory is called as ``factory(options)`` and makes a
    :class:`~bee_core.interfaces.FaultTolerance`.
    """


@hookspec
def bee_register_breakers(registry: Registrar[Breakers]) -> None:
    """Offer breakers, which cut off nodes that fail.

    A factory is called as ``factory(options)`` for each service and makes its
    :class:`~bee_core.interfaces.Breakers`.
    """


@hookspec
def bee_register_limiters(registry: Registrar[Limiter]) -> None:
    """Offer limiters, which bound the calls of a service that run at a time.

    A factory is called as ``factory(options)`` for each service and makes a
    :class:`~bee_core.interfaces.Limiter`.
    """


@hookspec
def bee_register_fallbacks(registry: Registrar[Fallback]) -> None:
    """Offer fallbacks, which answer when a call could not.

    A factory is called as ``factory(options)`` and makes a :class:`~bee_core.interfaces.Fallback`.
    """


@hookspec
def bee_register_observers(registry: Registrar[Observer]) -> None:
    """Offer observers, which are told what a client or a server does.

    A factory is called as ``factory(options)`` and makes an :class:`~bee_core.interfaces.Observer`.
    """


@hookspec
def bee_register_interceptors(registry: Registrar[Interceptor]) -> None:
    """Offer interceptors, which stand before and after each call or request.

    A factory is called as ``factory(options)`` for each service of a client and for a server, and
    makes an :class:`~bee_core.interfaces.Interceptor`.
    """
