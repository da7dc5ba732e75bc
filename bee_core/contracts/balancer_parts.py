"""What a balancer may have besides its contract, declared and asked for in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..terms.node import Node
    from .policies import Balancer


class Twinned(Protocol):
    """What a balancer may define that keeps an order or counts."""

    def twin(self) -> Balancer:
        """A copy as it is now, on which ``bee explain`` picks without any effect on calls."""


class SlowStarting(Protocol):
    """What a balancer may define that can start fresh nodes slowly."""

    def start_slowly(self, window: float) -> None:
        """Called once, before the first update, with the seconds that a node is fresh."""


class ListAware(Protocol):
    """What a balancer may define that wants to know of nodes that are not ready."""

    def listed(self, nodes: Sequence[Node]) -> None:
        """Told of all nodes of the list, before each update."""


class Remarking(Protocol):
    """What a balancer may define that can say why it prefers a node."""

    def remark(self, node: Node, now: float) -> str:
        """A few words on a node, for ``bee explain``."""


def start_slowly(balancer: Balancer, seconds: float, name: str) -> None:
    """Have a new balancer start fresh nodes slowly.

    Args:
        balancer: The balancer; it has no nodes yet.
        seconds: How long a node is fresh.
        name: The balancer's name, for the message.

    Raises:
        ValueError: It cannot do that.
    """
    start: Callable[[float], None] | None = getattr(balancer, "start_slowly", None)
    if start is None:
        raise ValueError(
            f"the balancer {name} has no slow start (no method start_slowly); "
            "remove slow_start, or name another balancer"
        )
    start(seconds)


def key_argument(balancer: Balancer) -> str | None:
    """The argument whose value is the key of a call that states none."""
    argument: str | None = getattr(balancer, "key_argument", None)
    return argument


def wants_load(balancer: Balancer) -> bool:
    """Whether servers are to say in each reply how busy they are."""
    return bool(getattr(balancer, "wants_load", False))


def wants_method(balancer: Balancer) -> bool:
    """Whether ``settle`` is told the method's name too."""
    return bool(getattr(balancer, "wants_method", False))


def listed_of(balancer: Balancer) -> Callable[[Sequence[Node]], None] | None:
    """The method that wants to hear of all listed nodes, or None."""
    listed: Callable[[Sequence[Node]], None] | None = getattr(balancer, "listed", None)
    return listed


def remark(balancer: Balancer, node: Node, now: float) -> str:
    """What the balancer has to say of a node; empty for nothing."""
    say: Callable[[Node, float], str] | None = getattr(balancer, "remark", None)
    return "" if say is None else say(node, now)
