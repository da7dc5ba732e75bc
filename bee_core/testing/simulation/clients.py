"""One simulated client: a service as ``client/assembly.py`` makes it, and its control plane.

The control plane is that of ``control/prober.py`` with events in place of tasks: nodes that are cut
off are pinged with its pauses, and breakers are swept when they ask for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from ...calls.options import CallOptions
from ...calls.plan import make_plan
from ...client.assembly import Assembly
from ...config import PluginRef, RegistryConfig
from ...control.prober import Prober
from ...errors import ConfigError, InvalidArgument
from .channels import SimulatedChannel
from .nodes import DOWN, DRAINING, HANGING, UNREACHABLE
from .world import BREAKER, LISTED, PING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from ...calls.plan import CallPlan
    from ...calls.service import Service
    from ...config import Config
    from ...contracts.policies import BreakerState
    from ...contracts.transport import ChannelSettings
    from ...plugins.hub import PluginHub
    from ...terms.node import Node, Snapshot
    from .counts import Counts
    from .nodes import SimulatedNode
    from .scenario import CallKind
    from .world import World

_STATES = {"closed": 0.0, "half-open": 1.0, "open": 2.0}


def bare(config: Config, service: str) -> Config:
    """A configuration without what a simulation leaves out: bytes, sockets, observers, secrets."""
    registry = config.registry or RegistryConfig()
    client = attrs.evolve(
        config.client(service),
        address=(),
        transport=PluginRef("tcp"),
        schemes=None,
        codec=PluginRef("json"),
        compress=None,
        token=None,
        observers=(),
        interceptors=(),
    )
    application = attrs.evolve(
        config.application, observers=(), recorder=False, metrics_address=None, watch=False
    )
    return attrs.evolve(
        config,
        application=application,
        registry=attrs.evolve(registry, protocol="direct", address=(), options={}),
        clients={service: client},
    )


class _NoBytes:
    """The codec of simulated calls: nothing is encoded, and the result is None."""

    __slots__ = ()

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, bytes]:
        return 0, b""

    def decode_args(self, form: int, body: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (), {}

    def encode_result(self, value: Any) -> bytes:
        return b""

    def decode_result(self, body: bytes) -> None:
        return None


class SimulatedClient:
    """A client of one service.

    Args:
        config: What :func:`bare` made.
        service: The service's name.
        hub: The plugins.
        world: The clock.
        counts: What is counted.
        site: The simulated nodes, by the id of their nodes.
        number: Its number.
        distance: Seconds to a node, there and back.
        rng: For balancing, jitter, and the pauses between pings.
        complain: Takes one line about a plugin that broke its contract.

    Attributes:
        service: What its calls share.
    """

    def __init__(
        self,
        config: Config,
        service: str,
        hub: PluginHub,
        *,
        world: World,
        counts: Counts,
        site: Mapping[str, SimulatedNode],
        number: int,
        distance: Callable[[Node], float],
        rng: Random,
        complain: Callable[[str], None],
    ) -> None:
        self._world = world
        self._counts = counts
        self._site = site
        self._number = number
        self._distance = distance
        self._plans: dict[tuple[int, str | None], CallPlan] = {}
        self._probed: dict[str, object] = {}
        self._swept = False
        assembly: Assembly[SimulatedChannel] = Assembly(
            config,
            hub,
            make_channel=self._channel,
            drop_channel=SimulatedChannel.close,
            clock=world.clock,
            rng=rng,
            random_bytes=rng.randbytes,
            complain=complain,
        )
        self.service: Service[SimulatedChannel] = assembly.services[service]
        self._prober = Prober(
            _no_task,
            assembly.async_channel,
            heartbeat_interval=assembly.registry_config.heartbeat_interval,
            rng=rng,
        )
        nodes = self.service.nodes
        nodes.on_breaker_change = self._breaker_changed
        if nodes.sweep(world.now) is not None:
            nodes.on_connect = self._sweep_from_now_on

    def _channel(
        self, transport: object, node: Node, settings: ChannelSettings
    ) -> SimulatedChannel:
        return SimulatedChannel(
            self._world,
            self._site[node.id],
            self._counts,
            self._distance(node),
            wants_load=settings.load_wanted,
            client=self._number,
        )

    def learn(self, snapshot: Snapshot) -> None:
        """Take a list of nodes."""
        self._world.note(LISTED, snapshot.revision)
        self.service.learn(snapshot)

    def plan(self, number: int, kind: CallKind, key: str | None) -> CallPlan:
        """The plan of a kind of calls, made once for each routing key.

        Raises:
            ConfigError: ``options`` of the kind are none of ``with_options``.
        """
        plan = self._plans.get((number, key))
        if plan is None:
            try:
                options = CallOptions(**{"key": key, **kind.options})
            except (TypeError, InvalidArgument) as error:
                raise ConfigError(str(error), path=f"calls[{number}].options") from None
            plan = make_plan(
                self.service, kind.method, marked_idempotent=kind.idempotent, options=options
            )
            plan.codec = _NoBytes()
            self._plans[number, key] = plan
        return plan

    # The control plane.

    def _breaker_changed(self, node: Node, before: BreakerState, after: BreakerState) -> None:
        there = self._site[node.id]
        self._world.note(BREAKER, there.number + _STATES[after] / 4)
        if after == "open":
            if there.bad and self._counts.opened is None:
                self._counts.opened = self._world.now
            token = self._probed[node.id] = object()
            self._plan_ping((node.id, token))
        elif after == "closed":
            self._prober.pings.pop((self.service.name, node.id), None)

    def _plan_ping(self, probe: tuple[str, object]) -> None:
        pings = self._prober.pings.get((self.service.name, probe[0]), 0)
        self._world.at(self._world.now + self._prober.pause(pings), self._ping, probe)

    def _ping(self, probe: tuple[str, object]) -> None:
        """Ping a node that is cut off; see ``Prober._probe``."""
        node_id, token = probe
        key = (self.service.name, node_id)
        state = self.service.nodes.states.get(node_id)
        if state is None or state.breaker is None:
            self._prober.pings.pop(key, None)
            return
        if state.breaker.state != "open" or self._probed.get(node_id) is not token:
            return
        self._prober.pings[key] = self._prober.pings.get(key, 0) + 1
        there = self._site[node_id]
        self._world.note(PING, there.number)
        silent = there.mode in {HANGING, UNREACHABLE}
        patience = self.service.config.connect_timeout
        delay = patience if silent else self._distance(there.node)
        serving = there.mode not in {DOWN, DRAINING} and not silent
        self._world.at(self._world.now + delay, self._pinged, (probe, serving, state.breaker))

    def _pinged(self, answer: tuple[tuple[str, object], bool, Any]) -> None:
        probe, serving, breaker = answer
        self.service.nodes.probed(probe[0], breaker, serving, self._world.now)
        if breaker.state == "open" and self._probed.get(probe[0]) is probe[1]:
            self._plan_ping(probe)

    def _sweep_from_now_on(self) -> None:
        if not self._swept:
            self._swept = True
            self._world.at(self._world.now, self._sweep)

    def _sweep(self, _: None) -> None:
        due = self.service.nodes.sweep(self._world.now)
        if due is None:
            self._swept = False
        else:
            self._world.at(due, self._sweep)


def _no_task(_: object) -> object:
    raise AssertionError("a simulated client has no tasks")
