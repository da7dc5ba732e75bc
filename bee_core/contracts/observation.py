"""The observers and the interceptors of one service or server, as the core calls them.

Their methods are collected once, at build. What they raise stays here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import CallError, ServiceError
from .observers import CallRecord, Interceptor, Observer
from .plugin_faults import PluginFaults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..terms.failures import Failure, Outcome
    from ..terms.node import Node, Snapshot
    from ..terms.request import Request
    from .endpoint import InboundCall
    from .policies import BreakerState

    Collected = tuple[tuple[int, Callable[..., Any]], ...]


def _unheard() -> PluginFaults:
    return PluginFaults(lambda _: None, lambda: 0.0)


class Observation:
    """The observers of a service or of a server. Thread-safe.

    Args:
        observers: The observers, in the order of the configuration.
        faults: Says what an observer raised, now and then.
        contained: The exceptions of observers that go no further. At a client an interrupt (Ctrl-C,
            ``sys.exit()`` in a handler of signals) may come in the middle of any line and must go
            on, so it is ``Exception`` there. At a server it is ``BaseException``.

    Attributes:
        of_calls: Whether any observer wants ``call_started`` or ``call_ended``.
        of_attempts: Whether any wants ``attempt_ended``.
        of_refusals: Whether any wants ``request_refused``.
        of_requests: Whether any wants ``request_started`` or ``request_ended``.
        of_events: Whether any wants ``event``.
    """

    __slots__ = (
        "_contained",
        "_faults",
        "_methods",
        "_observers",
        "of_attempts",
        "of_calls",
        "of_events",
        "of_refusals",
        "of_requests",
    )

    def __init__(
        self,
        observers: Sequence[object] = (),
        faults: PluginFaults | None = None,
        contained: type[BaseException] = Exception,
    ) -> None:
        self._observers = tuple(observers)
        self._faults = faults or _unheard()
        self._contained = contained
        self._methods: Mapping[str, Collected] = {
            name: _collected(self._observers, name)
            for name, member in vars(Observer).items()
            if callable(member) and not name.startswith("_")
        }
        wanted = {name for name, collected in self._methods.items() if collected}
        self.of_attempts = "attempt_ended" in wanted
        self.of_calls = self.of_attempts or bool(wanted & {"call_started", "call_ended"})
        self.of_refusals = "request_refused" in wanted
        self.of_requests = bool(wanted & {"request_started", "request_ended"})
        self.of_events = "event" in wanted

    def call_started(self, call: Request) -> Sequence[Any]:
        """A client begins a call. Returns the states to hand to the later events of this call."""
        return self._start("call_started", call)

    def attempt_ended(
        self,
        states: Sequence[Any],
        call: Request,
        node: Node,
        outcome: Outcome | None,
        seconds: float,
    ) -> None:
        """See :meth:`bee_core.interfaces.Observer.attempt_ended`."""
        self._follow("attempt_ended", states, call, node, outcome, seconds)

    def call_ended(self, states: Sequence[Any], record: CallRecord) -> None:
        """See :meth:`bee_core.interfaces.Observer.call_ended`."""
        self._follow("call_ended", states, record)

    def request_refused(self, call: InboundCall, failure: Failure) -> None:
        """See :meth:`bee_core.interfaces.Observer.request_refused`."""
        self._tell("request_refused", call, failure)

    def request_started(self, call: InboundCall) -> Sequence[Any]:
        """A server accepted a request. Returns the states to hand to :meth:`request_ended`."""
        return self._start("request_started", call)

    def request_ended(
        self, states: Sequence[Any], call: InboundCall, outcome: Outcome | None, seconds: float
    ) -> None:
        """See :meth:`bee_core.interfaces.Observer.request_ended`."""
        self._follow("request_ended", states, call, outcome, seconds)

    def breaker_changed(
        self, service: str, node: Node, before: BreakerState, after: BreakerState
    ) -> None:
        """See :meth:`bee_core.interfaces.Observer.breaker_changed`."""
        self._tell("breaker_changed", service, node, before, after)

    def nodes_changed(self, service: str, snapshot: Snapshot) -> None:
        """See :meth:`bee_core.interfaces.Observer.nodes_changed`."""
        self._tell("nodes_changed", service, snapshot)

    def registry_changed(self, service: str, event: str, reason: str) -> None:
        """See :meth:`bee_core.interfaces.Observer.registry_changed`."""
        self._tell("registry_changed", service, event, reason)

    def server_changed(self, event: str) -> None:
        """See :meth:`bee_core.interfaces.Observer.server_changed`."""
        self._tell("server_changed", event)

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """See :meth:`bee_core.interfaces.Observer.event`."""
        self._tell("event", name, fields)

    def limited(self, side: str, service: str, method: str, state: str, reason: str) -> None:
        """A limiter has queued or refused a call or a request: ``event("limiter", …)``."""
        fields = {
            "side": side,
            "service": service,
            "method": method,
            "state": state,
            "reason": reason,
        }
        self.event("limiter", fields)

    def exposition(self, accept: str) -> tuple[str, bytes] | None:
        """What the first observer exposes that exposes something; None where none does.

        See :meth:`bee_core.interfaces.Exposing.exposition`.

        Raises:
            PluginFault: It raised, or returned something else.
        """
        for observer in self._observers:
            expose = getattr(observer, "exposition", None)
            if expose is None:
                continue
            try:
                found = expose(accept)
                kind, body = found
                sound = type(kind) is str and type(body) is bytes and kind.isprintable()
            except Exception as error:
                raise self._faults.fault(observer, "exposition", error) from error
            if not sound:
                problem = f"returned {found!r:.80}, which is no media type and bytes"
                raise self._faults.wrong(observer, "exposition", problem)
            return kind, body
        return None

    def wants(self, name: str) -> bool:
        """Whether an observer has this method of :class:`.observers.Exposing`."""
        return any(hasattr(observer, name) for observer in self._observers)

    def tell_exposing(self, name: str, *news: Any) -> None:
        """Tell those observers that have it of an event of :class:`.observers.Exposing`."""
        for observer in self._observers:
            told = getattr(observer, name, None)
            if told is not None:
                try:
                    told(*news)
                except self._contained as error:
                    self._faults.said(observer, name, error)

    def without(self, other: Observation) -> Observation:
        """Those of these observers that another one has not."""
        known = {id(observer) for observer in other._observers}
        rest = [observer for observer in self._observers if id(observer) not in known]
        return Observation(rest, self._faults, self._contained)

    def after_fork(self) -> None:
        """In a forked child: tell the observers that want to know."""
        for observer in self._observers:
            self._faults.renew_after_fork(observer)

    def _start(self, name: str, call: Any) -> Sequence[Any]:
        states: list[Any] = [None] * len(self._observers)
        for index, told in self._methods[name]:
            try:
                states[index] = told(call)
            except self._contained as error:  # noqa: PERF203  each for itself
                self._faults.said(self._observers[index], name, error)
        return states

    def _follow(self, name: str, states: Sequence[Any], *news: Any) -> None:
        for index, told in self._methods[name]:
            try:
                told(states[index] if states else None, *news)
            except self._contained as error:  # noqa: PERF203  each for itself
                self._faults.said(self._observers[index], name, error)

    def _tell(self, name: str, *news: Any) -> None:
        for index, told in self._methods[name]:
            try:
                told(*news)
            except self._contained as error:  # noqa: PERF203  each for itself
                self._faults.said(self._observers[index], name, error)


def _collected(observers: Sequence[object], name: str) -> Collected:
    return tuple(
        (index, getattr(observer, name))
        for index, observer in enumerate(observers)
        if implements(observer, name)
    )


def implements(observer: object, name: str) -> bool:
    """Whether an observer has a method of its own; what it inherits from ``Observer`` is none."""
    found = getattr(observer, name, None)
    return found is not None and getattr(found, "__func__", found) is not vars(Observer)[name]


class Interception:
    """The interceptors of a service or of a server, entered in order and left in reverse.

    Args:
        interceptors: The interceptors, in the order of the configuration.
        faults: Says what an ``exit`` raised, now and then.
        contained: The exceptions that go no further: see :class:`Observation`.

    Attributes:
        count: How many there are; 0 means that nothing has to be called.
    """

    __slots__ = ("_chain", "_contained", "_faults", "count")

    def __init__(
        self,
        interceptors: Sequence[Interceptor] = (),
        faults: PluginFaults | None = None,
        contained: type[BaseException] = Exception,
    ) -> None:
        self._chain = tuple((one, one.enter, one.exit) for one in interceptors)
        self._faults = faults or _unheard()
        self._contained = contained
        self.count = len(self._chain)

    def enter(self, call: Any) -> tuple[int, CallError | ServiceError | None]:
        """Enter each interceptor, until one refuses the call.

        Returns:
            How many were entered, for :meth:`exit`; and the error that refuses the call, or None.

        Raises:
            BaseException: An interruption of the caller. Those that were entered are left.
        """
        index = 0
        try:
            for index, (interceptor, enter, _) in enumerate(self._chain):
                try:
                    enter(call)
                except (CallError, ServiceError) as refusal:  # noqa: PERF203  each for itself
                    return index, refusal
                except self._contained as error:
                    return index, self._faults.fault(interceptor, "enter", error)
        except BaseException:
            self.exit(call, None, index)
            raise
        return self.count, None

    def exit(self, call: Any, outcome: Outcome | None, entered: int) -> None:
        """Leave the interceptors that were entered, the last one first.

        Args:
            call: The call.
            outcome: How it ended.
            entered: What :meth:`enter` returned.

        Raises:
            BaseException: An interruption of the caller, once all were left.
        """
        interruption: BaseException | None = None
        for interceptor, _, leave in reversed(self._chain[:entered]):
            try:
                try:
                    leave(call, outcome)
                except self._contained as error:
                    self._faults.said(interceptor, "exit", error)
            except BaseException as error:  # noqa: PERF203  each for itself
                interruption = error
        if interruption is not None:
            raise interruption
