"""Each plugin that the life of a client's call reaches is broken in turn, with both clients.

After each: one ``CallError`` or the result, in time; the limiter's permit, the breaker's permit, the
balancer's pick and the sockets are back; a result that was there is returned.

The methods come from the contracts, so a new one is swept too, or has to be named as one that no
call reaches.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager

import attrs
import pytest

from bee_core.contracts.observation import Interception, Observation
from bee_core.errors import CallError, PluginFault
from bee_core.hookspecs import hookimpl
from bee_core.interfaces import (
    AsyncChannel,
    AsyncPending,
    Balancer,
    Breaker,
    Breakers,
    Channel,
    Compressor,
    Fallback,
    FaultTolerance,
    Interceptor,
    Limiter,
    MethodCodec,
    Observer,
    Pending,
    Ticket,
    Transport,
)
from bee_core.streams.client.blocking_channel import BlockingChannel
from bee_core.streams.client.blocking_connection import BlockingConnection
from bee_core.streams.client.multiplexed_channel import MultiplexedChannel
from bee_core.testing import AnyCall
from bee_plugins.balancers.round_robin import RoundRobin
from bee_plugins.breakers.consecutive import Consecutive, ConsecutiveBreaker
from bee_plugins.codecs.msgspec_codec import DynamicMethod
from bee_plugins.compressors.gzip_compressor import GzipCompressor, GzipOptions
from bee_plugins.fallbacks.static import Static
from bee_plugins.fault_tolerance.failtry import FailTry
from bee_plugins.limiters.fixed import Fixed, FixedOptions, QueuedCall
from bee_plugins.transports.tcp import TcpTransport
from faults.descriptors import open_sockets
from faults.services import Calculator, serving
from faults.users import BOTH, client_config, make_user
from support.patience import PATIENCE, scaled
from support.ports import fixed_port

TIMEOUT = 1.0
SLACK = 1.0
TEXT = "a" * 3000


class Bug(Exception):
    """What a broken plugin raises."""


class Counting(RoundRobin):
    """A balancer that counts its picks which have not ended."""

    def __init__(self):
        super().__init__()
        self.under_way = 0

    def pick(self, key, tried, now, rng):
        node = super().pick(key, tried, now, rng)
        self.under_way += node is not None
        return node

    def settle(self, node, outcome, seconds, now):
        self.under_way -= 1


class Noting(Fixed):
    """A limiter whose queue can be watched."""

    def __init__(self, options):
        super().__init__(options)
        self.queued = threading.Semaphore(0)

    def admit(self, request, now):
        answer = super().admit(request, now)
        if answer is not True:
            self.queued.release()
        return answer


class OwnGzip(GzipCompressor):
    """The client's compressor, so that what is broken there is not broken at the server."""


class ClientPlugins:
    @hookimpl
    def bee_register_balancers(self, registry):
        registry.add("counting", Counting)

    @hookimpl
    def bee_register_limiters(self, registry):
        registry.add("noting", Noting, options=FixedOptions)

    @hookimpl
    def bee_register_compressors(self, registry):
        registry.add("squeeze", OwnGzip, options=GzipOptions)


class ServerPlugins:
    @hookimpl
    def bee_register_compressors(self, registry):
        registry.add("squeeze", GzipCompressor, options=GzipOptions)


class Watcher:
    """An observer of a client's calls, all of whose methods are there."""

    def call_started(self, call):
        return "state"

    def attempt_ended(self, state, call, node, outcome, seconds):
        assert state == "state"

    def call_ended(self, state, record):
        assert state == "state"


class Gate:
    """An interceptor."""

    def enter(self, call):
        pass

    def exit(self, call, outcome):
        pass


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """The breaker is asked for each call and told of each: no permit stands."""
    never = property(lambda self: None, lambda self, permit: None)
    monkeypatch.setattr(ConsecutiveBreaker, "standing", never)


# ── what is swept ──

CONTRACTS = (
    Balancer,
    Breakers,
    Breaker,
    FaultTolerance,
    Limiter,
    Ticket,
    MethodCodec,
    Compressor,
    Fallback,
    Observer,
    Interceptor,
    Transport,
)
OF_DRIVER = {"blocking": (Channel, Pending), "asyncio": (AsyncChannel, AsyncPending)}

NO_CALL_REACHES = {
    Balancer: {"update"},  # when the list or a breaker changes
    Breakers: {"sweep"},  # the control plane's
    Breaker: {"probed"},  # the prober's
    MethodCodec: {"decode_args", "encode_result"},  # the server's
    Observer: {
        "request_refused",
        "request_started",
        "request_ended",
        "breaker_changed",
        "nodes_changed",
        "registry_changed",
        "server_changed",
        "event",
    },  # no events of a call
    Transport: {"listen"},  # the server's
    Channel: {"ping", "close", "retire", "discard_after_fork"},  # a node's life, not a call's
    AsyncChannel: {"ping", "close", "retire"},
    Pending: {"cancel", "fileno"},  # where a wait is given up, and for races
    AsyncPending: {"cancel"},
}

GIVES_BACK = {
    (Balancer, "settle"),
    (Breaker, "settle"),
    (Limiter, "release"),
    (Ticket, "leave"),
}
"""Broken after they have done their work: what they keep themselves nobody can give back."""

RESULT_STAYS = {
    (Balancer, "settle"),
    (Breaker, "settle"),
    (Limiter, "release"),
    (Observer, "call_started"),
    (Observer, "attempt_ended"),
    (Observer, "call_ended"),
    (Interceptor, "exit"),
}
"""Whatever these do, the call has its result."""

RAN = {(MethodCodec, "decode_result"): "yes", (Compressor, "decompress"): "yes"}
MAYBE = {"start", "wait"}


def methods_of(contract):
    """The methods that a contract has: functions, and attributes that are called."""
    annotated = {
        name
        for name, hint in vars(contract).get("__annotations__", {}).items()
        if "Callable" in str(hint)
    }
    written = {name for name, found in vars(contract).items() if callable(found) and name[0] != "_"}
    return sorted(annotated | written)


def callees(kind):
    for contract in (*CONTRACTS, *OF_DRIVER[kind]):
        for name in methods_of(contract):
            if name in NO_CALL_REACHES.get(contract, ()):
                continue
            if (contract, name) == (
                Transport,
                "async_channel" if kind == "blocking" else "channel",
            ):
                continue  # the other client's
            yield contract, name


SWEEP = [
    pytest.param(kind, contract, name, how, id=f"{kind}-{contract.__name__}.{name}-{how}")
    for kind in BOTH
    for contract, name in callees(kind)
    for how in (
        ("raises",)
        if (contract, name) in RESULT_STAYS or (contract, name) in GIVES_BACK
        else ("raises", "returns None", "returns a text")
    )
]


CLASSES = {
    Balancer: Counting,
    Breakers: Consecutive,
    Breaker: ConsecutiveBreaker,
    FaultTolerance: FailTry,
    Limiter: Noting,
    Ticket: QueuedCall,
    MethodCodec: DynamicMethod,
    Compressor: OwnGzip,
    Fallback: Static,
    Observer: Watcher,
    Interceptor: Gate,
    Transport: TcpTransport,
    Channel: BlockingChannel,
    Pending: BlockingConnection,
    AsyncChannel: MultiplexedChannel,
}
"""What implements each contract here; the server has none of these but for the codec."""


# ── one client, one of whose plugins is broken ──


@attrs.define
class Sabotage:
    """Replaces a method of a class while it is on."""

    contract: type
    name: str
    how: str
    on: bool = False
    reached: int = 0

    def put_into(self, cls, monkeypatch):
        real = getattr(cls, self.name)

        def broken(*args, **kwargs):
            if not self.on:
                return real(*args, **kwargs)
            self.reached += 1
            if (self.contract, self.name) in GIVES_BACK:
                real(*args, **kwargs)
            if self.how == "is interrupted":
                signal.raise_signal(signal.SIGUSR1)
            if self.how == "raises":
                raise Bug("a bug")
            return None if self.how == "returns None" else "a text"

        monkeypatch.setattr(cls, self.name, broken)


class World:
    """A client of a server, with a plugin of every kind."""

    def __init__(self, kind, url, sabotage, monkeypatch):
        self.sabotage = sabotage
        self.fails = sabotage.contract in {FaultTolerance, Fallback}
        sabotage.put_into(CLASSES[sabotage.contract], monkeypatch)
        fallback = {"name": "static", "options": {"value": 7}}
        config = client_config(
            f"127.0.0.1:{fixed_port()}" if self.fails else url,
            timeout=TIMEOUT,
            retries=1,
            balancer="counting",
            fail="failtry",
            breaker={"name": "consecutive", "options": {"max_error_count": 1000}},
            limiter={"name": "noting", "options": {"max_in_flight": 1}},
            compress="squeeze",
            compress_above="1k",
            **({"fallback": fallback} if sabotage.contract is Fallback else {}),
        )
        self.user = make_user(kind, config, [ClientPlugins()])
        self.service = self.user.client.assembly.services["calc"]
        self.faults = self.service.faults
        service = self.service
        service.observation = Observation([Watcher()], self.faults)
        service.interception = Interception([Gate()], self.faults)
        service.staged = service.told = service.attentive = True

    def call(self):
        if self.sabotage.contract is Ticket:
            return self.queued()
        return self.user.call("echo", TEXT)

    def queued(self):
        """A call that waits for its turn; for ``leave`` it waits in vain."""
        limiter = self.service.limiter
        assert limiter.admit(AnyCall("calc", "echo"), 0.0) is True
        call = self.user.start("echo", TEXT)
        try:
            assert limiter.queued.acquire(timeout=PATIENCE), "the call does not wait for its turn"
            if self.sabotage.name == "leave":
                call.exception(PATIENCE)
        finally:
            limiter.release(None, 0.0)
        return call.result(PATIENCE)

    def assert_nothing_is_lost(self):
        limiter, balancer = self.service.limiter, self.service.balancer
        assert limiter.admit(AnyCall("calc", "echo"), 0.0) is True, "the limiter's permit is lost"
        limiter.release(None, 0.0)
        assert balancer.under_way == 0, "a pick was not settled"
        for state in self.service.nodes.states.values():
            if getattr(state.breaker, "admit", None) is not None:
                permit = state.breaker.admit(0.0)
                assert permit is not None, "the breaker's permit is lost"
                state.breaker.settle(permit, None, 0.0, 0.0)


@pytest.fixture(scope="module")
def server():
    codec = {"name": "json", "options": {"max_size": "2k"}}  # so that its replies are compressed
    with serving(Calculator(), [ServerPlugins()], codecs=codec, compressors="squeeze") as running:
        yield running


@contextmanager
def broken_client(kind, server, sabotage, monkeypatch):
    world = World(kind, server.address, sabotage, monkeypatch)
    try:
        yield world
    finally:
        sabotage.on = False
        world.user.close()


@pytest.mark.parametrize(("kind", "contract", "name", "how"), SWEEP)
def test_a_plugin_that_is_broken_in_a_call(server, monkeypatch, caplog, kind, contract, name, how):
    before = open_sockets()
    sabotage = Sabotage(contract, name, how)
    with broken_client(kind, server, sabotage, monkeypatch) as world:
        cold = contract is Transport or (contract, name) == (Breakers, "node")
        if not (cold or world.fails):
            assert world.user.call("echo", TEXT) == TEXT
        sabotage.on = True
        began = time.monotonic()
        value, error = outcome_of(world.call)
        assert time.monotonic() - began < scaled(TIMEOUT + SLACK)
        assert sabotage.reached, "no call reaches it: say so in NO_CALL_REACHES"
        sabotage.on = False
        # A fallback may raise what it likes, its contract says.
        assert error is None or isinstance(error, CallError) or contract is Fallback
        if (contract, name) in RESULT_STAYS:
            assert (value, error) == (TEXT, None)
            assert sum("Bug" in record.message for record in caplog.records) == 1
            assert "test_contained_plugins.py:" in caplog.text
        elif how == "raises" and contract not in {FaultTolerance, Fallback, Ticket}:
            assert isinstance(error, PluginFault)
            assert isinstance(error.__cause__, Bug)
            assert error.plugin
            expected = "maybe" if name in MAYBE else RAN.get((contract, name), "no")
            assert error.executed == expected
            assert sum("Bug" in record.message for record in caplog.records) == 1
        world.assert_nothing_is_lost()
        if not world.fails:
            assert world.user.call("echo", TEXT) == TEXT, "the client works again"
    eventually(lambda: open_sockets() <= before)


INTERRUPTED = [
    pytest.param(contract, name, id=f"{contract.__name__}.{name}")
    for contract, name in callees("blocking")
    if contract is not Ticket  # its call waits on a thread, and signals are the main thread's
]


@pytest.mark.parametrize("error", [Bug, TimeoutError, KeyboardInterrupt])
@pytest.mark.parametrize(("contract", "name"), INTERRUPTED)
def test_what_a_handler_of_signals_raises_in_a_plugin_reaches_the_caller_as_itself(
    server, monkeypatch, caplog, contract, name, error
):
    """It is no fault of the plugin's, and nothing is lost."""

    def raises(number, frame):
        raise error("time is up")

    before, previous = open_sockets(), signal.signal(signal.SIGUSR1, raises)
    sabotage = Sabotage(contract, name, "is interrupted")
    try:
        with broken_client("blocking", server, sabotage, monkeypatch) as world:
            if not (contract is Transport or (contract, name) == (Breakers, "node") or world.fails):
                assert world.user.call("echo", TEXT) == TEXT
            sabotage.on = True
            with pytest.raises(error, match="time is up") as caught:
                world.call()
            assert type(caught.value) is error
            assert sabotage.reached
            sabotage.on = False
            assert "PluginFault" not in caplog.text
            assert f"{name} raised" not in caplog.text
            world.assert_nothing_is_lost()
            if not world.fails:
                assert world.user.call("echo", TEXT) == TEXT, "the client works again"
    finally:
        signal.signal(signal.SIGUSR1, previous)
    eventually(lambda: open_sockets() <= before)


def outcome_of(call):
    try:
        return call(), None
    except Exception as error:
        return None, error


def eventually(holds):
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.005)
