"""The metrics of ``prometheus``: their names, labels and bounds. One set a process.

Names and labels follow OpenTelemetry's conventions for RPC, written by Prometheus' rules: dots
become underscores, and the unit stands at the end of the name. What these conventions do not have
begins with ``bee_``.

Labels are bounded. A service is one of the configuration. A method is one that a server has; at a
client one of the first :data:`MOST_METHODS` of a service, and ``_OTHER`` for the rest and for those
that the server does not know. An error is one of bee's kinds.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from .prometheus_numbers import Numbers, families

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from .prometheus_workers import SharedFolder

BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds: the boundaries of OpenTelemetry's conventions for the duration of calls."""
MOST_METHODS = 500
"""Methods of a service that have numbers of their own; a Prometheus server bears 500 times 17
series, and an interface of 500 methods is larger than any that people wrote."""
LONGEST = 128
"""Characters of a method's name that is a label."""
MOST_NODES = 200
"""Nodes of a service whose breakers have numbers of their own: those that were cut off."""
OTHER = "_OTHER"
"""The label of all other methods; OpenTelemetry's word for it."""
LEASES = ("registering", "held", "unsure", "lost", "left")

Side = Literal["client", "server"]


class Meters:
    """All metrics of a process. Thread-safe.

    Args:
        boundaries: Of the histograms, in seconds, ascending.
        folder: Where workers and their parent keep the numbers of calls; None for one process.
    """

    def __init__(self, boundaries: Sequence[float], folder: str | None = None) -> None:
        self.registry = on = CollectorRegistry()
        self.boundaries = tuple(boundaries)
        self.numbers = Numbers(folder)
        service, method = ("rpc_service",), ("rpc_service", "rpc_method")

        def gauge(name: str, text: str, labels: Sequence[str], mode: Any) -> Gauge:
            return Gauge(name, text, labels, registry=on, multiprocess_mode=mode)

        def counter(name: str, text: str, labels: Sequence[str]) -> Counter:
            return Counter(name, text, labels, registry=on)

        self.retries = counter("bee_client_retries", "Attempts after the first of a call.", method)
        self.degraded = counter(
            "bee_client_degraded_calls", "Calls that a fallback has answered.", method
        )
        self.limited = counter(
            "bee_client_limited_calls",
            "Calls that the client's limiter has refused or made to wait.",
            ("rpc_service", "state"),
        )
        self.rejected = counter(
            "bee_server_rejected_requests",
            "Requests refused before any work: too many, late, unknown method.",
            ("rpc_service", "error_type"),
        )
        self.repeated = counter(
            "bee_server_repeated_requests",
            "Requests whose caller had asked before: remembered, or run because nothing had come.",
            (*method, "answer"),
        )
        self.breakers = gauge(
            "bee_client_breakers",
            "Nodes that a breaker cuts off (open), or tries (half-open).",
            ("rpc_service", "state"),
            mode="livesum",
        )
        self.breaker_state = gauge(
            "bee_client_breaker_state",
            "The breaker of a node that was cut off: 0 closed, 1 half-open, 2 open.",
            ("rpc_service", "node"),
            mode="livemax",
        )
        self.nodes = gauge(
            "bee_client_nodes",
            "Nodes that clients know, that fit what they ask for, and that are in doubt.",
            ("rpc_service", "state"),
            mode="livesum",
        )
        self.registry_in_reach = gauge(
            "bee_registry_in_reach",
            "1 while the registry answers, 0 while it is out of reach or refuses.",
            service,
            mode="livemin",
        )
        self.lease = gauge(
            "bee_server_lease",
            "1 for what a server has with its registry, 0 for the other states.",
            ("rpc_service", "state"),
            mode="livemostrecent",
        )
        self.processes = gauge(
            "bee_server_processes", "Servers of this program that serve.", (), mode="livesum"
        )
        self._lock = Lock()
        self._services: dict[tuple[str, str], ServiceMeters] = {}

    def service(self, side: Side, name: str) -> ServiceMeters:
        """The numbers of a service, one object for all who observe it."""
        with self._lock:
            found = self._services.get((side, name))
            if found is None:
                found = self._services[side, name] = ServiceMeters(self, side, name)
            return found


class ServiceMeters:
    """The numbers of the calls of one service at one side. Thread-safe.

    Attributes:
        boundaries: Of the histograms.
        lock: Whoever changes ``running``, or the numbers of a method, holds it.
        running: One double: what is in flight.
        methods: By name. A name that is missing is looked up by :meth:`method`.
        other: Of the methods that have no numbers of their own.
    """

    __slots__ = ("_meters", "_name", "_side", "boundaries", "lock", "methods", "other", "running")

    def __init__(self, meters: Meters, side: Side, name: str) -> None:
        self._meters, self._side, self._name = meters, side, name
        self.boundaries = meters.boundaries
        self.lock = Lock()
        self.running = meters.numbers.place(("in_flight", side, name), 1)
        self.methods: dict[str, MethodMeters] = {}
        self.other = MethodMeters(meters, side, name, OTHER)

    def method(self, name: str) -> MethodMeters:
        """The numbers of a method: its own, as far as there is room for them."""
        with self.lock:
            found = self.methods.get(name)
            if found is None:
                odd = len(name) > LONGEST or not name.isprintable()
                if odd or len(self.methods) >= MOST_METHODS:
                    return self.other
                found = MethodMeters(self._meters, self._side, self._name, name)
                self.methods[name] = found
            return found


class MethodMeters(dict[str, "memoryview[float]"]):
    """The numbers of a method by the kind of the error; the empty kind is for a result.

    They are the calls in each bucket, those above all of them, and the sum of the seconds. They are
    made at the first call that ends so.
    """

    __slots__ = ("_meters", "_names", "_side")

    def __init__(self, meters: Meters, side: Side, service: str, method: str) -> None:
        super().__init__()
        self._meters, self._side, self._names = meters, side, (service, method)

    def __missing__(self, kind: str) -> memoryview[float]:
        """Make the numbers for an error."""
        names = ("duration", self._side, *self._names, kind)
        found = self[kind] = self._meters.numbers.place(names, len(self._meters.boundaries) + 2)
        return found

    def more(self, attempts: int, *, degraded: bool) -> None:
        """Count what most calls do not have: retries, and a fallback's answer."""
        if attempts > 1:
            self._meters.retries.labels(*self._names).inc(attempts - 1)
        if degraded:
            self._meters.degraded.labels(*self._names).inc()


class Current:
    """The metrics of this process, as a collector of prometheus_client's default registry.

    So a program that exposes or pushes that registry by itself has them too.
    """

    def __init__(self) -> None:
        self.meters: Meters | None = None
        self.shared: SharedFolder | None = None  # with its workers, where it has some
        self._registered = False

    def make(self, boundaries: Sequence[float]) -> Meters:
        """Begin anew, with these boundaries."""
        if self.meters is not None:
            self.meters.numbers.close()
        self.meters = Meters(boundaries, None if self.shared is None else self.shared.path)
        if not self._registered:
            self._registered = True
            REGISTRY.register(self)
        return self.meters

    def collect(self) -> Iterator[Metric]:
        """All numbers of this process, without the times at which they began."""
        meters = self.meters
        if meters is None:
            return
        yield from families(meters.numbers.items(), meters.boundaries)
        for metric in meters.registry.collect():
            metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
            yield metric


current = Current()
