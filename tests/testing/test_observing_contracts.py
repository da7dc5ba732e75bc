"""The suites of observers and interceptors pass what is right and fail what is not."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import pytest

from support.patience import scaled

HEAD = """
import collections, threading, time
from bee_core.errors import Unauthenticated
from bee_core.testing import InterceptorContract, ObserverContract
"""
SUITE = """
def make_{number}():
{body}
    return Plugin()

class Test{number}({kind}Contract):
    def make_{name}(self):
        return make_{number}()
"""


RIGHT_OBSERVERS = {
    "one that counts": """
        class Plugin:
            def __init__(self):
                self.running, self.lock = 0, threading.Lock()
            def call_started(self, call):
                call.add_metadata("traceparent", "00-1")
                call.add_baggage("tenant", "b")
                with self.lock:
                    self.running += 1
                return object()
            def call_ended(self, state, record):
                assert state is not None
                with self.lock:
                    self.running -= 1
        """,
    "one that remembers the last ones": """
        class Plugin:
            def __init__(self): self.last = collections.deque(maxlen=1000)
            def call_ended(self, state, record): self.last.append(record)
        """,
    "one that only looks at servers": """
        class Plugin:
            def server_changed(self, event): pass
        """,
}

BROKEN_OBSERVERS = {
    "waits": "class Plugin:\n    def call_ended(self, state, record): time.sleep(0.0001)",
    "is async": "class Plugin:\n    async def call_ended(self, state, record): ...",
    "observes nothing": "class Plugin:\n    def finished(self, record): ...",
    "takes too little": "class Plugin:\n    def request_ended(self, state, call): ...",
    "wants a node": ("class Plugin:\n    def call_ended(self, state, record): record.node.url"),
    "wants a failure or a success": (
        "class Plugin:\n    def request_ended(self, state, call, outcome, seconds): outcome.ok"
    ),
    "knows one call at a time": """
        class Plugin:
            current = None
            def call_started(self, call):
                assert self.current is None
                self.current = call
            def call_ended(self, state, record):
                self.current = None
        """,
    "ends in the order of the start": """
        class Plugin:
            def __init__(self): self.stack = []
            def request_started(self, call):
                self.stack.append(call)
                return call
            def request_ended(self, state, call, outcome, seconds):
                assert self.stack.pop() is state
        """,
    "changes the call": ("class Plugin:\n    def call_started(self, call): call.body = b'other'"),
    "keeps every call": """
        class Plugin:
            def __init__(self): self.kept = []
            def call_ended(self, state, record): self.kept.append(record)
        """,
    "keeps a number of every request": """
        class Plugin:
            def __init__(self): self.kept = []
            def request_ended(self, state, call, outcome, seconds): self.kept.append(seconds)
        """,
    "forgets no call that it began": """
        class Plugin:
            def __init__(self): self.under_way = {}
            def call_started(self, call): self.under_way[id(call)] = call
        """,
    "does not know an event": """
        class Plugin:
            def event(self, name, fields): {"breaker": 1}[name]
        """,
}

RIGHT_INTERCEPTORS = {
    "one that lets pass": """
        class Plugin:
            def enter(self, call): pass
            def exit(self, call, outcome): pass
        """,
    "one that refuses": """
        class Plugin:
            def enter(self, call):
                raise Unauthenticated("no")
            def exit(self, call, outcome):
                raise AssertionError("never entered")
        """,
}

BROKEN_INTERCEPTORS = {
    "has no exit": "class Plugin:\n    def enter(self, call): ...",
    "is async": (
        "class Plugin:\n    async def enter(self, call): ...\n"
        "    def exit(self, call, outcome): ..."
    ),
    "waits": (
        "class Plugin:\n    def enter(self, call): time.sleep(0.0001)\n"
        "    def exit(self, call, outcome): ..."
    ),
    "refuses by another error": (
        "class Plugin:\n    def enter(self, call): raise PermissionError('no')\n"
        "    def exit(self, call, outcome): ..."
    ),
    "wants an outcome": (
        "class Plugin:\n    def enter(self, call): ...\n"
        "    def exit(self, call, outcome): outcome.ok"
    ),
    "is left in the order of the start": """
        class Plugin:
            def __init__(self): self.stack = []
            def enter(self, call): self.stack.append(call)
            def exit(self, call, outcome): assert self.stack.pop() is call
        """,
    "keeps every call": """
        class Plugin:
            def __init__(self): self.kept = []
            def enter(self, call): self.kept.append(call)
            def exit(self, call, outcome): pass
        """,
    "answers instead": (
        "class Plugin:\n    def enter(self, call): return 'an answer'\n"
        "    def exit(self, call, outcome): ..."
    ),
}


CASES = {
    **{("Observer", name): body for name, body in (RIGHT_OBSERVERS | BROKEN_OBSERVERS).items()},
    **{
        ("Interceptor", name): body
        for name, body in (RIGHT_INTERCEPTORS | BROKEN_INTERCEPTORS).items()
    },
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """The tests of the suites that failed, by case; all suites run in one process of their own."""
    parts = [
        SUITE.format(
            number=number,
            kind=kind,
            name=kind.lower(),
            body=textwrap.indent(textwrap.dedent(body), "    "),
        )
        for number, ((kind, _), body) in enumerate(CASES.items())
    ]
    file = tmp_path_factory.mktemp("suites") / "test_suites.py"
    file.write_text(HEAD + "".join(parts))
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rfEp", "-p", "no:cacheprovider", file.name],
        cwd=file.parent,
        capture_output=True,
        text=True,
        timeout=scaled(50),
        check=False,
    )
    found = re.findall(r"^(PASSED|FAILED|ERROR) \S+?::Test(\d+)::(\w+)", ended.stdout, re.MULTILINE)
    cases = list(CASES)
    by_case = {case: [] for case in cases}
    for verdict, number, test in found:
        if verdict != "PASSED":
            by_case[cases[int(number)]].append(test)
    passed = sum(verdict == "PASSED" for verdict, _, _ in found)
    assert passed > 10 * len(CASES) / 2, ended.stdout[-2000:]
    return by_case


@pytest.mark.parametrize("name", RIGHT_OBSERVERS)
def test_an_observer_that_keeps_its_contract_passes(failed, name):
    assert failed["Observer", name] == []


@pytest.mark.parametrize("name", BROKEN_OBSERVERS)
def test_an_observer_that_breaks_its_contract_fails(failed, name):
    assert failed["Observer", name] != []


@pytest.mark.parametrize("name", RIGHT_INTERCEPTORS)
def test_an_interceptor_that_keeps_its_contract_passes(failed, name):
    assert failed["Interceptor", name] == []


@pytest.mark.parametrize("name", BROKEN_INTERCEPTORS)
def test_an_interceptor_that_breaks_its_contract_fails(failed, name):
    assert failed["Interceptor", name] != []
