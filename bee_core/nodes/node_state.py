"""One node of a service, with what outlives a call there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..contracts.effects import Attempt
    from ..contracts.policies import Breaker, BreakerState
    from ..terms.node import Node

C = TypeVar("C")


class _Unused:
    """Stands for the breaker of a node that no call has been to: such nodes may be thousands."""

    __slots__ = ()
    state: ClassVar[BreakerState] = "closed"
    standing = None


UNUSED: Any = _Unused()
"""See :class:`NodeState`."""


class NodeState(Generic[C]):
    """One node with what outlives a call: its channel and its breaker.

    :meth:`NodeSet.connect` makes both when a call goes there for the first time.

    Attributes:
        node: The node.
        attempt: What the flow yields to send a call there; None until then.
        breaker: The breaker, ``UNUSED`` until then; None where none is configured.
        reported: The breaker's state as of the last report; changed under the set's lock.
    """

    __slots__ = ("attempt", "breaker", "node", "reported")

    def __init__(
        self,
        node: Node,
        attempt: Attempt | None,
        breaker: Breaker | None,
        reported: BreakerState = "closed",
    ) -> None:
        self.node = node
        self.attempt = attempt
        self.breaker = breaker
        self.reported = reported


def why_none(states: Collection[NodeState[Any]], service: str) -> tuple[str, str]:
    """Why none of the nodes of a service can be picked: the kind of the failure and its message.

    Args:
        states: The fitting nodes, at least one.
        service: The service's name.
    """
    weighty = [state for state in states if state.node.weight > 0]
    many = len(weighty)
    if any(state.breaker is not None for state in weighty):
        why = f"all {many} fitting nodes of {service} are cut off by breakers; they are pinged, "
        why += "and come back by themselves"
        if many == 1:
            why = f"the one fitting node of {service} is cut off by its breaker; it is pinged, "
            why += "and comes back by itself"
        return "circuit_open", why
    if weighty:
        return "unavailable", f"the balancer picked none of the fitting nodes of {service} ({many})"
    return "unavailable", (
        f"the fitting nodes of {service} ({len(states)}) all have weight 0, "
        "which takes no calls; give one a weight above 0"
    )
