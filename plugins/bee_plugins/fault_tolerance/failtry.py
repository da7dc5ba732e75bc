"""Fault tolerance ``failtry``: the same node again, for services where a call belongs to one node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee_core.hookspecs import hookimpl
from bee_core.interfaces import Again
from bee_plugins.fault_tolerance.backoff_options import BackoffOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import FaultTolerance, Tried


class FailTry:
    """The same node, with back-off from the first retry on, since what failed there a moment ago is likely to fail there now. Stateless, thread-safe."""

    def __init__(self, options: BackoffOptions) -> None:
        self._backoff = options.backoff()

    def next(self, history: Sequence[Tried], rng: Random) -> Again | None:
        """See :meth:`bee_core.interfaces.FaultTolerance.next`.

        A failure that only another node can cure ends the call. Where the node says when to come again, that is the least delay.
        """
        failure = history[-1].failure
        if failure.retry == "other":
            return None
        return Again(
            "same", max(self._backoff.delay(len(history) - 1, rng), failure.retry_after or 0.0)
        )


@hookimpl
def bee_register_fault_tolerances(registry: Registrar[FaultTolerance]) -> None:
    """Offer ``failtry``."""
    registry.add("failtry", FailTry, options=BackoffOptions)
