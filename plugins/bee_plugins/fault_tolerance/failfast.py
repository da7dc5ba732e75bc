"""Fault tolerance ``failfast``: one attempt; the caller gets its error at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee_core.hookspecs import Registrar, hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from bee_core.interfaces import Again, FaultTolerance, Tried


class FailFast:
    """No retry. Stateless, thread-safe."""

    def next(self, history: Sequence[Tried], rng: Random) -> Again | None:
        """See :meth:`bee_core.interfaces.FaultTolerance.next`."""
        return None


@hookimpl
def bee_register_fault_tolerances(registry: Registrar[FaultTolerance]) -> None:
    """Offer ``failfast``."""
    registry.add("failfast", FailFast)
