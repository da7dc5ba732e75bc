"""Fault tolerance ``broadcast``: the call goes to every ready node.

For what each node must hear: empty a cache, read a list anew. Dubbo has it as ``broadcast``, brpc
as ``ParallelChannel``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.options import between

from .failtry import BackoffOptions, FailTry

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from random import Random

    from bee_core.interfaces import Again, FaultTolerance, Node, Tried


@attrs.frozen(kw_only=True)
class BroadcastOptions(BackoffOptions):
    """The options of ``broadcast``, and those of its back-off.

    Attributes:
        fail_percent: The call fails when more than so many percent of the nodes have failed. 0: it
            fails with the first node. Who tells every node wants to hear of one that was not told.
    """

    fail_percent: float = attrs.field(
        default=0.0, validator=between(0, 100, "a number from 0 to 100")
    )


class Broadcast:
    """Every ready node; one that fails is tried again, with back-off. Stateless, thread-safe.

    A node of weight 0 takes no calls of a balancer, and is told all the same.
    """

    def __init__(self, options: BroadcastOptions) -> None:
        self._failtry = FailTry(options)
        self._percent = options.fail_percent

    def next(self, history: Sequence[Tried], rng: Random) -> Again | None:
        """See :meth:`bee_core.interfaces.FaultTolerance.next`."""
        return self._failtry.next(history, rng)

    def targets(self, ready: Sequence[Node], rng: Random) -> Collection[str] | None:
        """See :class:`bee_core.interfaces.FaultTolerance`."""
        return [node.id for node in ready]

    def tolerates(self, failed: int, of: int) -> bool:
        """See :class:`bee_core.interfaces.FaultTolerance`."""
        return failed < of and 100 * failed <= self._percent * of


@hookimpl
def bee_register_fault_tolerances(registry: Registrar[FaultTolerance]) -> None:
    """Offer ``broadcast``."""
    registry.add("broadcast", Broadcast, options=BroadcastOptions)
