"""One node of a service, with what outlives a call there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

if TYPE_CHECKING:
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
