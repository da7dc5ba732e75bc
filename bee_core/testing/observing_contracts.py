"""What observers and interceptors must do: take whatever a call can be, on many threads."""

from __future__ import annotations

import gc
import logging
import time
import tracemalloc
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from bee_core.contracts.conformance import misfits
from bee_core.contracts.endpoint import InboundCall, Peer
from bee_core.contracts.observation import implements
from bee_core.contracts.observers import CallRecord, Interceptor, Observer
from bee_core.errors import CallError, ServiceError
from bee_core.terms.causes import cancelled, local, lost
from bee_core.terms.failures import Success
from bee_core.terms.node import Node, Snapshot
from bee_core.terms.request import POSITIONAL, Request, RequestHead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bee_core.terms.failures import Failure, Outcome

NODE = Node("1", "tcp://10.0.0.1:9000")
OUTCOMES: tuple[Outcome | None, ...] = (
    Success(b"3"),
    lost("end of file"),
    local("overloaded", "too many calls"),
    cancelled("the caller gave up", sent=True),
    None,
)
EVENTS: tuple[tuple[str, dict[str, object]], ...] = (
    (
        "limiter",
        {"side": "client", "service": "calc", "method": "add", "state": "queued", "reason": ""},
    ),
    (
        "degradation",
        {"service": "calc", "method": "add", "state": "begun", "calls": 1, "error": "unavailable"},
    ),
    ("nodes", {"service": "calc", "listed": 3, "fitting": 2, "source": "registry"}),
    ("peer_refused", {"service": "calc", "kind": "unauthenticated", "reason": "no token"}),
    ("drained", {"service": "calc", "cancelled": 0}),
    ("service_left", {"service": "calc"}),
    ("news.of.tomorrow", {"service": "calc", "count": 3}),
)
ORDERS = (1, -1)
"""Calls end in the order in which they began, or the other way round."""
AT_A_TIME = 8
ROUNDS = 20
CALLS_KEPT = 1000
"""Calls that a plugin may remember: as many as bee's own flight recorder does."""
KEPT_BYTES = 4.0
"""Bytes that memory may grow a call, later on. The reference of one thing that is kept takes 8."""


class OutgoingCall(Request):
    """A client's call."""

    def __init__(self) -> None:
        head = RequestHead("calc", "Stats.mean", {"tenant": "a"})
        super().__init__(head, POSITIONAL, b"[1,2]", False, 30.0, 5.0, 10.0, 10.0)

    def fixed(self) -> tuple[object, ...]:
        """What nobody may change."""
        return (self.service, self.method, self.body, self.deadline, self.idempotent)


class IncomingCall(InboundCall):
    """A server's request."""

    def __init__(self) -> None:
        super().__init__(
            "calc", "Stats.mean", 30.0, {"tenant": "a"}, {}, "10.0.0.9:4711", b"key", lambda: 1.0
        )
        self.form, self.body, self.compressed, self.granted = POSITIONAL, b"[1,2]", False, 29.0
        self.id, self.accepted = 1, 1.0
        self.caller = Peer(self.peer, "json", None)

    def fixed(self) -> tuple[object, ...]:
        """What nobody may change."""
        return (self.service, self.method, self.body, self.deadline, self.caller)


CALLS: dict[str, Any] = {"client": OutgoingCall, "server": IncomingCall}


def record_of(outcome: Outcome | None, node: Node | None = NODE) -> CallRecord:
    """The record of a call that ended so."""
    failure: Failure | None = None
    if outcome is None:
        failure = cancelled("the caller gave up", sent=False)
    elif not outcome.ok:
        failure = outcome  # type: ignore[assignment]  # told apart by `ok`
    return CallRecord("calc", "Stats.mean", node, 0 if node is None else 2, 0.25, failure, False)


class _NeverWaits:
    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """The pauses that a plugin makes."""
        made: list[float] = []
        monkeypatch.setattr(time, "sleep", made.append)
        return made


def grows(work: Callable[[], object], forget: Callable[[], object]) -> float:
    """Bytes that are kept of each turn of some work, once :data:`CALLS_KEPT` turns are over.

    Args:
        work: One turn.
        forget: Empties what the test itself keeps of turns.
    """
    root, handlers = logging.getLogger(), logging.getLogger().handlers
    held: list[int] = []
    was_tracing = tracemalloc.is_tracing()
    root.handlers = []  # pytest's keep each line of the log
    tracemalloc.start()
    try:
        for _ in range(2):
            for _ in range(CALLS_KEPT):
                work()
            forget()
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        root.handlers = handlers
        if not was_tracing:
            tracemalloc.stop()
    return (held[1] - held[0]) / CALLS_KEPT


class ObserverContract(_NeverWaits):
    """Inherit, and say how to make the observer. What it does with the news is its own business."""

    def forget(self) -> None:
        """Empty what your test keeps of calls, such as an exporter in memory."""

    @abstractmethod
    def make_observer(self) -> Any:
        """A new observer with the options under test."""

    @pytest.fixture
    def observer(self) -> Any:
        """The observer of one test."""
        return self.make_observer()

    def tell(self, observer: Any, event: str, *news: Any) -> Any:
        """Tell the observer of an event, if it wants to hear of it."""
        return getattr(observer, event)(*news) if implements(observer, event) else None

    def call(
        self, observer: Any, outcome: Outcome | None, node: Node | None = NODE
    ) -> Iterator[Any]:
        """The events of one call, step by step."""
        call = OutgoingCall()
        fixed = call.fixed()
        yield (state := self.tell(observer, "call_started", call))
        if node is not None:
            self.tell(observer, "attempt_ended", state, call, node, lost("end of file"), 0.1)
            yield
            self.tell(observer, "attempt_ended", state, call, node, outcome, 0.1)
            yield
        self.tell(observer, "call_ended", state, record_of(outcome, node))
        assert call.fixed() == fixed

    def request(self, observer: Any, outcome: Outcome | None) -> Iterator[Any]:
        """The events of one request, step by step."""
        call = IncomingCall()
        fixed = call.fixed()
        yield (state := self.tell(observer, "request_started", call))
        self.tell(observer, "request_ended", state, call, outcome, 0.2)
        assert call.fixed() == fixed

    def test_it_has_the_methods_of_an_observer(self, observer: Any) -> None:
        assert misfits(observer, Observer) == ""

    @pytest.mark.parametrize("outcome", OUTCOMES, ids=repr)
    def test_it_takes_whatever_a_call_ends_with(
        self, observer: Any, outcome: Outcome | None
    ) -> None:
        list(self.call(observer, outcome))
        list(self.request(observer, outcome))

    @pytest.mark.parametrize("kind", ["overloaded", "deadline_exceeded", "method_not_found"])
    def test_it_takes_a_request_that_is_refused(self, observer: Any, kind: str) -> None:
        call = IncomingCall()
        fixed = call.fixed()
        self.tell(observer, "request_refused", call, local(kind, "no"))
        assert call.fixed() == fixed

    def test_it_takes_a_call_that_had_no_attempt(self, observer: Any) -> None:
        list(self.call(observer, local("unavailable", "no node"), None))

    @pytest.mark.parametrize("order", ORDERS)
    def test_calls_that_run_at_a_time_end_in_any_order(self, observer: Any, order: int) -> None:
        under_way = [
            *(self.call(observer, outcome) for outcome in OUTCOMES),
            *(self.request(observer, outcome) for outcome in OUTCOMES),
        ]
        while under_way:
            under_way = [one for one in under_way[::order] if next(one, self) is not self]

    def test_calls_run_on_many_threads(self, observer: Any) -> None:
        def work(number: int) -> None:
            for _ in range(ROUNDS):
                list(self.call(observer, OUTCOMES[number % len(OUTCOMES)]))
                list(self.request(observer, OUTCOMES[number % len(OUTCOMES)]))

        with ThreadPoolExecutor(AT_A_TIME) as threads:
            list(threads.map(work, range(AT_A_TIME)))

    def test_it_takes_news_of_breakers_nodes_registries_and_servers(self, observer: Any) -> None:
        self.tell(observer, "breaker_changed", "calc", NODE, "closed", "open")
        self.tell(observer, "nodes_changed", "calc", Snapshot(1, "registry", (NODE,)))
        self.tell(observer, "nodes_changed", "calc", Snapshot(2, "cache", ()))
        self.tell(observer, "registry_changed", "calc", "registry_out_of_reach", "refused")
        for event in ("serving", "draining", "stopped"):
            self.tell(observer, "server_changed", event)
        for name, fields in EVENTS:
            self.tell(observer, "event", name, fields)

    def test_what_it_exposes_is_a_media_type_and_a_body(self, observer: Any) -> None:
        if not hasattr(observer, "exposition"):
            return  # it shows nothing over HTTP, which is right too
        under_way = self.call(observer, OUTCOMES[0])
        next(under_way)
        for accept in ("", "*/*", "text/plain;version=0.0.4, */*;q=0.1", "never heard of"):
            kind, body = observer.exposition(accept)
            assert type(kind) is str
            assert "/" in kind
            assert kind.isprintable()
            assert type(body) is bytes
        list(under_way)

    def test_it_does_not_keep_more_and_more_of_calls_that_are_over(self, observer: Any) -> None:
        refusal = local("overloaded", "no")

        def work() -> None:
            list(self.call(observer, OUTCOMES[0]))
            list(self.request(observer, OUTCOMES[0]))
            self.tell(observer, "request_refused", IncomingCall(), refusal)

        growth = grows(work, self.forget)
        assert growth < KEPT_BYTES, f"the observer keeps {growth:.1f} bytes of each call for ever"

    def test_it_never_waits(self, observer: Any, pauses: list[float]) -> None:
        list(self.call(observer, OUTCOMES[0]))
        list(self.request(observer, OUTCOMES[0]))
        self.test_it_takes_news_of_breakers_nodes_registries_and_servers(observer)
        assert pauses == []


class InterceptorContract(_NeverWaits):
    """Inherit, and say how to make the interceptor and where it stands.

    The suite does not check which calls it refuses.
    """

    sides: tuple[str, ...] = ("client", "server")
    """Where it is used."""

    def forget(self) -> None:
        """Empty what your test keeps of calls, such as an exporter in memory."""

    @abstractmethod
    def make_interceptor(self) -> Interceptor:
        """A new interceptor with the options under test."""

    @pytest.fixture
    def interceptor(self) -> Interceptor:
        """The interceptor of one test."""
        return self.make_interceptor()

    def steps(self, interceptor: Interceptor, side: str, outcome: Outcome | None) -> Iterator[Any]:
        """One call: entered and left, or refused."""
        call = CALLS[side]()
        fixed = call.fixed()
        try:
            answer: Any = interceptor.enter(call)  # type: ignore[func-returns-value]
        except (CallError, ServiceError):
            assert call.fixed() == fixed
            return
        assert answer is None
        yield
        assert interceptor.exit(call, outcome) is None  # type: ignore[func-returns-value]
        assert call.fixed() == fixed

    def test_it_has_the_methods_of_an_interceptor(self, interceptor: Interceptor) -> None:
        assert misfits(interceptor, Interceptor) == ""

    @pytest.mark.parametrize("outcome", OUTCOMES, ids=repr)
    def test_a_call_is_entered_and_left_or_refused_by_a_call_error(
        self, interceptor: Interceptor, outcome: Outcome | None
    ) -> None:
        for side in self.sides:
            list(self.steps(interceptor, side, outcome))

    @pytest.mark.parametrize("order", ORDERS)
    def test_calls_that_run_at_a_time_end_in_any_order(
        self, interceptor: Interceptor, order: int
    ) -> None:
        under_way = [
            self.steps(interceptor, side, outcome) for side in self.sides for outcome in OUTCOMES
        ]
        while under_way:
            under_way = [one for one in under_way[::order] if next(one, self) is not self]

    def test_calls_run_on_many_threads(self, interceptor: Interceptor) -> None:
        def work(number: int) -> None:
            for _ in range(ROUNDS):
                for side in self.sides:
                    list(self.steps(interceptor, side, OUTCOMES[number % len(OUTCOMES)]))

        with ThreadPoolExecutor(AT_A_TIME) as threads:
            list(threads.map(work, range(AT_A_TIME)))

    def test_it_does_not_keep_more_and_more_of_calls_that_are_over(
        self, interceptor: Interceptor
    ) -> None:
        def work() -> None:
            for side in self.sides:
                list(self.steps(interceptor, side, OUTCOMES[0]))

        growth = grows(work, self.forget)
        assert growth < KEPT_BYTES, f"the interceptor keeps {growth:.1f} bytes of each call"

    def test_it_never_waits(self, interceptor: Interceptor, pauses: list[float]) -> None:
        for side in self.sides:
            list(self.steps(interceptor, side, OUTCOMES[0]))
        assert pauses == []
