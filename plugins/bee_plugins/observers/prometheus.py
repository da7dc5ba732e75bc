"""Observer ``prometheus``: histograms, counters and gauges of calls, requests, nodes and leases.

``bee.application.metrics_address`` shows them. docs/how-to/metrics.md lists them.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import attrs
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Observer
from bee_core.options import UNTIL_RESTART, MisfitError, OptionError

from .prometheus_meters import BOUNDARIES, LEASES, MOST_NODES, Meters, ServiceMeters, current
from .prometheus_workers import SharedFolder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bee_core.interfaces import (
        BreakerState,
        CallRecord,
        Failure,
        InboundCall,
        Node,
        Outcome,
        Request,
        Snapshot,
    )

_STATES = {"closed": 0, "half-open": 1, "open": 2}
_REACH = {
    "registry_out_of_reach": 0,
    "registration_refused": 0,
    "registry_in_reach": 1,
    "registered": 1,
    "registered_again": 1,
}


def _ascending(_: Any, attribute: attrs.Attribute[Any], value: tuple[float, ...]) -> None:
    if not 0 < len(value) <= 50 or value[0] <= 0 or any(a >= b for a, b in pairwise(value)):
        expected = "1 to 50 numbers above 0, each larger than the one before"
        raise MisfitError(
            f"expected {expected}", value=list(value), expected=expected, field=attribute.name
        )


@attrs.frozen
class PrometheusOptions:
    """Options of ``prometheus``.

    Attributes:
        buckets: The upper bounds of the histograms, in seconds, ascending. The default is that of
            OpenTelemetry's conventions. Smaller ones tell fast methods apart. One list a process.
    """

    buckets: tuple[float, ...] = attrs.field(
        default=BOUNDARIES, validator=_ascending, metadata=UNTIL_RESTART
    )


class Prometheus(Observer):
    """Keeps the numbers of one client or server among those of its process. Thread-safe.

    Attributes:
        meters: The metrics.
        nodes: What this client knows, by service and state: its part of the sum.
        reach: By service, 1 while its registry answers, else 0.
    """

    def __init__(self, options: PrometheusOptions) -> None:
        meters = current.meters
        if meters is None or (meters.boundaries != options.buckets and not _living):
            meters = current.make(options.buckets)
        elif meters.boundaries != options.buckets:
            raise OptionError(
                "buckets",
                "this process has other buckets already: name the observer once, under "
                "bee.application.observers, and restart the program to change them",
            )
        self.renew(meters)
        _living.add(self)

    def renew(self, meters: Meters) -> None:
        """Count from now on with these metrics."""
        self.meters = meters
        self._lock = Lock()
        self._calls: dict[str, ServiceMeters] = {}
        self._requests: dict[str, ServiceMeters] = {}
        # By service: the nodes whose breakers are not closed, by id, with url and state.
        self._cut_off: dict[str, dict[str, tuple[str, str]]] = {}
        self._urls: dict[str, set[str]] = {}
        self.nodes: dict[str, dict[str, float]] = {}
        self.reach: dict[str, int] = {}
        self._serves = False

    # Calls and requests. The state that they carry is the service's numbers.

    def call_started(self, call: Request) -> ServiceMeters:
        """See :meth:`bee_core.interfaces.Observer.call_started`."""
        try:
            found = self._calls[call.head.service]
        except KeyError:
            name = call.head.service
            found = self._calls[name] = self.meters.service("client", name)
        with found.lock:
            found.running[0] += 1.0
        return found

    def call_ended(self, state: ServiceMeters, record: CallRecord) -> None:
        """See :meth:`bee_core.interfaces.Observer.call_ended`."""
        failure = record.failure
        kind = "" if failure is None else failure.kind
        method = state.methods.get(record.method)
        if method is None:
            # A name that the server does not know may be any name, as often as somebody likes.
            unknown = kind == "method_not_found"
            method = state.other if unknown else state.method(record.method)
        numbers, seconds = method[kind], record.seconds
        bucket = bisect_left(state.boundaries, seconds)
        with state.lock:
            state.running[0] -= 1.0
            numbers[bucket] += 1.0
            numbers[-1] += seconds
        if record.attempts > 1 or record.degraded:
            method.more(record.attempts, degraded=record.degraded)

    def request_started(self, call: InboundCall) -> ServiceMeters:
        """See :meth:`bee_core.interfaces.Observer.request_started`."""
        try:
            found = self._requests[call.service]
        except KeyError:
            name = call.service
            found = self._requests[name] = self.meters.service("server", name)
        with found.lock:
            found.running[0] += 1.0
        return found

    def request_ended(
        self, state: ServiceMeters, call: InboundCall, outcome: Outcome | None, seconds: float
    ) -> None:
        """See :meth:`bee_core.interfaces.Observer.request_ended`."""
        # A server tells of the methods that it has, and of no others.
        method = state.methods.get(call.method)
        if method is None:
            method = state.method(call.method)
        kind = "cancelled" if outcome is None else "" if outcome.ok else outcome.kind  # type: ignore[union-attr]
        numbers = method[kind]
        bucket = bisect_left(state.boundaries, seconds)
        with state.lock:
            state.running[0] -= 1.0
            numbers[bucket] += 1.0
            numbers[-1] += seconds
        if call.repeated:
            answer = "remembered" if call.deduplicated else "new"
            self.meters.repeated.labels(call.service, call.method, answer).inc()

    def request_refused(self, call: InboundCall, failure: Failure) -> None:
        """See :meth:`bee_core.interfaces.Observer.request_refused`."""
        self.meters.rejected.labels(call.service, failure.kind).inc()

    # Nodes, breakers, registries, servers.

    def breaker_changed(
        self, service: str, node: Node, before: BreakerState, after: BreakerState
    ) -> None:
        """See :meth:`bee_core.interfaces.Observer.breaker_changed`."""
        with self._lock:
            cut_off = self._cut_off.setdefault(service, {})
            known = cut_off.pop(node.id, None)
            self._count_breaker(service, None if known is None else known[1], -1)
            if after != "closed":
                cut_off[node.id] = (node.url, after)
                self._count_breaker(service, after, 1)
            urls = self._urls.setdefault(service, set())
            if node.url in urls or len(urls) < MOST_NODES:
                urls.add(node.url)
                self.meters.breaker_state.labels(service, node.url).set(_STATES[after])

    def _count_breaker(self, service: str, state: str | None, by: int) -> None:
        if state is not None:
            self.meters.breakers.labels(service, state).inc(by)

    def nodes_changed(self, service: str, snapshot: Snapshot) -> None:
        """See :meth:`bee_core.interfaces.Observer.nodes_changed`."""
        with self._lock:
            cut_off, urls = self._cut_off.get(service), self._urls.get(service)
            if not urls:
                return
            ids = {node.id for node in snapshot.nodes}
            for id_ in [one for one in cut_off or () if one not in ids]:
                self._count_breaker(service, cut_off.pop(id_)[1], -1)  # type: ignore[union-attr]
            gone = urls - {node.url for node in snapshot.nodes}
            if current.shared is None:
                urls -= gone
            self._name_no_more(service, gone)

    def registry_changed(self, service: str, event: str, reason: str) -> None:
        """See :meth:`bee_core.interfaces.Observer.registry_changed`."""
        reached = _REACH.get(event)
        if reached is not None:
            self.reach[service] = reached
            self._show_reach(service)

    def _show_reach(self, service: str) -> None:
        """One registry that is out of reach is told, whoever else of the process reaches his."""
        known = [one.reach[service] for one in tuple(_living) if service in one.reach]
        if known:
            self.meters.registry_in_reach.labels(service).set(min(known))

    def server_changed(self, event: str) -> None:
        """See :meth:`bee_core.interfaces.Observer.server_changed`."""
        self._serve(event == "serving")

    def _serve(self, serves: bool) -> None:
        """Count the server of this observer, if it has one, or count it no more."""
        with self._lock:
            if serves != self._serves:
                self._serves = serves
                self.meters.processes.inc(1 if serves else -1)

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """See :meth:`bee_core.interfaces.Observer.event`."""
        meters, service = self.meters, str(fields.get("service", ""))
        if name == "limiter":
            if fields["side"] == "client":  # what a server's refuses is among its requests
                meters.limited.labels(service, str(fields["state"])).inc()
        elif name == "nodes":
            for state in ("listed", "fitting"):
                self._count_nodes(service, state, fields[state])
        elif name == "nodes_in_doubt":
            self._count_nodes(service, "in_doubt", fields["nodes"])
        elif name == "service_left":
            self._forget(service)
            self._serve(False)
        elif name == "lease":
            for state in LEASES:
                meters.lease.labels(service, state).set(state == fields["state"])

    def _count_nodes(self, service: str, state: str, nodes: Any) -> None:
        """What this client knows of a service: a part of the sum of all clients of the process."""
        with self._lock:
            known = self.nodes.setdefault(service, {})
            self.meters.nodes.labels(service, state).inc(float(nodes) - known.get(state, 0.0))
            known[state] = float(nodes)

    def _forget(self, service: str) -> None:
        """Its breakers are gone: what they cut off is not cut off any more."""
        if self.reach.pop(service, None) is not None:
            self._show_reach(service)
        with self._lock:
            for state, nodes in self.nodes.pop(service, {}).items():
                self.meters.nodes.labels(service, state).dec(nodes)
                others = any(service in one.nodes for one in tuple(_living))
                if current.shared is None and not others:
                    self.meters.nodes.remove(service, state)  # nobody asks for it: that is not 0
            for _, state in self._cut_off.pop(service, {}).values():
                self._count_breaker(service, state, -1)
            self._name_no_more(service, self._urls.pop(service, set()))

    def cut_off(self, service: str) -> set[str]:
        """The urls of the nodes that breakers of this client cut off."""
        return {url for url, _ in tuple(self._cut_off.get(service, {}).values())}

    def _name_no_more(self, service: str, urls: set[str]) -> None:
        """Show no breakers of nodes, but those that another client of the process cuts off."""
        held = {url for one in _living if one is not self for url in one.cut_off(service)}
        for url in urls - held:
            if current.shared is None:
                self.meters.breaker_state.remove(service, url)
            else:  # what stands in a file that processes share cannot be removed
                self.meters.breaker_state.labels(service, url).set(0)

    # What is shown, and by which process.

    def exposition(self, accept: str) -> tuple[str, bytes]:
        """See :meth:`bee_core.interfaces.Exposing.exposition`."""
        encode, kind = choose_encoder(accept)
        if current.shared is None:
            return kind, encode(REGISTRY)
        return kind, encode(current.shared)

    def workers_begin(self) -> None:
        """See :meth:`bee_core.interfaces.Exposing.workers_begin`."""
        if current.shared is None:
            current.shared = SharedFolder(self.meters.boundaries)
            _renew_all()

    def worker_ended(self, pid: int) -> None:
        """See :meth:`bee_core.interfaces.Exposing.worker_ended`."""
        if current.shared is not None:
            current.shared.process_ended(pid)

    def workers_ended(self) -> None:
        """See :meth:`bee_core.interfaces.Exposing.workers_ended`."""
        shared, current.shared = current.shared, None
        if shared is not None:
            shared.remove()
            _renew_all()


_living: WeakSet[Prometheus] = WeakSet()


def _renew_all() -> None:
    before = current.meters
    meters = current.make(BOUNDARIES if before is None else before.boundaries)
    for one in _living:
        one.renew(meters)


def _in_child() -> None:
    """In a forked child: begin at zero, since the parent goes on counting; with new locks."""
    if current.meters is not None:
        _renew_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


@hookimpl
def bee_register_observers(registry: Registrar[Observer]) -> None:
    """Offer ``prometheus``."""
    registry.add("prometheus", Prometheus, options=PrometheusOptions)
