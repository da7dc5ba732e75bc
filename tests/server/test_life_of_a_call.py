"""Whatever raises in the life of a call: one answer, and everything comes back.

The sweep lists the functions that a server calls for one request, from the request's frame to its
answer. Then the same request comes again, once for each of them, with that function raising.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import threading
import time
import types
from typing import Any

import pytest

from bee_core.config import ServerConfig
from bee_core.contracts.observation import Interception, Observation
from bee_core.contracts.size_rule import HEAVY, SizeRule
from bee_core.interfaces import InboundCall, Peer
from bee_core.server import (
    accepted_call,
    answers,
    endpoint,
    faults,
    first_step,
    hooked_call,
    in_flight,
    memory_waits,
    queue_place,
    running_call,
)
from bee_core.server.endpoint import ServiceEndpoint
from bee_core.server.handlers import BoundHandler
from bee_core.server.limiters import Limiters
from bee_core.server.threads import HandlerThreads
from bee_core.wire.messages import HelloAck
from support.patience import PATIENCE


class Bug(Exception):
    pass


class Halt(BaseException):
    pass


class Codec:
    def decode_args(self, form, body):
        return (), {}

    def encode_result(self, value):
        return b"r" * value


class Compressor:
    def compress(self, body):
        return b"small"

    def decompress(self, body, limit):
        return b"inflated"


class Ticket:
    timeout = PATIENCE

    def __init__(self, limiter) -> None:
        self.limiter = limiter
        self.permitted = False

    def on_admitted(self, callback) -> None:
        self.limiter.waiting.append((self, callback))

    def leave(self) -> bool:
        self.limiter.waiting = [place for place in self.limiter.waiting if place[0] is not self]
        return not self.permitted


class Limiter:
    """One permit; the test takes it first, so that the call has to wait."""

    def __init__(self) -> None:
        self.free = 1
        self.waiting: list[Any] = []

    def admit(self, *_):
        if self.free:
            self.free -= 1
            return True
        return Ticket(self)

    def release(self, outcome, seconds) -> None:
        self.next()

    def hold(self) -> bool:
        """Take the permit, for the test."""
        self.free -= 1
        return True

    def next(self) -> None:
        if self.waiting:
            ticket, callback = self.waiting.pop(0)
            ticket.permitted = True
            callback()
        else:
            self.free += 1


class Observer:
    def __init__(self) -> None:
        self.outcomes: list[Any] = []

    def request_started(self, call):
        return "state"

    def request_ended(self, state, call, outcome, seconds) -> None:
        self.outcomes.append(outcome)


class Interceptor:
    def enter(self, call) -> None:
        pass

    def exit(self, call, outcome) -> None:
        pass


class Call(InboundCall):
    __slots__ = ("answers", "broken", "oneway")

    def __init__(self, *, oneway=False, compressed=False, body=b"") -> None:
        super().__init__("calc", "one", None, {}, {}, "peer", None, time.monotonic)
        self.id = 1
        self.form = 0
        self.body = body
        self.compressed = compressed
        self.granted = 3600.0  # a call that is lost must not end by its deadline
        self.caller = Peer("peer", "json", "zip")
        self.oneway = oneway
        self.answers = []

    def reply(self, body, compressed, *_, **__) -> None:
        self.answers.append("reply")

    def fail(self, failure) -> None:
        self.answers.append(failure)


class Life:
    """A server's endpoint with plugins of the test, on the running loop."""

    def __init__(self, function, kind, *, limited=False, hooked=False) -> None:
        self.limiter = Limiter() if limited else None
        self.threads = HandlerThreads("calc", 2)
        self.codec, self.compressor = Codec(), Compressor()
        self.observer = Observer()
        rules = {
            name: SizeRule(self.compressor, max_size=1000, max_inflated=10_000_000, name="zip")
            for name in (None, "zip")
        }
        self.endpoint = ServiceEndpoint(
            HelloAck("calc", "1.0", b"epoch"),
            {"json": {"one": BoundHandler(function, kind, self.codec)}},
            rules,
            self.threads,
            settings=ServerConfig(name="calc", max_in_flight=2, send_tracebacks=True),
            limiters=Limiters(self.limiter),
            clock=time.monotonic,
            codecs={"json": self.codec},
            interceptors=Interception([Interceptor()] if hooked else [], contained=BaseException),
            observers=Observation([self.observer] if hooked else [], contained=BaseException),
        )

    async def call(self, **request) -> list[Any]:
        """The answers to a request, once nothing is in flight."""
        call = Call(**request)
        held = self.limiter is not None and self.limiter.hold()
        self.endpoint.begin(call)
        if held:
            self.limiter.next()
        assert await self.endpoint.flight.wait_quiet(PATIENCE), "it is in flight for ever"
        return call.answers

    async def assert_well(self) -> None:
        """Nothing is lost, and the next call works."""
        flight = self.endpoint.flight
        assert (flight.count, flight.watched) == (0, {})
        if self.limiter is not None:
            assert (self.limiter.free, self.limiter.waiting) == (1, [])
        threads = [one for one in threading.enumerate() if one.name.startswith("bee-calc-")]
        assert await self.call() == ["reply"]
        assert (flight.count, flight.watched) == (0, {})
        assert all(thread.is_alive() for thread in threads)

    def close(self) -> None:
        began = time.monotonic()
        assert self.endpoint.close(PATIENCE) == []
        assert time.monotonic() - began < PATIENCE / 2


async def run_async():
    return 1


def run_def():
    return 1


async def run_heavy():
    return HEAVY


def return_awaitable():
    return run_async()


LIVES = {
    "async": (run_async, "async", {}, {}),
    "def": (run_def, "threaded", {}, {}),
    "nonblocking": (run_def, "nonblocking", {}, {}),
    "async, limited": (run_async, "async", {"limited": True}, {}),
    "def, limited": (run_def, "threaded", {"limited": True}, {}),
    "nonblocking, limited": (run_def, "nonblocking", {"limited": True}, {}),
    "async, oneway": (run_async, "async", {}, {"oneway": True}),
    "def, oneway": (run_def, "threaded", {"limited": True}, {"oneway": True}),
    "nonblocking, oneway": (run_def, "nonblocking", {}, {"oneway": True}),
    "async, hooked": (run_async, "async", {"hooked": True}, {}),
    "nonblocking, hooked": (run_def, "nonblocking", {"hooked": True}, {}),
    "def, hooked and limited": (run_def, "threaded", {"hooked": True, "limited": True}, {}),
    "compressed": (run_async, "async", {}, {"compressed": True, "body": b"b"}),
    "compressed and heavy": (run_def, "threaded", {}, {"compressed": True, "body": bytes(HEAVY)}),
    "a heavy result": (run_heavy, "async", {}, {}),
    "a heavy result of a nonblocking": (lambda: HEAVY, "nonblocking", {}, {}),
    "a heavy result of a def": (lambda: HEAVY, "threaded", {}, {}),
    "an awaitable": (return_awaitable, "threaded", {}, {}),
    "an awaitable of a nonblocking": (return_awaitable, "nonblocking", {}, {}),
    "an awaitable, oneway": (return_awaitable, "threaded", {}, {"oneway": True}),
}

ROOMS = (
    accepted_call,
    answers,
    endpoint,
    faults,
    first_step,
    hooked_call,
    in_flight,
    memory_waits,
    queue_place,
    running_call,
)
GUARDS = {
    # What begins a life, and is called by the transport.
    "ServiceEndpoint.begin",
    "AcceptedCall.begin",
    # They only set attributes.
    "RunningCall.__init__",
    "QueuePlace.__init__",
    # What catches, answers and gives back: they call all the others, and have no work of their own.
    "AcceptedCall._step",
    "AcceptedCall._broke",
    "RunningCall._end",
    "RunningCall._work",
    "RunningCall.go_on",
    "HandlerThreads._work",
    "Answers.send",
    "Faults.fault",
    "Faults.failure_of",
    "Answers.release",
    "Answers.on_loop",
    "InFlight.ended",
    "QueuePlace.leave",
    "HookedCall.exit",
    "HookedCall.ended",
}


TAKE_BACK = {"Ticket.leave"}
"""Raises once its work is done: nobody can tell what a ticket holds that cannot be given up."""


@contextlib.contextmanager
def patched(make, raising: str | None = None, error: BaseException | None = None):
    """What ``make`` makes, while each function is listed; the one that is named raises once.

    The functions are found in the modules, so a new one is not forgotten.
    """
    called: dict[str, None] = {}
    undo = []
    armed: list[BaseException | None] = []

    def wrap(name, function):
        def before():
            if sys._getframe(2).f_globals["__name__"].startswith("asyncio"):  # noqa: SLF001  # as documented
                return  # the test waits
            called[name] = None
            if name == raising and armed:
                raise armed.pop()

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            if name not in TAKE_BACK:
                before()
                return function(*args, **kwargs)
            try:
                return function(*args, **kwargs)
            finally:
                before()

        return wrapped

    owners: list[Any] = [Codec, Compressor, Limiter, Ticket, Observer, Interceptor, Call, SizeRule]
    owners += [HandlerThreads]
    for room in ROOMS:
        owners.append(room)
        owners += [
            value
            for value in vars(room).values()
            if isinstance(value, type) and value.__module__ == room.__name__
        ]
    for owner in owners:
        for name, value in list(vars(owner).items()):
            if isinstance(value, types.FunctionType) and not (
                isinstance(owner, types.ModuleType) and value.__module__ != owner.__name__
            ):
                if name.startswith("__") and name != "__init__":
                    continue
                prefix = "" if isinstance(owner, types.ModuleType) else f"{owner.__name__}."
                undo.append((owner, name, value))
                setattr(owner, name, wrap(prefix + name, value))
    # What the loop and the system do for a call.
    loop = asyncio.get_running_loop()
    for name in ("create_task", "call_later"):
        setattr(loop, name, wrap(f"loop.{name}", getattr(loop, name)))
    undo.append((threading.Thread, "start", threading.Thread.start))
    threading.Thread.start = wrap("Thread.start", threading.Thread.start)
    try:
        subject = make()
        called.clear()
        if error is not None:
            armed.append(error)
        yield subject, called
    finally:
        for owner, name, value in undo:
            setattr(owner, name, value)
        for name in ("create_task", "call_later"):
            delattr(loop, name)


# What a function of the test does for it, and what only a test calls.
OURS = {
    "Limiter.__init__",
    "Limiter.hold",
    "Limiter.next",
    "Ticket.__init__",
    "Call.__init__",
    "InFlight.wait_quiet",
}


def callees(life) -> list[str]:
    function, kind, parts, request = LIVES[life]

    async def main():
        with patched(lambda: Life(function, kind, **parts)) as (subject, called):
            assert await subject.call(**request) == ["reply"]
        await subject.assert_well()
        subject.close()
        return list(called)

    return [name for name in asyncio.run(main()) if name not in OURS | GUARDS]


@pytest.mark.parametrize("error", [Bug, Halt], ids=["Exception", "BaseException"])
@pytest.mark.parametrize("life", LIVES)
def test_whatever_raises_there_is_one_answer_and_nothing_is_lost(life, error):
    function, kind, parts, request = LIVES[life]
    names = callees(life)
    assert len(names) >= 3, "the sweep finds no functions"

    async def main():
        for name in names:
            make = functools.partial(Life, function, kind, **parts)
            with patched(make, name, error("a bug")) as (subject, called):
                got = await subject.call(**request)
            assert name in called, f"{name} was not called again"
            assert len(got) == 1, f"{name} raised: {got}"
            await subject.assert_well()
            subject.close()

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["async", "threaded"])
def test_an_observer_hears_what_the_caller_was_told_as_the_deadline_came(kind):
    done = threading.Event()

    async def wait():
        await asyncio.Event().wait()

    async def main():
        life = Life(wait if kind == "async" else done.wait, kind, hooked=True)
        call = Call()
        call.granted = 0.001
        life.endpoint.begin(call)
        while not call.answers:  # noqa: ASYNC110  # the call tells nobody else
            await asyncio.sleep(0.001)
        done.set()
        assert await life.endpoint.flight.wait_quiet(PATIENCE)
        life.close()
        (answer,) = call.answers[:1]
        assert answer.kind == "deadline_exceeded"
        assert life.observer.outcomes == [answer]

    asyncio.run(main())
