"""What balancers share that hand their picks to another one (option ``within``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bee_core.options import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.interfaces import Balancer, Node


RANDOM: Any = "random"
"""The default of ``within``: that of a client's ``balancer``. bee makes it before the options."""


class Wrapper:
    """Hands on what is not its own: how picks ended, the load, the key, slow start, forks.

    Raises:
        OptionError: The balancer within must know nodes that are not ready, and hears only of a
            part of the nodes here.

    Attributes:
        within: The balancer that picks.
        settle: That of the balancer within.
        wants_load: Likewise.
        wants_method: Likewise.
        key_argument: Likewise.
    """

    settle: Callable[..., None] | None

    def __init__(self, within: Balancer) -> None:
        if getattr(within, "listed", None) is not None:
            raise OptionError(
                "within",
                f"{type(within).__qualname__} wants to know of all nodes, and here are only some; "
                f"put it outside, and {type(self).__qualname__} within it",
            )
        self.within = within
        self.settle = within.settle
        self.wants_load = bool(getattr(within, "wants_load", False))
        self.wants_method = bool(getattr(within, "wants_method", False))
        self.key_argument: str | None = getattr(within, "key_argument", None)

    def others(self) -> tuple[Balancer, ...]:
        """The balancers that pick besides ``within``."""
        return ()

    def start_slowly(self, window: float) -> None:
        """See :class:`bee_core.interfaces.Balancer`."""
        for inner in (self.within, *self.others()):
            start: Callable[[float], None] | None = getattr(inner, "start_slowly", None)
            if start is None:
                raise OptionError(
                    "within", f"{type(inner).__qualname__} has no slow start: it lacks start_slowly"
                )
            start(window)

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`."""
        for inner in (self.within, *self.others()):
            after_fork: Callable[[], None] | None = getattr(inner, "after_fork", None)
            if after_fork is not None:
                after_fork()

    def remark(self, node: Node, now: float) -> str:
        """See :class:`bee_core.interfaces.Balancer`."""
        return remark_of(self.within, node, now)


def remark_of(balancer: Balancer, node: Node, now: float) -> str:
    """What a balancer says of a node; empty for one that says nothing."""
    remark: Callable[[Node, float], str] | None = getattr(balancer, "remark", None)
    return "" if remark is None else remark(node, now)


def twin_of(balancer: Balancer) -> Any:
    """A copy of a balancer as it is now.

    Raises:
        OptionError: It has no ``twin``.
    """
    twin: Callable[[], Balancer] | None = getattr(balancer, "twin", None)
    if twin is None:
        raise OptionError(
            "within",
            f"{type(balancer).__qualname__} cannot be used within another balancer: it lacks "
            "twin(), which makes a copy of it",
        )
    return twin()
