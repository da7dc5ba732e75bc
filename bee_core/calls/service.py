"""One service as its callers share it: nodes, policies, budget, limits. Apart from the state of one call."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..errors import InvalidArgument, MessageTooLarge
from ..methods.signatures import Signature
from ..nodes.node_set import renew_after_fork
from ..terms.call_context import get_current
from .flow import Call
from .plan import NO_OPTIONS, CallOptions, CallPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from ..config.model import ClientConfig
    from ..contracts.codec import Codec
    from ..contracts.observers import CallRecord, Observer
    from ..contracts.policies import Balancer, BreakerState, Fallback, FaultTolerance, Limiter
    from ..contracts.size_rule import SizeRule
    from ..errors import CallError
    from ..nodes.node_set import NodeSet
    from ..terms.node import Node, Snapshot
    from ..terms.request import Form
    from .retry_budget import RetryBudget

C = TypeVar("C")
E = TypeVar("E", bound="CallError")


class Service(Generic[C]):
    """The state that all calls of a service share, and the plans of its methods.

    Thread-safe: what calls read is replaced whole, never changed in place; the parts that change (budget, breakers, limiter) protect themselves.
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
        """Put the parts together; :mod:`bee_core.client.assembly` makes them.

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
        """
        self.config = config
        self.name = config.name
        self.codec = codec
        self.rule = rule
        self.balancer = balancer
        self.nodes = nodes
        self.budget = budget
        self.limiter = limiter
        self.observers = observers
        self.clock = clock
        self.rng = rng
        self._fault_tolerances = fault_tolerances
        self._fallbacks = fallbacks
        self._random_bytes = random_bytes
        self._complain = complain
        self._complained = False
        self.undiscovered: Any = None
        """Who finds the nodes, as long as none are known; then None. Drivers look at this once a call."""
        self._bound: dict[Signature, Any] = {}
        self.renew_keys()

    def renew_keys(self) -> None:
        """Begin a new series of deduplication keys: at the start, and in a forked child."""
        self._key_prefix = self._random_bytes(8)
        self._key_numbers = count(1)

    def learn(self, snapshot: Snapshot) -> None:
        """Take a list of nodes from a discovery. Where the client makes its channels."""
        self.nodes.apply(snapshot)
        self.undiscovered = None

    def after_fork(self) -> None:
        """In a forked child: locks that another thread of the parent may have held, and keys that must differ from the parent's."""
        for plugin in (self.balancer, self.limiter):
            renew_after_fork(plugin)
        self.nodes.after_fork()
        self.budget.renew_lock()
        self.renew_keys()

    def plan(
        self,
        method: str,
        signature: Signature | None = None,
        *,
        marked_idempotent: bool = False,
        marked_oneway: bool = False,
        options: CallOptions = NO_OPTIONS,
    ) -> CallPlan:
        """Prepare the calls of a method.

        Args:
            method: Its name on the wire.
            signature: From a typed interface, or None.
            marked_idempotent: The interface's mark.
            marked_oneway: Likewise.
            options: From ``with_options``.

        Raises:
            TypeError: The codec cannot carry a type of the signature.
        """
        signature = signature or Signature.dynamic(method)
        try:
            codec = self._bound.get(signature)
            if codec is None:
                if len(self._bound) > _MAX_BOUND:
                    self._bound.clear()
                codec = self._bound[signature] = self.codec.bind(signature)
        except TypeError as error:
            if "unhashable" not in str(error):
                raise
            codec = self.codec.bind(signature)
        return CallPlan(
            self,
            method,
            codec,
            self.config.method(method),
            self._fault_tolerances.get(method) or self._fault_tolerances[""],
            self._fallbacks[method] if method in self._fallbacks else self._fallbacks[""],
            marked_idempotent=marked_idempotent,
            marked_oneway=marked_oneway,
            options=options,
        )

    def make(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """A new call: its arguments encoded, its body made to fit, its clock started; for who need not do that in steps.

        Raises:
            InvalidArgument: The arguments do not fit.
            MessageTooLarge: Nor does the body.
        """
        try:
            form, body = plan.codec.encode_args(args, kwargs)
        except InvalidArgument as error:
            raise self._named(error, plan) from error.__cause__
        compressed = False
        if len(body) > plan.rule.threshold:
            body, compressed = self.pack(plan, body)
        return self.begin(plan, args, kwargs, form, body, compressed)

    def encode(
        self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Form, bytes]:
        """The arguments as a form and a body, before the size rule.

        Raises:
            InvalidArgument: They do not fit.
        """
        try:
            return plan.codec.encode_args(args, kwargs)
        except InvalidArgument as error:
            raise self._named(error, plan) from error.__cause__

    def pack(self, plan: CallPlan, body: bytes) -> tuple[bytes, bool]:
        """Apply the size rule to a body over its threshold.

        Raises:
            MessageTooLarge: It cannot be made to fit.
        """
        try:
            return plan.rule.pack(body)
        except MessageTooLarge as error:
            raise self._named(error, plan) from None

    def begin(
        self,
        plan: CallPlan,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        form: Form,
        body: bytes,
        compressed: bool,
    ) -> Call:
        """The state of a new call; its clock starts here. A call made inside a handler gets no more time than the handler has, and passes its baggage on."""
        now = self.clock()
        deadline = now + plan.timeout
        fields = plan.fields
        current = get_current()
        if current is not None:
            if current.deadline is not None and current.deadline < deadline:
                deadline = current.deadline
            if current.baggage:
                fields = plan.inheriting(current.baggage)
        key = (
            self._key_prefix + next(self._key_numbers).to_bytes(8, "big")
            if plan.idempotent
            else None
        )
        return Call(plan, args, kwargs, form, body, compressed, fields, now, deadline, key)

    def observe(self, record: CallRecord) -> None:
        """Tell the observers; one that raises is reported once and does not break the call."""
        for observer in self.observers:
            self._tell(observer, observer.finished, record)

    def observe_breaker(self, node: Node, before: BreakerState, after: BreakerState) -> None:
        """Tell the observers that want to know (``breaker_changed``) of a change of a node's breaker."""
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
                    f"the observer {type(observer).__name__} of {self.name} raised {type(error).__name__}: {error} (reported once)"
                )

    def _named(self, error: E, plan: CallPlan) -> E:
        error.service, error.method = self.name, plan.method
        return error


_MAX_BOUND = (
    4096  # methods of a dynamic proxy; a caller that makes names up must not fill the memory
)
