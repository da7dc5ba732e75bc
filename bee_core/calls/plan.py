"""What stays the same for all calls of one method with one set of options.

Made once by :func:`make_plan`, read by every call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from ..methods.signatures import Signature
from ..terms.criticality import CRITICALITY, Criticality, criticality_of, lower
from ..terms.request import RequestHead
from .application_errors import bind_errors
from .argument_key import argument_key
from .options import NO_OPTIONS, TIMES, CallOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from random import Random

    from ..contracts.codec import MethodCodec
    from ..contracts.policies import Fallback, FaultTolerance, Limiter, PastResult, Tried
    from ..contracts.size_rule import SizeRule
    from ..errors import CallError
    from ..methods.declared_errors import DeclaredError
    from ..terms.failures import Outcome
    from ..terms.metadata import Metadata
    from ..terms.node import Node
    from ..terms.request import Request
    from .application_errors import Declared
    from .argument_key import ArgumentKey
    from .service import Service


@attrs.define(kw_only=True, eq=False, repr=False, weakref_slot=False)
class CallPlan:
    """All that is known about a method's calls before they begin. Immutable and thread-safe.

    Attributes:
        service: The state that calls share.
        method: The method's name on the wire.
        errors: The exceptions that the method declares, by their names on the wire.
        head: What each request of the method says in its head: names, metadata, baggage.
        codec: The codec, bound to the method's signature.
        key: The routing key, or None.
        key_from: Finds the key in the arguments of a call; None where nobody looks for it there.
        timeout, connect_timeout, write_timeout, read_timeout: Seconds.
        retries: Attempts after the first.
        idempotent: Whether the call may run twice. If yes, it is retried even when it is unknown
            whether it ran. Never for a oneway call: its end is never known.
        oneway: Whether the call ends as soon as it is sent.
        fault_tolerance, fallback: The policies.
        learn, recall: What the fallback has of these, or None.
        hedge, learns: The methods of the fault tolerance by which it sends a second attempt beside
            a slow one, and hears how long attempts take; None where it has none, and for calls that
            are not idempotent or have no retries.
        targets: Its method by which it sends a call to several nodes, or None.
        rule: The size rule.
        limiter: Bounds the calls that run at a time, or None.
        criticality: How important the calls are; None where nothing states it.
        at_most: Whether a call that a handler makes is at most as important as the call that it
            handles. So it is where the configuration states ``criticality``, and not
            ``with_options``.
    """

    service: Service[Any]
    method: str
    codec: MethodCodec
    key: str | None
    key_from: ArgumentKey | None
    timeout: float
    connect_timeout: float
    write_timeout: float
    read_timeout: float
    retries: int
    idempotent: bool
    oneway: bool
    fault_tolerance: FaultTolerance
    fallback: Fallback | None
    hedge: Callable[[Sequence[Tried], float], float | None] | None
    learns: Callable[[Outcome | None, float, float], object] | None
    targets: Callable[[Sequence[Node], Random], Collection[str] | None] | None
    rule: SizeRule
    head: RequestHead
    errors: Mapping[str, Declared]
    learn: Callable[[Request, PastResult], object] | None = None
    recall: Callable[[Request, CallError], PastResult | None] | None = None
    limiter: Limiter | None = None
    criticality: Criticality | None = None
    at_most: bool = False

    def inheriting(self, baggage: Metadata) -> RequestHead:
        """The head, with the baggage of the call being handled under this plan's own."""
        joined = {**baggage, **self.head.baggage}
        if self.at_most and CRITICALITY in baggage:
            joined[CRITICALITY] = lower(criticality_of(joined), criticality_of(baggage))
        return self.head.carrying(self.head.metadata, joined)


def make_plan(
    service: Service[Any],
    method: str,
    signature: Signature | None = None,
    *,
    marked_idempotent: bool = False,
    marked_oneway: bool = False,
    errors: Iterable[DeclaredError] = (),
    options: CallOptions = NO_OPTIONS,
) -> CallPlan:
    """Prepare the calls of a method.

    Args:
        service: The service.
        method: Its name on the wire.
        signature: From a typed interface, or None.
        marked_idempotent: The interface's mark.
        marked_oneway: Likewise.
        errors: The exceptions that the interface declares for it.
        options: From ``with_options``.

    Raises:
        TypeError: The codec cannot carry a type of the signature, or a field of an exception.
    """
    codec = service.bind(signature or Signature.dynamic(method))
    config = service.config.method(method)
    given = options.given
    oneway = _first(given.get("oneway"), config.oneway, marked_oneway)
    idempotent = _first(given.get("idempotent"), config.idempotent, marked_idempotent)
    policies, fallbacks = service.fault_tolerances, service.fallbacks
    metadata = {**config.metadata, **given.get("metadata", {})}
    baggage = {**config.baggage, **given.get("baggage", {})}
    criticality: Criticality | None = given.get("criticality") or config.criticality
    stated_for_the_call = "criticality" in given
    if criticality is not None:
        baggage = {**baggage, CRITICALITY: criticality}
    elif CRITICALITY in baggage:  # the same, written out
        criticality = criticality_of(baggage)
        stated_for_the_call = CRITICALITY in given.get("baggage", {})
    idempotent = idempotent and not oneway
    fallback = fallbacks[method if method in fallbacks else ""]
    times: dict[str, Any] = {name: float(given.get(name, getattr(config, name))) for name in TIMES}
    retries = given.get("retries", config.retries)
    fault_tolerance = policies.get(method) or policies[""]
    hedges = idempotent and retries > 0
    return CallPlan(
        service=service,
        method=method,
        codec=_SendOnly(codec) if oneway else codec,
        key=given.get("key"),
        key_from=None if "key" in given else argument_key(service.key_argument, signature),
        retries=retries,
        idempotent=idempotent,
        oneway=oneway,
        fault_tolerance=fault_tolerance,
        hedge=getattr(fault_tolerance, "hedge", None) if hedges else None,
        learns=getattr(fault_tolerance, "settle", None) if hedges else None,
        targets=getattr(fault_tolerance, "targets", None),
        fallback=fallback,
        rule=service.rule.with_threshold(config.compress_above),
        head=RequestHead(
            service.name, method, metadata, baggage, idempotent=idempotent, oneway=oneway
        ),
        errors=bind_errors(service, method, errors),
        learn=getattr(fallback, "learn", None),
        recall=getattr(fallback, "recall", None),
        limiter=service.limiters.get(method, service.limiter),
        criticality=criticality,
        at_most=criticality is not None and not stated_for_the_call,
        **times,
    )


def _first(*values: Any) -> Any:
    """The first value that is stated; the last one always is."""
    return next(value for value in values if value is not None)


class _SendOnly:
    """The codec of a oneway method: arguments as ever, and no result."""

    __slots__ = ("decode_args", "encode_args", "encode_result")

    def __init__(self, codec: MethodCodec) -> None:
        self.encode_args = codec.encode_args
        self.decode_args = codec.decode_args
        self.encode_result = codec.encode_result

    def decode_result(self, body: bytes) -> None:
        """None, whatever the method is declared to return."""
