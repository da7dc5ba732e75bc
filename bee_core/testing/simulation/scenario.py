"""What a scenario says: the nodes, the calls, and what goes wrong when.

The classes are the schema of a scenario file too; see ``scenario_file.py``.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  the reader of scenario files needs the types
from typing import Any, Literal

import attrs

from ...options import Seconds, at_least, between, positive, some, some_text, validator

MAX_NODES = 100_000
MAX_CALLS = 20_000_000
"""Calls of one run: each leaves 8 bytes, its latency."""

_share = validator(lambda value: "" if 0 < value <= 1 else "a share above 0, up to 1")
_any_share = validator(lambda value: "" if 0 <= value <= 1 else "a share from 0 to 1")

TroubleKind = Literal[
    "slow", "dead", "unreachable", "hang", "fail", "flap", "deploy", "join", "surge", "busy"
]
FailureKind = Literal["error", "reset", "unavailable", "overloaded", "hang"]

_MORE_KEYS: dict[str, tuple[str, ...]] = {
    "slow": ("times",),
    "dead": ("warm_up", "warm_times"),
    "fail": ("rate", "failure"),
    "flap": ("period", "warm_up", "warm_times"),
    "deploy": ("every", "down", "warm_up", "warm_times"),
    "join": ("warm_up", "warm_times"),
    "surge": ("times",),
    "busy": ("times",),
}
"""What each kind of trouble takes besides ``at``, ``until`` and which nodes."""
_OF_LATENCIES = {"lognormal": ("sigma",), "bimodal": ("slow", "slow_share")}


@attrs.frozen(kw_only=True)
class Latency:
    """How long handlers take.

    Attributes:
        kind: ``lognormal``: most near the median, few much longer, as of most services. ``fixed``:
            always the median. ``bimodal``: a share of the calls takes ``slow`` instead.
        median: Seconds.
        sigma: Of a lognormal, 0 to 10: 0.3 puts its p99 at twice the median.
        slow: Seconds, of a bimodal one.
        slow_share: Which share of its calls is slow.
    """

    kind: Literal["lognormal", "fixed", "bimodal"] = "lognormal"
    median: Seconds = attrs.field(default=0.02, validator=positive)
    sigma: float = attrs.field(default=0.3, validator=between(0, 10, "0 to 10"))
    slow: Seconds = attrs.field(default=0.2, validator=positive)
    slow_share: float = attrs.field(default=0.05, validator=_any_share)

    def __attrs_post_init__(self) -> None:
        """Refuse what its kind does not look at."""
        _refuse_unused(self, "latency", {"median", *_OF_LATENCIES.get(self.kind, ())})


@attrs.frozen(kw_only=True)
class CallKind:
    """A kind of calls.

    Attributes:
        method: The method; what the YAML states for it holds.
        share: Its share of the calls, relative to the other kinds.
        idempotent: The mark of the interface. The YAML may state another one.
        everyone: Whether every node must hear of it. The figures say which share of them did.
        keys: From how many routing keys each call draws one; 0: it has none.
        skew: How unevenly keys are asked for: the exponent of Zipf's law. 0: all alike; near 1: as
            of many caches.
        latency: Of the handlers of this method, in place of the scenario's.
        options: More options of ``with_options``.
    """

    method: str = attrs.field(default="read", validator=some_text)
    share: float = attrs.field(default=1.0, validator=positive)
    idempotent: bool = False
    everyone: bool = False
    keys: int = attrs.field(default=0, validator=between(0, 100_000, "0 to 100,000"))
    skew: float = attrs.field(default=0.0, validator=between(0, 10, "0 to 10"))
    latency: Latency | None = None
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Cache:
    """What each node has in its memory: the keys that were asked for last.

    Attributes:
        size: How many.
        hit: Which part of its usual time a call takes whose key is there.
    """

    size: int = attrs.field(default=1000, validator=between(1, 1_000_000, "1 to 1,000,000"))
    hit: float = attrs.field(default=0.1, validator=_share)


@attrs.frozen(kw_only=True)
class Trouble:
    """What goes wrong, with which nodes, from when to when.

    ============= ================================================================================
    kind          what happens
    ============= ================================================================================
    slow          handlers take ``times`` as long
    dead          the processes are gone: connections are refused
    unreachable   the network loses everything from and to the nodes
    hang          the processes are stopped: nothing is answered, also no ping
    fail          a share (``rate``) of the calls ends in ``failure``
    flap          dead and back by turns, each for ``period`` seconds
    deploy        one node after another, one in ``every`` seconds, leaves, drains, is down for
                  ``down`` seconds and comes back
    join          these nodes are new: they start at ``at`` and are listed then
    surge         ``times`` as many calls
    busy          other callers use the nodes: their requests are ``times`` what the nodes can
                  handle
    ============= ================================================================================

    Attributes:
        kind: See above.
        at: Seconds from the start.
        until: When it ends, or None: it stays.
        share, count, zone: Which nodes: a share of them (rounded up), a number of them, those of a
            zone, or all of them without any of these. A share and a count take the last nodes.
        times: A factor.
        failure: What the calls of ``fail`` end in. ``error``: the handler raises. ``reset``: the
            connection is lost after the handler ran. ``unavailable`` and ``overloaded``: rejected
            before it ran. ``hang``: no answer comes.
        rate: Share of the calls that fail.
        period, every, down: Seconds; ``period`` is a hundredth or more.
        warm_up: For how many seconds a node that has started is slow; it begins ``warm_times`` as
            slow and gets better evenly.
        warm_times: See there.
    """

    kind: TroubleKind
    at: Seconds = attrs.field(default=0.0, validator=at_least(0))
    until: Seconds | None = attrs.field(default=None, validator=positive)
    share: float | None = attrs.field(default=None, validator=_share)
    count: int | None = attrs.field(default=None, validator=at_least(1))
    zone: str | None = attrs.field(default=None, validator=some_text)
    times: float = attrs.field(default=10.0, validator=positive)
    failure: FailureKind = "reset"
    rate: float = attrs.field(default=0.5, validator=_share)
    period: Seconds = attrs.field(default=5.0, validator=at_least(0.01))
    every: Seconds = attrs.field(default=1.0, validator=positive)
    down: Seconds = attrs.field(default=2.0, validator=positive)
    warm_up: Seconds = attrs.field(default=0.0, validator=at_least(0))
    warm_times: float = attrs.field(default=10.0, validator=at_least(1))

    def __attrs_post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if sum(value is not None for value in (self.share, self.count, self.zone)) > 1:
            raise ValueError("share, count and zone each say which nodes; keep one of them")
        if self.until is not None and self.until <= self.at:
            raise ValueError(f"until ({self.until:g} s) must be after at ({self.at:g} s)")
        which = () if self.kind == "surge" else ("share", "count", "zone")
        _refuse_unused(self, "trouble", {"at", "until", *which, *_MORE_KEYS.get(self.kind, ())})

    @property
    def of_nodes(self) -> bool:
        """Whether it makes nodes bad, so that calls had better go to others."""
        return self.kind not in {"surge", "join", "deploy"}

    @property
    def of_some(self) -> bool:
        """Whether it makes some nodes bad, so that others are better."""
        return self.of_nodes and (self.share, self.count, self.zone) != (None, None, None)

    @property
    def usual(self) -> bool:
        """Whether it is how all nodes are, all the time: it is there, and it is no trouble."""
        return self.of_nodes and not self.of_some and self.at == 0 and self.until is None


@attrs.frozen(kw_only=True)
class Scenario:
    """A world, and what happens in it.

    Attributes:
        name: How it is called.
        about: What it shows, in one line.
        seconds: For how long calls begin.
        nodes: How many there are.
        zones: Their zones, by turns; none for none.
        client_zones: The zones of the clients, by turns; by default those of the nodes. The file is
            read once for each, with the zone in the variable ``zone_variable``.
        zone_variable: The name of that variable of the environment.
        between_zones: Seconds that a call to another zone takes more, there and back.
        cache: What nodes remember, or None for nothing.
        workers: Calls that a node handles at a time; more wait in its queue.
        latency: Of handlers.
        network: Seconds, there and back.
        load: Calls that come in, as a share of what all nodes can handle.
        rate: Calls a second, in place of ``load``.
        clients: How many clients share the calls. Each has its own balancer, breakers and budget.
        calls: The kinds of calls.
        registry_delay: Seconds until clients hear of a change of the list.
        cancels: Whether a handler ends when its caller has given up, as an ``async def`` does.
        troubles: What goes wrong.
    """

    name: str = attrs.field(default="own", validator=some_text)
    about: str = ""
    seconds: Seconds = attrs.field(default=60.0, validator=between(1, 86_400, "1 s to 24 h"))
    nodes: int = attrs.field(default=20, validator=between(1, MAX_NODES, "1 to 100,000"))
    zones: tuple[str, ...] = ()
    client_zones: tuple[str, ...] = ()
    zone_variable: str = attrs.field(default="ZONE", validator=some_text)
    between_zones: Seconds = attrs.field(default=0.0, validator=at_least(0))
    cache: Cache | None = None
    workers: int = attrs.field(default=8, validator=between(1, 100_000, "1 to 100,000"))
    latency: Latency = attrs.field(factory=Latency)
    network: Seconds = attrs.field(default=0.0005, validator=at_least(0))
    load: float = attrs.field(default=0.3, validator=between(0, 1000, "0 to 1,000"))
    rate: float | None = attrs.field(default=None, validator=positive)
    clients: int = attrs.field(default=1, validator=between(1, 1000, "1 to 1,000"))
    calls: tuple[CallKind, ...] = attrs.field(
        factory=lambda: (
            CallKind(method="read", share=9.0, idempotent=True),
            CallKind(method="write", share=1.0),
        ),
        validator=some,
    )
    registry_delay: Seconds = attrs.field(default=0.2, validator=at_least(0))
    cancels: bool = True
    troubles: tuple[Trouble, ...] = ()

    def __attrs_post_init__(self) -> None:
        """Refuse a zone that no node is in, and nobody who calls."""
        for trouble in self.troubles:
            if trouble.zone is not None and trouble.zone not in self.zones:
                there = ", ".join(self.zones) or "none"
                raise ValueError(f"no node is in zone {trouble.zone!r}; zones: {there}")
        if self.rate is None and self.load <= 0:
            raise ValueError("load must be above 0, or rate stated")
        times: dict[str, Latency | None] = {}
        for kind in self.calls:
            if times.setdefault(kind.method, kind.latency) != kind.latency:
                raise ValueError(f"the handlers of {kind.method!r} have two different latencies")

    @property
    def fault(self) -> tuple[float, float] | None:
        """When the first trouble begins and the last one ends; None without any.

        What is usual does not count, if there is anything else.
        """
        there = [one for one in self.that_begin if not one.usual] or self.that_begin
        if not there:
            return None
        ends = [self.seconds if one.until is None else one.until for one in there]
        return min(one.at for one in there), min(self.seconds, max(ends))

    @property
    def that_begin(self) -> tuple[Trouble, ...]:
        """The troubles that begin before the last call."""
        return tuple(one for one in self.troubles if one.at < self.seconds)


def _refuse_unused(made: Latency | Trouble, what: str, used: set[str]) -> None:
    """Refuse a key that says something and changes nothing.

    Raises:
        ValueError: It says which keys the kind has.
    """
    for field in attrs.fields(type(made)):
        name = field.name
        if name != "kind" and name not in used and getattr(made, name) != field.default:
            keys = ", ".join(one.name for one in attrs.fields(type(made)) if one.name in used)
            raise ValueError(
                f"{name} changes nothing in a {what} of the kind {made.kind}, which has: {keys}"
            )
