"""Fault tolerance ``failover``: another node each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Again, FaultTolerance, Tried

from .failtry import BackoffOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random


class FailOver:
    """Another node: the first time at once, then with back-off. Stateless, thread-safe.

    One node's failure says little about the next node. Two failures do, so then it waits.
    """

    def __init__(self, options: BackoffOptions) -> None:
        self._backoff = options.backoff()

    def next(self, history: Sequence[Tried], rng: Random) -> Again | None:
        """See :meth:`bee_core.interfaces.FaultTolerance.next`.

        ``retry_after`` is the wish of a node that is not asked again, so it delays nothing.
        """
        if history[-1].failure.retry == "never":
            return None
        return Again(
            "other", self._backoff.delay(len(history) - 2, rng) if len(history) > 1 else 0.0
        )


@hookimpl
def bee_register_fault_tolerances(registry: Registrar[FaultTolerance]) -> None:
    """Offer ``failover``."""
    registry.add("failover", FailOver, options=BackoffOptions)
