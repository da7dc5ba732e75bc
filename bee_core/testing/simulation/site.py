"""What all simulated servers of a run share: the clock, their settings, what is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...terms.criticality import CRITICALITIES, part_of
from .connections import Connections
from .remembering import Remembering

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from ...config.deduplication_model import DeduplicationConfig
    from ...contracts.policies import Limiter
    from ...terms.failures import Failure
    from .caches import NodeCache
    from .latencies import Durations
    from .world import World


class Site:
    """What all simulated servers have in common.

    Attributes:
        world: The clock.
        durations: Of handlers.
        of_method: Of the handlers of the methods that have durations of their own.
        rng: Decides which calls fail.
        workers: Calls that a node handles at a time.
        max_in_flight: See the server's configuration.
        nearly_full: From so many calls in flight on, some levels are refused.
        cancels: Whether a handler ends when its caller has given up.
        make_limiters: Called for each new process. Gives what finds the limiter of a method, or
            None where no method has one.
        broken: Says that a method of a limiter raised, and makes the failure of the call.
        deduplicate: The bounds of each process's memory of its answers; None for none.
        make_cache: Called for each new process; None where nodes have no caches.
        connections: Of all clients to all nodes.
        ran_twice: How often a handler began again for a call that must run once.
        ran_again: How often it began again for any call.
    """

    def __init__(
        self,
        world: World,
        durations: Durations,
        rng: Random,
        *,
        workers: int,
        max_in_flight: int,
        cancels: bool,
        make_limiters: Callable[[], Callable[[str], Limiter | None] | None],
        broken: Callable[[object, str, BaseException], Failure],
        deduplicate: DeduplicationConfig | None = None,
        make_cache: Callable[[], NodeCache] | None = None,
        of_method: Mapping[str, Durations] | None = None,
    ) -> None:
        self.world = world
        self.durations = durations
        self.rng = rng
        self.of_method = of_method or {}
        self.workers = workers
        self.max_in_flight = max_in_flight
        self.nearly_full = part_of(max_in_flight, CRITICALITIES[-1])
        self.cancels = cancels
        self.make_limiters = make_limiters
        self.broken = broken
        self.deduplicate = deduplicate
        self.make_cache = make_cache
        self.connections = Connections()
        self.ran_twice = 0
        self.ran_again = 0
        self._processes = 0

    def remember(self) -> Remembering | None:
        """The memory of a new process."""
        self._processes += 1
        if self.deduplicate is None:
            return None
        epoch = self._processes.to_bytes(8, "big")
        return Remembering(self.deduplicate, self.world, epoch)
