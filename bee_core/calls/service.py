"""One service as all its calls share it: nodes, policies, budget, limits.

What changes from call to call is in ``call.py``; what is worked out once for a method is in
``plan.py``.
"""

from __future__ import annotations

from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..contracts.balancer_parts import key_argument, wants_method
from ..contracts.codec import MethodCodec
from ..contracts.conformance import part_misfits
from ..contracts.observation import Interception, Observation
from ..errors import BeeError, CallError, Unavailable
from ..terms.printable import printable, text_of
from ..wire.requests import KEY_SIZE
from .degradation import Degradation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from ..config.client_model import ClientConfig
    from ..contracts.codec import Codec
    from ..contracts.effects import Attempt
    from ..contracts.flight_recorder import FlightRecorder
    from ..contracts.plugin_faults import PluginFaults
    from ..contracts.policies import Balancer, Fallback, FaultTolerance, Limiter
    from ..contracts.size_rule import SizeRule
    from ..methods.signatures import Signature
    from ..nodes.node_set import NodeSet
    from ..nodes.node_state import NodeState
    from ..terms.failures import Failure
    from ..terms.node import Node, Snapshot
    from .retry_budget import RetryBudget
    from .retry_throttle import RetryThrottle

    Policies = tuple[Mapping[str, FaultTolerance], Mapping[str, Fallback | None]]
    """The fault tolerances and the fallbacks, by method name."""

C = TypeVar("C")

NO_LIMITERS: Mapping[str, Limiter | None] = MappingProxyType({})
"""No method has a limiter of its own."""
MAX_BOUND = 4096
"""Signatures whose bound codecs are kept. A caller that makes up method names must not fill the
memory."""


class Service(Generic[C]):
    """The state that all calls of a service share.

    Thread-safe: what calls read is replaced whole, never changed in place. The parts that change
    (budget, breakers, limiter) protect themselves.

    Args:
        config: The service's part of the configuration.
        codec: Binds to each method.
        rule: The size rule.
        balancer: Picks nodes.
        nodes: The nodes, applied from snapshots.
        budget: Of retries.
        limiter: Bounds the calls that run at a time, or None.
        limiters: Likewise, of the methods that have their own.
        fault_tolerances: By method name; the empty name is for all other methods.
        fallbacks: Likewise.
        faults: Says what plugins did wrong.
        clock: Seconds, monotonic.
        rng: For balancing and jitter.
        random_bytes: The operating system's randomness, for keys.
        complain: Takes one line for the operator.
        observation: The observers of the calls, of nodes and of breakers.
        interception: The interceptors of the calls.
        transport_of: The transport plugin that carries calls to a node, for messages.
        renews_token: Whether a new connection may show another token than the last one.
        recorder: Remembers the last calls, or None.

    Attributes:
        undiscovered: The discovery that finds the nodes; None when they are known. Each call reads
            it once.
        refused: Told of a node at whose address nobody listens, on any thread; None where no
            registry is watched. It takes the failure too.
        key_argument: The argument whose value is the key of a call that states none, or None.
        staged: Whether something stands between a call and its attempts: observers, interceptors,
            a limiter, faults, the search for the key, or a fault tolerance that makes several
            attempts at a time.
        stands: Whether a success under a permit is no news to a node's breaker: see
            :attr:`bee_core.nodes.node_set.NodeSet.stands`.
        told: Whether somebody wants to hear of every attempt, breakers apart.
        names_method: Whether the balancer is told of which method an attempt was.
        attentive: Whether somebody wants to hear of a call that has a result.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        codec: Codec,
        rule: SizeRule,
        balancer: Balancer,
        nodes: NodeSet[C],
        budget: RetryBudget | RetryThrottle,
        limiter: Limiter | None,
        limiters: Mapping[str, Limiter | None] = NO_LIMITERS,
        fault_tolerances: Mapping[str, FaultTolerance],
        fallbacks: Mapping[str, Fallback | None],
        faults: PluginFaults,
        clock: Callable[[], float],
        rng: Random,
        random_bytes: Callable[[int], bytes],
        complain: Callable[[str], None],
        observation: Observation | None = None,
        interception: Interception | None = None,
        transport_of: Callable[[Node], object] = lambda node: node,
        renews_token: bool = False,
        recorder: FlightRecorder | None = None,
    ) -> None:
        self.config = config
        self.name = config.name
        self.codec = codec
        self.rule = rule
        self.balancer = balancer
        self.nodes = nodes
        self.budget = budget
        self.limiter = limiter
        self.limiters = limiters
        self.fault_tolerances = fault_tolerances
        self.fallbacks = fallbacks
        self.faults = faults
        self.observation = observation or Observation()
        self.interception = interception or Interception()
        self.transport_of = transport_of
        self.renews_token = renews_token
        self.recorder = recorder
        self.clock = clock
        self.rng = rng
        self.undiscovered: Any = None
        self.refused: Callable[[Node, Failure], object] | None = None
        self.bound: dict[Signature, MethodCodec] = {}
        self._random_bytes = random_bytes
        self.degradation = Degradation(self.name, complain, self.observation.event)
        observed = self.observation.of_calls
        self.key_argument = key_argument(balancer)
        before = observed or self.interception.count > 0 or self.key_argument is not None
        limited = limiter is not None or any(one is not None for one in limiters.values())
        before = before or limited or bool(config.faults)
        self.staged: bool = before or _many_at_a_time(fault_tolerances)
        self.stands = nodes.stands
        self.told = self.observation.of_attempts or balancer.settle is not None
        self.names_method = wants_method(balancer)
        self.attentive = self._always_attentive()
        self.renew_keys()

    def _always_attentive(self) -> bool:
        """Whether observers or fallbacks that learn want to hear of each result."""
        return self.observation.of_calls or any(
            hasattr(fallback, "learn") for fallback in self.fallbacks.values()
        )

    def renew_keys(self) -> None:
        """Begin a new series of deduplication keys: at the start, and in a forked child."""
        self.key_prefix = self._random_bytes(8)
        self.key_numbers = count(1)

    def new_key(self) -> bytes:
        """A key that nobody can guess, for a call whose answer a server remembers."""
        return self._random_bytes(KEY_SIZE)

    def revise(
        self,
        config: ClientConfig,
        fault_tolerances: Mapping[str, FaultTolerance],
        fallbacks: Mapping[str, Fallback | None],
    ) -> None:
        """Take other settings of calls. Plans that were made before keep theirs."""
        self.config = config
        # Never taken back: calls that were begun before may need it.
        self.staged = self.staged or _many_at_a_time(fault_tolerances)
        self.fault_tolerances, self.fallbacks = fault_tolerances, fallbacks
        self.attentive = bool(self.degradation.methods) or self._always_attentive()

    def learn(self, snapshot: Snapshot) -> None:
        """Take a list of nodes from a discovery. Called where the client makes its channels."""
        self.nodes.apply(snapshot)
        self.undiscovered = None
        self.observation.nodes_changed(self.name, snapshot)
        fields = {
            "service": self.name,
            "listed": len(self.nodes.snapshot.nodes),
            "fitting": len(self.nodes.states),
            "source": self.nodes.snapshot.source,
        }
        self.observation.event("nodes", fields)

    def leave(self) -> None:
        """The client is closed, or has another configuration: no call goes here any more."""
        self.observation.event("service_left", {"service": self.name})

    def bind(self, signature: Signature) -> MethodCodec:
        """The codec bound to a signature; bound once, as far as a signature can be remembered.

        Raises:
            TypeError: The codec cannot carry a type of the signature.
            PluginFault: The codec failed, or returned what does not keep its contract.
        """
        try:
            codec = self.bound.get(signature)
        except TypeError:  # a default that cannot be hashed
            return self._bind(signature)
        if codec is None:
            if len(self.bound) > MAX_BOUND:
                self.bound.clear()
            codec = self.bound[signature] = self._bind(signature)
        return codec

    def connect(self, state: NodeState[C]) -> Attempt:
        """The way to a node that a call goes to for the first time. No I/O.

        Raises:
            PluginFault: A plugin could not make it.
            Unavailable: There is no transport for the node's url.
        """
        try:
            return self.nodes.connect(state)
        except CallError:
            raise
        except BeeError as error:
            raise Unavailable(
                f"cannot connect to {state.node}: {printable(text_of(error))}"
            ) from error
        except Exception as error:  # whatever a transport does, the call ends with one error
            raise self.faults.fault(self.transport_of(state.node), "channel", error) from error

    def degraded(self, method: str, fallback: Fallback, error: CallError) -> None:
        """A fallback has answered a call."""
        self.attentive = True
        name = self.faults.name(fallback)
        self.degradation.answered(method, name, error, self.clock())

    def recovered(self, method: str) -> None:
        """A call has its result, while fallbacks answer for some methods."""
        if self.degradation.succeeded(method, self.clock()):
            self.attentive = self._always_attentive()

    def _bind(self, signature: Signature) -> MethodCodec:
        try:
            bound = self.codec.bind(signature)
        except (TypeError, CallError):
            raise
        except Exception as error:  # whatever a codec does with a signature
            fault = self.faults.fault(self.codec, "bind", error)
            fault.service, fault.method = self.name, signature.method
            raise fault from error
        problem = part_misfits(bound, MethodCodec)
        if problem:
            origin = self.faults.blame(self.codec)
            raise origin.broken(
                f"{origin.label}: what bind() returned does not do: {problem}",
                service=self.name,
                method=signature.method,
            )
        return bound

    def after_fork(self) -> None:
        """In a forked child: new locks, and keys that differ from the parent's."""
        policies = (*self.fault_tolerances.values(), *self.fallbacks.values())
        for plugin in (self.balancer, self.limiter, *self.limiters.values(), *policies):
            self.faults.renew_after_fork(plugin)
        self.faults.after_fork()
        self.observation.after_fork()
        self.degradation.after_fork()
        self.nodes.after_fork()
        self.budget.renew_lock()
        self.renew_keys()


def _many_at_a_time(policies: Mapping[str, FaultTolerance]) -> bool:
    """Whether one of these may make several attempts of a call at the same time."""
    return any(hasattr(one, name) for one in policies.values() for name in ("hedge", "targets"))
