"""Observers are told in order, interceptors stand around a call, and what they raise stays there."""

from __future__ import annotations

import pytest

from bee_core.contracts.observation import Interception, Observation
from bee_core.contracts.plugin_faults import PluginFaults
from bee_core.errors import Overloaded, PluginFault, ServiceError
from bee_core.interfaces import Observer, PluginOrigin

BLAME = PluginOrigin("observer", "tracing", "bee-tracing", "1.0", "/srv/tracing.py", 3)


def faults(lines):
    return PluginFaults(lines.append, lambda: 1.0, lambda _: BLAME)


class Recording:
    """Hears of everything, and keeps it."""

    def __init__(self, name, heard):
        self.name, self.heard = name, heard

    def __getattr__(self, event):
        if event not in vars(Observer) or event.startswith("_"):
            raise AttributeError(event)

        def told(*news):
            self.heard.append((self.name, event, *news))
            return f"state of {self.name}"

        return told


class Raising:
    """Raises, whatever it is told."""

    def __init__(self, error):
        self.error = error

    def __getattr__(self, event):
        if event.startswith("_"):
            raise AttributeError(event)

        def told(*news):
            raise self.error

        return told


EVENTS = {
    "request_refused": ("request", "failure"),
    "breaker_changed": ("calc", "node", "closed", "open"),
    "nodes_changed": ("calc", "snapshot"),
    "registry_changed": ("calc", "registry_in_reach", ""),
    "server_changed": ("serving",),
    "event": ("degradation.began", {"service": "calc"}),
}


def test_each_observer_gets_the_state_that_it_returned():
    heard = []
    told = Observation([Recording("a", heard), Recording("b", heard)])
    states = told.call_started("call")
    told.attempt_ended(states, "call", "node", "outcome", 0.1)
    told.call_ended(states, "record")
    states = told.request_started("request")
    told.request_ended(states, "request", "outcome", 0.2)
    assert heard == [
        ("a", "call_started", "call"),
        ("b", "call_started", "call"),
        ("a", "attempt_ended", "state of a", "call", "node", "outcome", 0.1),
        ("b", "attempt_ended", "state of b", "call", "node", "outcome", 0.1),
        ("a", "call_ended", "state of a", "record"),
        ("b", "call_ended", "state of b", "record"),
        ("a", "request_started", "request"),
        ("b", "request_started", "request"),
        ("a", "request_ended", "state of a", "request", "outcome", 0.2),
        ("b", "request_ended", "state of b", "request", "outcome", 0.2),
    ]


@pytest.mark.parametrize(("event", "news"), EVENTS.items())
def test_every_event_reaches_every_observer(event, news):
    heard = []
    getattr(Observation([Recording("a", heard), Recording("b", heard)]), event)(*news)
    assert heard == [("a", event, *news), ("b", event, *news)]


def test_every_event_of_the_contract_can_be_told():
    events = {
        name for name, member in vars(Observer).items() if name[0] != "_" and callable(member)
    }
    assert {name for name in vars(Observation) if name[0] != "_"} >= events


class Ends:
    def call_ended(self, state, record):
        self.state = state


def test_an_observer_that_wants_no_start_has_no_state():
    one = Ends()
    told = Observation([Recording("a", []), one])
    told.call_ended(told.call_started("call"), "record")
    assert one.state is None
    told.call_ended((), "record")  # of a call that nobody observed from its start


@pytest.mark.parametrize(
    ("methods", "wanted"),
    [
        ((), (False, False, False, False)),
        (("call_started",), (True, False, False, False)),
        (("call_ended",), (True, False, False, False)),
        (("attempt_ended",), (True, True, False, False)),
        (("request_started",), (False, False, True, False)),
        (("request_ended",), (False, False, True, False)),
        (("request_refused",), (False, False, False, True)),
        (("breaker_changed", "event"), (False, False, False, False)),
    ],
)
def test_what_nobody_wants_to_hear_is_known_at_build(methods, wanted):
    observer = type("Some", (Observer,), {name: lambda *news: None for name in methods})()
    told = Observation([observer])
    assert (told.of_calls, told.of_attempts, told.of_requests, told.of_refusals) == wanted


@pytest.mark.parametrize(
    "error", [RuntimeError("no"), type("Mute", (Exception,), {"__str__": lambda self: 1 / 0})()]
)
def test_an_observer_that_raises_is_said_once_for_each_method_and_the_others_hear_all(error):
    heard, lines = [], []
    told = Observation([Raising(error), Recording("b", heard)], faults(lines))
    for _ in range(3):
        states = told.call_started("call")
        told.attempt_ended(states, "call", "node", None, 0.1)
        told.call_ended(states, "record")
        for event, news in EVENTS.items():
            getattr(told, event)(*news)
    assert len(heard) == 3 * (3 + len(EVENTS))
    assert states[0] is None
    assert len(lines) == 3 + len(EVENTS)
    assert lines[0].startswith(
        f"observer 'tracing' of bee-tracing 1.0: call_started raised {type(error).__name__}"
    )
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_an_interrupt_goes_on_at_a_client_and_not_at_a_server(error):
    lines = []
    with pytest.raises(type(error)):
        Observation([Raising(error)], faults(lines)).call_started("call")
    Observation([Raising(error)], faults(lines), BaseException).request_started("call")
    assert len(lines) == 1


# ── what observers expose ──


class Exposing:
    def __init__(self, *found, error=None):
        self.found, self.error, self.heard = found, error, []

    def exposition(self, accept):
        if self.error is not None:
            raise self.error
        return self.found if len(self.found) != 1 else self.found[0]

    def worker_ended(self, pid):
        self.heard.append(pid)
        raise KeyError(pid)


def test_the_first_observer_that_exposes_something_is_asked():
    first, second = Exposing("text/plain", b"1"), Exposing("text/plain", b"2")
    assert Observation([Raising(KeyError()).error, first, second]).exposition("") == (
        "text/plain",
        b"1",
    )
    assert Observation([Recording("a", [])]).exposition("") is None


@pytest.mark.parametrize(
    "found",
    [(None,), (b"text",), ("text/plain", "text"), ("a\r\nb: c", b""), ("a", b"", 3)],
)
def test_what_is_no_media_type_and_body_is_a_fault_that_names_the_observer(found):
    lines = []
    with pytest.raises(PluginFault, match="observer 'tracing'"):
        Observation([Exposing(*found)], faults(lines)).exposition("")
    assert len(lines) == 1


def test_an_exposition_that_raises_is_a_fault_and_news_of_workers_are_contained():
    lines = []
    observers = [Exposing(error=KeyError("x")), Recording("a", [])]
    told = Observation(observers, faults(lines))
    with pytest.raises(PluginFault, match="exposition raised KeyError"):
        told.exposition("")
    told.tell_exposing("worker_ended", 7)
    told.tell_exposing("workers_begin")
    assert observers[0].heard == [7]
    assert len(lines) == 2


# ── interceptors ──


class Gate:
    def __init__(self, name, trace, refuses=None, breaks=None):
        self.name, self.trace = name, trace
        self.refuses, self.breaks = refuses, breaks

    def enter(self, call):
        self.trace.append(f"enter {self.name}")
        if self.refuses is not None:
            raise self.refuses

    def exit(self, call, outcome):
        self.trace.append(f"exit {self.name} {outcome}")
        if self.breaks is not None:
            raise self.breaks


def test_interceptors_are_left_in_reverse_order():
    trace = []
    chain = Interception([Gate("a", trace), Gate("b", trace)])
    entered, refusal = chain.enter("call")
    assert (entered, refusal, chain.count) == (2, None, 2)
    chain.exit("call", "ok", entered)
    assert trace == ["enter a", "enter b", "exit b ok", "exit a ok"]


def test_a_call_error_refuses_the_call_and_only_those_that_were_entered_are_left():
    trace, refusal = [], Overloaded("later")
    chain = Interception([Gate("a", trace), Gate("b", trace, refusal), Gate("c", trace)])
    assert chain.enter("call") == (1, refusal)
    chain.exit("call", "refused", 1)
    assert trace == ["enter a", "enter b", "exit a refused"]


def test_anything_else_that_enter_raises_is_a_fault_of_the_plugin():
    error = KeyError("x")
    chain = Interception([Gate("a", [], error)], faults([]))
    entered, fault = chain.enter("call")
    assert entered == 0
    assert isinstance(fault, PluginFault)
    assert (fault.plugin, fault.distribution, fault.executed) == (
        "observer 'tracing'",
        "bee-tracing",
        "no",
    )
    assert fault.__cause__ is error
    assert __file__ in str(fault)


def test_an_exit_that_raises_is_said_once_and_the_others_are_left():
    trace, lines = [], []
    chain = Interception([Gate("a", trace), Gate("b", trace, breaks=KeyError("x"))], faults(lines))
    for _ in range(2):
        chain.exit("call", "ok", 2)
    assert trace == ["exit b ok", "exit a ok"] * 2
    (line,) = lines
    assert "exit raised KeyError: 'x'" in line


class Alarm(Exception):  # as programs name what their handler of signals raises
    pass


def test_a_log_that_raises_costs_a_line_and_an_interruption_of_it_goes_on():
    def complain(line):
        raise raised.pop()

    trace, raised = [], [Alarm(), OSError("no space left on device")]
    told = PluginFaults(complain, lambda: 1.0, lambda _: BLAME, lambda e: isinstance(e, Alarm))
    chain = Interception([Gate("a", trace, breaks=KeyError("x"))], told)
    chain.exit("call", "ok", 1)
    assert len(raised) == 1
    chain = Interception([Gate("b", trace, breaks=KeyError("x"))], told)
    with pytest.raises(Alarm):
        chain.exit("call", "ok", 1)
    assert trace == ["exit a ok", "exit b ok"]


@pytest.mark.parametrize("refusal", [Overloaded("later"), ServiceError("QUOTA", "enough")])
def test_both_kinds_of_errors_refuse_a_call(refusal):
    assert Interception([Gate("a", [], refusal)]).enter("call") == (0, refusal)


class Stop(BaseException):
    """What a handler of signals raises."""


def test_an_interruption_of_enter_leaves_those_that_were_entered_and_goes_on():
    trace, stop = [], Stop()
    chain = Interception([Gate("a", trace), Gate("b", trace), Gate("c", trace, stop)])
    with pytest.raises(Stop) as caught:
        chain.enter("call")
    assert caught.value is stop
    assert trace == ["enter a", "enter b", "enter c", "exit b None", "exit a None"]


def test_an_interruption_of_exit_goes_on_once_the_others_were_left():
    trace, stop = [], Stop()
    chain = Interception([Gate("a", trace), Gate("b", trace, breaks=stop)])
    with pytest.raises(Stop) as caught:
        chain.exit("call", "ok", 2)
    assert caught.value is stop
    assert trace == ["exit b ok", "exit a ok"]
