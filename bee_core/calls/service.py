"""One service as all its calls share it: nodes, policies, budget, limits.

What changes from call to call is in ``call.py``; what is worked out once for a method is in
``plan.py``.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..nodes.node_set import NodeSet, renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from ..config.client_model import ClientConfig
    from ..contracts.codec import Codec, MethodCodec
    from ..contracts.observers import CallRecord, Observer
    from ..contracts.policies import Balancer, BreakerState, Fallback, FaultTolerance, Limiter
    from ..contracts.size_rule import SizeRule
    from ..methods.signatures import Signature
    from ..terms.node import Node, Snapshot
    from .retry_budget import RetryBudget

C = TypeVar("C")

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
        fault_tolerances: By method name; the empty name is for all other methods.
        fallbacks: Likewise.
        observers: Told of every call.
        clock: Seconds, monotonic.
        rng: For balancing and jitter.
        random_bytes: The operating system's randomness, for keys.
        complain: Takes one line about a plugin that misbehaves.

    Attributes:
        undiscovered: The discovery that finds the nodes; None when they are known. Each call reads
            it once.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        codec: Codec,
        rule: SizeRule,
        balancer: Balancer,
        nodes: NodeSet[C],
        budget: RetryBudget,
        limiter: Limiter | None,
        fault_tolerances: Mapping[str, FaultTolerance],
        fallbacks: Mapping[str, Fallback | None],
        observers: tuple[Observer, ...],
        clock: Callable[[], float],
        rng: Random,
        random_bytes: Callable[[int], bytes],
        complain: Callable[[str], None],
    ) -> None:
        self.config = config
        self.name = config.name
        self.codec = codec
        self.rule = rule
        self.balancer = balancer
        self.nodes = nodes
        self.budget = budget
        self.limiter = limiter
        self.fault_tolerances = fault_tolerances
        self.fallbacks = fallbacks
        self.observers = observers
        self.clock = clock
        self.rng = rng
        self.undiscovered: Any = None
        self.bound: dict[Signature, MethodCodec] = {}
        self._random_bytes = random_bytes
        self._complain = complain
        self._complained = False
        self.renew_keys()

    def renew_keys(self) -> None:
        """Begin a new series of deduplication keys: at the start, and in a forked child."""
        self.key_prefix = self._random_bytes(8)
        self.key_numbers = count(1)

    def learn(self, snapshot: Snapshot) -> None:
        """Take a list of nodes from a discovery. Called where the client makes its channels."""
        self.nodes.apply(snapshot)
        self.undiscovered = None

    def bind(self, signature: Signature) -> MethodCodec:
        """The codec bound to a signature; bound once, as far as a signature can be remembered.

        Raises:
            TypeError: The codec cannot carry a type of the signature.
        """
        try:
            codec = self.bound.get(signature)
        except TypeError:  # a default that cannot be hashed
            return self.codec.bind(signature)
        if codec is None:
            if len(self.bound) > MAX_BOUND:
                self.bound.clear()
            codec = self.bound[signature] = self.codec.bind(signature)
        return codec

    def observe(self, record: CallRecord) -> None:
        """Tell the observers. One that raises is reported once and does not break the call."""
        for observer in self.observers:
            self._tell(observer, observer.finished, record)

    def observe_breaker(self, node: Node, before: BreakerState, after: BreakerState) -> None:
        """Tell the observers that define ``breaker_changed`` of a change of a node's breaker."""
        for observer in self.observers:
            told = getattr(observer, "breaker_changed", None)
            if told is not None:
                self._tell(observer, told, self.name, node, before, after)

    def _tell(self, observer: Observer, told: Callable[..., object], *news: object) -> None:
        try:
            told(*news)
        except Exception as error:  # whatever a plugin does, the call's result stands
            if not self._complained:
                self._complained = True
                self._complain(
                    f"the observer {type(observer).__name__} of {self.name} raised"
                    f" {type(error).__name__}: {error} (reported once)"
                )

    def after_fork(self) -> None:
        """In a forked child: new locks, and keys that differ from the parent's."""
        for plugin in (self.balancer, self.limiter):
            renew_after_fork(plugin)
        self.nodes.after_fork()
        self.budget.renew_lock()
        self.renew_keys()
