"""Puts a run together: nodes, clients, calls, troubles; and runs it."""

from __future__ import annotations

import os
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import attrs

from ...config import Config, RegistryConfig, ServerConfig, load_config
from ...contracts.combined_limiter import combined
from ...contracts.plugin_faults import PluginFaults
from ...errors import ConfigError
from ...plugins.hub import PluginHub
from ...server.faults import plugin_failure
from ...terms.node import Node
from .arrivals import Arrivals
from .caches import CacheCounts, NodeCache
from .clients import SimulatedClient, bare
from .counts import Counts, KindCounts
from .driver import Stage
from .figures import figures, spread
from .latencies import Durations, mean_of_calls
from .nodes import SimulatedNode
from .scenario import MAX_CALLS
from .site import Site
from .troubles import LEASES, Registry, Troubles
from .world import START, World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...config import PluginRef
    from ...contracts.policies import Limiter
    from ...terms.failures import Failure
    from ...terms.node import Snapshot
    from .scenario import Scenario

COMPLAINTS = 20
"""Lines about plugins that are kept: more say nothing new."""


def simulate(
    config: str | os.PathLike[str] | Mapping[str, Any] | Config,
    scenario: Scenario,
    *,
    service: str | None = None,
    seed: int = 1,
    plugins: Sequence[object] = (),
) -> dict[str, Any]:
    """Run a scenario with the plugins of a configuration.

    A fallback that the configuration names is really asked. Nothing else of it acts on the outside.

    Args:
        config: A path, a mapping, or a configuration.
        scenario: What happens.
        service: The service under ``bee.rpc.client``; the only one by default.
        seed: Of all randomness. The same seed gives the same run, to the last event.
        plugins: Plugin objects without an entry point.

    Returns:
        The figures; see ``figures.py``. It can be written as JSON.

    Raises:
        ConfigError: The configuration or the scenario cannot be used.
        PluginError: A plugin cannot be loaded.
    """
    configs = in_zones(config, scenario)
    loaded = configs[0][1]
    name = service_of(loaded, service)
    capacity = scenario.nodes * scenario.workers / mean_of_calls(scenario)
    rate = scenario.load * capacity if scenario.rate is None else scenario.rate
    surges = [one.times for one in scenario.troubles if one.kind == "surge"]
    most = rate * max(1.0, *surges, 1.0)
    if most * scenario.seconds > MAX_CALLS:
        raise ConfigError(
            f"{most:,.0f} calls a second for {scenario.seconds:g} s are more than {MAX_CALLS:,};"
            " take fewer nodes, a lower rate, or less time"
        )
    run = _Run(configs, name, scenario, rate, seed, plugins)
    run.go()
    return {
        "format": 1,
        "scenario": scenario.name,
        "about": scenario.about,
        "file": loaded.source,
        "service": name,
        "seed": seed,
        "nodes": scenario.nodes,
        "clients": scenario.clients,
        "rate": round(rate, 3),
        "capacity": round(capacity, 3),
        "seconds": scenario.seconds,
        "fault": None if scenario.fault is None else list(scenario.fault),
        **figures(run.counts, scenario, run.shares()),
        **spread(run.nodes, run.site.connections, run.cached),
        "ran_twice": run.site.ran_twice,
        "ran_again": run.site.ran_again,
        "untrue": run.counts.untrue,
        "complaints": run.complaints,
        "events": run.world.events,
        "digest": run.world.digest(),
    }


def service_of(config: Config, service: str | None) -> str:
    """The service that is meant.

    Raises:
        ConfigError: There is no such service, none at all, or several and none is named.
    """
    if service is not None:
        return config.client(service).name
    names = list(config.clients)
    if len(names) == 1:
        return names[0]
    raise ConfigError(
        "no service is configured, so there is nothing to simulate"
        if not names
        else f"several services are configured, so name one (--service): {', '.join(names)}",
        path="bee.rpc.client",
        source=config.source,
    )


def in_zones(
    config: str | os.PathLike[str] | Mapping[str, Any] | Config, scenario: Scenario
) -> list[tuple[str | None, Config]]:
    """The zones of the clients, each with the configuration as it is read there.

    Raises:
        ConfigError: The configuration cannot be used.
    """
    if isinstance(config, Config):
        config = config.source or config  # one that has no file is the same everywhere
    zones = scenario.client_zones or scenario.zones
    return [
        (zone, load_config(config, environ={**os.environ, scenario.zone_variable: zone}))
        for zone in zones
    ] or [(None, load_config(config))]


class _Run:
    """One run, and all that is in it."""

    def __init__(
        self,
        configs: Sequence[tuple[str | None, Config]],
        name: str,
        scenario: Scenario,
        rate: float,
        seed: int,
        plugins: Sequence[object],
    ) -> None:
        config = configs[0][1]
        self._scenario = scenario
        self.world = world = World()
        self.counts = counts = Counts(START, scenario.seconds)
        self.complaints: list[str] = []
        hub = PluginHub(plugins)
        server = config.server or ServerConfig(name=name)
        faults = PluginFaults(self._complain, world.clock, hub.origin_of)

        def broken(plugin: object, doing: str, error: BaseException) -> Failure:
            faults.said(plugin, doing, error)
            return plugin_failure(faults.name(plugin), error, "no")

        def make(refs: Sequence[PluginRef]) -> Limiter | None:
            made = [hub.create(ref, "limiter", origin=config) for ref in refs]
            return combined(made, world.clock, broken)

        def make_limiters() -> Callable[[str], Limiter | None] | None:
            usual = make(server.limiter)
            own = {name: make(method.limiter) for name, method in server.methods.items()}
            if usual is None and not any(own.values()):
                return None
            return lambda method: own.get(method, usual)

        cache = scenario.cache
        self.cached = None if cache is None else CacheCounts()
        self.site = Site(
            world,
            Durations(scenario.latency, _rng(seed, "latency")),
            _rng(seed, "failures"),
            workers=scenario.workers,
            max_in_flight=server.max_in_flight,
            cancels=scenario.cancels,
            make_limiters=make_limiters,
            broken=broken,
            deduplicate=None if isinstance(server.deduplicate, bool) else server.deduplicate,
            make_cache=(
                None
                if cache is None or self.cached is None
                else partial(NodeCache, cache, self.cached)
            ),
            of_method={
                kind.method: Durations(kind.latency, _rng(seed, f"latency {kind.method}"))
                for kind in scenario.calls
                if kind.latency is not None
            },
        )
        self.nodes = [
            SimulatedNode(self.site, _node(number, scenario.zones), number)
            for number in range(scenario.nodes)
        ]
        by_id = {there.node.id: there for there in self.nodes}
        stripped = [(zone, bare(one, name)) for zone, one in configs]
        self._clients = [
            SimulatedClient(
                stripped[number % len(stripped)][1],
                name,
                hub,
                world=world,
                counts=counts,
                site=by_id,
                number=number,
                distance=partial(_distance, scenario, stripped[number % len(stripped)][0]),
                rng=_rng(seed, f"client {number}"),
                complain=self._complain,
            )
            for number in range(scenario.clients)
        ]
        section = config.registry or RegistryConfig()
        fixed = section.protocol == "direct"
        lease = None if fixed else LEASES * section.heartbeat_interval
        self._registry = Registry(world, scenario.registry_delay, self._tell, lease)
        self._troubles = Troubles(
            world, scenario, self.nodes, self._registry, _rng(seed, "neighbours")
        )
        self._stage = Stage(world, counts)
        counts.kinds = [
            KindCounts(
                kind.method,
                idempotent=self._clients[0]
                .plan(number, attrs.evolve(kind, keys=0), None)
                .idempotent,
                everyone=kind.everyone,
                apart=kind.latency is not None,
            )
            for number, kind in enumerate(scenario.calls)
        ]
        self._arrivals = Arrivals(
            self._stage,
            self._clients,
            list(zip(scenario.calls, counts.kinds, strict=True)),
            rate,
            _rng(seed, "arrivals"),
        )

    def go(self) -> None:
        """Run until the last call has ended."""
        self._registry.begin([there.node for there in self.nodes if there.listed])
        self._arrivals.run(self._scenario.seconds, self._troubles)
        while self._stage.open and self.world.step():
            pass

    def shares(self) -> float | None:
        """The fair share of the nodes that have trouble while others have none; None for none."""
        chosen = {
            there.number
            for trouble in self._scenario.that_begin
            if trouble.of_some
            for there in self._troubles.chosen(trouble)
        }
        share = len(chosen) / len(self.nodes)
        return share if 0 < share < 1 else None

    def _tell(self, snapshot: Snapshot) -> None:
        for client in self._clients:
            client.learn(snapshot)

    def _complain(self, line: str) -> None:
        # Each server has limiters of its own: what is wrong with one, all of them would say.
        if line not in self.complaints and len(self.complaints) < COMPLAINTS:
            self.complaints.append(line)


def _distance(scenario: Scenario, zone: str | None, node: Node) -> float:
    """Seconds from a client in a zone to a node, there and back."""
    far = zone is not None and node.zone != zone
    return scenario.network + (scenario.between_zones if far else 0.0)


def _rng(seed: int, purpose: str) -> Random:
    """A source of randomness of its own for each purpose.

    So another balancer draws other numbers, and the calls come at the same times all the same. A
    text seeds through SHA-512, so the seed of hashes does not matter.
    """
    return Random(f"{seed} {purpose}")  # noqa: S311  # repeatable is the point


def _node(number: int, zones: Sequence[str]) -> Node:
    return Node(
        f"node-{number}",
        f"tcp://10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:9000",
        zone=zones[number % len(zones)] if zones else None,
    )
