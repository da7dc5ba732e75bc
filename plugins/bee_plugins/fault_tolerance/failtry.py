"""Fault tolerance ``failtry``: the same node again, for services whose calls belong to one node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import BASE, CAP, Again, Backoff, FaultTolerance, Tried
from bee_core.options import Seconds  # noqa: TC001 - read at run time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random


@attrs.frozen
class BackoffOptions:
    """How long to wait between retries: the options of ``failtry`` and of ``failover``.

    :class:`~bee_core.interfaces.Backoff` gives the reasons of the defaults.

    Attributes:
        base: Seconds, the ceiling of the first delay; each next ceiling is twice as high.
        cap: Seconds that no delay exceeds.
    """

    base: Seconds = BASE
    cap: Seconds = CAP

    def __attrs_post_init__(self) -> None:
        """Refuse, while the configuration is read, what ``Backoff`` refuses."""
        self.backoff()

    def backoff(self) -> Backoff:
        """The policy that the options describe."""
        return Backoff(self.base, self.cap)


class FailTry:
    """The same node, with back-off from the first retry on. Stateless, thread-safe.

    The first retry waits too: what failed there a moment ago is likely to fail there again.
    """

    def __init__(self, options: BackoffOptions) -> None:
        self._backoff = options.backoff()

    def next(self, history: Sequence[Tried], rng: Random) -> Again | None:
        """See :meth:`bee_core.interfaces.FaultTolerance.next`.

        The call ends when only another node can help, or none. When the node says how long to wait,
        no delay is shorter.
        """
        failure = history[-1].failure
        if failure.retry != "same":
            return None
        return Again(
            "same", max(self._backoff.delay(len(history) - 1, rng), failure.retry_after or 0.0)
        )


@hookimpl
def bee_register_fault_tolerances(registry: Registrar[FaultTolerance]) -> None:
    """Offer ``failtry``."""
    registry.add("failtry", FailTry, options=BackoffOptions)
