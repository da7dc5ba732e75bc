"""The breakers of one service, so that nothing they raise or return costs a call or a node."""

from __future__ import annotations

from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

from ..contracts.conformance import part_misfits
from ..contracts.policies import Breaker, BreakerState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..contracts.plugin_faults import PluginFaults
    from ..contracts.policies import Breakers, Change, Permit
    from ..terms.failures import Outcome
    from ..terms.node import Node
    from ..terms.request import Request
    from .node_state import NodeState

_STATES = ("closed", "open", "half-open")

MIN_PAUSE = 0.01
"""Seconds between two sweeps at least, whatever a policy asks for: a sweep looks at all nodes."""

AFTER_FAULT = 10.0
"""Seconds until breakers whose sweep raised are swept again."""


def is_plain(breaker: object) -> bool:
    """Whether ``standing`` is there, in a slot or as a value, and no property."""
    kind = type(breaker)
    found = next((vars(one)["standing"] for one in kind.__mro__ if "standing" in vars(one)), None)
    by_itself = kind.__getattribute__ is object.__getattribute__
    value = not hasattr(type(found), "__get__") or isinstance(found, MemberDescriptorType)
    return by_itself and value and hasattr(breaker, "standing")


class ContainedBreakers:
    """The plugin as the node set uses it. Thread-safe.

    Args:
        plugin: The breakers that the factory made.
        faults: Says what they did wrong.

    Attributes:
        plugin: Likewise.
        counting: Whether its breakers count successes under a standing permit.
        plain: Whether ``standing`` of each breaker so far is a plain attribute: nothing of the
            plugin runs, and nothing is raised, where it is read.
    """

    def __init__(self, plugin: Breakers, faults: PluginFaults) -> None:
        self.plugin = plugin
        self._faults = faults
        self._forget: Callable[[Node], object] | None = getattr(plugin, "forget", None)
        self._resize: Callable[[int], Sequence[Change]] | None = getattr(plugin, "resize", None)
        self.counting = getattr(plugin, "counting", False) is True
        self.plain = True

    def node(self, node: Node) -> Breaker:
        """A new breaker for a node.

        Raises:
            PluginFault: None can be made.
        """
        try:
            breaker: Any = self.plugin.node(node)
        except Exception as error:  # whatever a plugin does, the call ends with one error
            raise self._faults.fault(self.plugin, "node", error) from error
        if problem := part_misfits(breaker, Breaker):
            raise self._faults.wrong(self.plugin, "node", f"returned no breaker: {problem}")
        self.plain = self.plain and is_plain(breaker)
        return breaker  # type: ignore[no-any-return]

    def stands(self, request: Request, state: NodeState[Any], permit: Permit | None) -> bool:
        """Whether a success under a permit is no news to the breaker."""
        try:
            return getattr(state.breaker, "standing", None) is permit
        except Exception as error:  # then the breaker is told
            self._faults.said(self.plugin, "standing", error)
            return False

    def counted(self, request: Request, state: NodeState[Any], permit: Permit | None) -> bool:
        """The same of breakers that count: a success that is no news is counted.

        That a oneway call was sent is no success.
        """
        breaker: Any = state.breaker
        try:
            if breaker.standing is not permit:
                return False
        except Exception as error:
            self._faults.said(self.plugin, "standing", error)
            return False
        try:
            if not request.oneway:
                breaker.succeeded()
        except Exception as error:  # the attempt has its outcome
            self._faults.said(self.plugin, "succeeded", error)
        return True

    def settle(
        self, breaker: Breaker, permit: Permit, outcome: Outcome | None, seconds: float, now: float
    ) -> bool:
        """Hand in a verdict; whether the breaker says that its state changed."""
        try:
            return breaker.settle(permit, outcome, seconds, now) is not None
        except Exception as error:  # the attempt has its outcome
            self._faults.said(self.plugin, "settle", error)
            return False

    def probed(self, breaker: Breaker, ok: bool, now: float) -> bool:
        """Hand in the answer of a ping; whether the breaker says that its state changed."""
        try:
            return breaker.probed(ok, now) is not None
        except Exception as error:  # the node is pinged again
            self._faults.said(self.plugin, "probed", error)
            return False

    def sweep(self, now: float) -> tuple[list[str], float | None]:
        """The ids of the nodes whose breakers changed, and when to sweep again."""
        try:
            changes, next_at = self.plugin.sweep(now)
            due = None if next_at is None else max(now + MIN_PAUSE, next_at)
            return [change.node.id for change in changes], due
        except Exception as error:  # the breakers go on judging single calls
            self._faults.said(self.plugin, "sweep", error)
            return [], now + AFTER_FAULT

    def forget(self, node: Node) -> None:
        """A node has left the list."""
        if self._forget is not None:
            try:
                self._forget(node)
            except Exception as error:  # it has left all the same
                self._faults.said(self.plugin, "forget", error)

    def resize(self, nodes: int) -> list[str]:
        """So many nodes are listed now; the ids of those whose breakers changed."""
        if self._resize is None:
            return []
        try:
            return [change.node.id for change in self._resize(nodes)]
        except Exception as error:  # the list is what it is
            self._faults.said(self.plugin, "resize", error)
            return []

    def why(self, breaker: Breaker, now: float) -> str:
        """What cut a node off; empty where the breaker does not say."""
        try:
            say = getattr(breaker, "why", None)
            return "" if say is None else str(say(now))
        except Exception as error:  # it is cut off all the same
            self._faults.said(self.plugin, "why", error)
            return ""

    def state_of(self, breaker: Breaker) -> BreakerState:
        """The state of a breaker; ``closed`` for one that says nonsense: no node is lost for it."""
        try:
            state = breaker.state
        except Exception as error:
            self._faults.said(self.plugin, "state", error)
            return "closed"
        if state not in _STATES:
            self._faults.said_wrong(self.plugin, "state", "is none of closed, open, half-open")
            return "closed"
        return state
