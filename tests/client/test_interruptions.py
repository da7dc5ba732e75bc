"""An exception at any line between taking a connection and giving it back (Ctrl-C, a signal's).

It leaves no socket, permit or waiting entry behind, and touches nothing that is somebody else's.
"""

import asyncio
import ctypes
import signal
import socket
import threading
from functools import partial

import pytest

import bee_core
from bee_core.client.interruptions import is_interruption
from bee_core.contracts.effects import Attempt
from bee_core.errors import PluginFault
from bee_core.interfaces import Failure
from bee_core.streams.client import busy_poll
from bee_core.streams.client.blocking_channel import BlockingChannel
from bee_plugins.transports.tcp import TcpTransport
from support.every_line import EveryLine, Injected, SoftTimeLimitError, handled_signal
from support.stream_peers import request

STRETCH = (
    "streams/client/blocking_channel.py",
    "streams/client/blocking_connection.py",
    "streams/client/leaving.py",
    "streams/client/blocking_socket.py",
    "streams/client/busy_poll.py",
    "streams/client/native_connection.py",
    "streams/client/outcomes.py",
    "streams/client/request_head.py",
    "client/blocking_driver.py",
    "calls/flow.py",
    "calls/picking.py",
    "limiters/fixed.py",
    "calls/turns.py",
)
TRIAL = (
    "calls/flow.py",
    "calls/picking.py",
    "client/blocking_driver.py",
    "breakers/consecutive.py",
)
WAIT = ("calls/flow.py", "calls/turns.py", "client/blocking_driver.py", "limiters/fixed.py")
LIMITER = {"name": "fixed", "options": {"max_in_flight": 1, "max_queue": 0}}
LARGE = "x" * 400_000


class Service:
    @bee_core.nonblocking
    def echo(self, text: str) -> str:
        return text

    @bee_core.nonblocking
    def fail(self) -> None:
        raise ValueError("no")

    @bee_core.nonblocking
    def log(self, text: str) -> None:
        pass


@pytest.fixture(scope="module")
def address():
    server = bee_core.build_server(
        {
            "bee": {
                "rpc": {
                    "server": {
                        "name": "s",
                        "address": "tcp://127.0.0.1:0",
                        "codecs": [{"name": "json", "options": {"max_size": "8m"}}],
                    }
                }
            }
        }
    )
    server.add(Service())
    with server.in_thread():
        yield server.address


class Rig:
    """A blocking client, and all sockets that it has ever opened."""

    def __init__(self, address, monkeypatch, **more):
        self.sockets = []
        dial = TcpTransport.dial

        def remembered(transport, url, timeout):
            sock = dial(transport, url, timeout)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)  # far less than LARGE
            self.sockets.append(sock)
            return sock

        monkeypatch.setattr(TcpTransport, "dial", remembered)
        self.client = bee_core.build_client(
            {
                "bee": {
                    "rpc": {
                        "client": {
                            "s": {
                                "address": address,
                                "timeout": 20,
                                "read_timeout": 10,
                                "compress": "none",
                                "retries": 1,
                                "codec": {"name": "json", "options": {"max_size": "8m"}},
                                "limiter": LIMITER,
                                **more,
                            }
                        }
                    }
                }
            }
        )
        self.proxy = self.client.service("s")
        self.proxy.echo("first")
        (state,) = self.client.assembly.services["s"].nodes.states.values()
        self.channel = state.attempt.channel

    def forget_connections(self):
        for connection in self.channel.idle.clear():
            connection.close()

    def check(self):
        """Nothing is left behind, and each open socket is in the pool, once."""
        idle = self.channel.idle.connections
        assert not self.channel.active
        assert not busy_poll.waiting
        assert all(connection.request is None for connection in idle)
        assert len(set(map(id, idle))) == len(idle)
        opened = {sock.fileno() for sock in self.sockets if sock.fileno() >= 0}
        assert opened == {connection.fileno() for connection in idle}


@pytest.fixture
def rig(address, monkeypatch):
    busy_poll.waiting.clear()
    made = Rig(address, monkeypatch)
    with made.client:
        yield made


def failing(proxy):
    with pytest.raises(bee_core.errors.RemoteError):
        proxy.fail()


CALLS = {
    "a call": lambda proxy: proxy.echo("a"),
    "a large call": lambda proxy: proxy.echo(LARGE),
    "a call that fails": failing,
    "a oneway call": lambda proxy: proxy.with_options(oneway=True).log("a"),
    "a call with metadata": lambda proxy: proxy.with_options(metadata={"a": b"1"}).echo("a"),
}


@pytest.fixture(autouse=True)
def signals():
    with handled_signal():
        yield


@pytest.mark.parametrize("kind", [Injected, SoftTimeLimitError])
@pytest.mark.parametrize("pooled", [True, False], ids=["pooled", "new connection"])
@pytest.mark.parametrize("name", CALLS)
def test_an_exception_at_any_line_of_a_call_leaves_nothing_behind(rig, name, pooled, kind):
    """It reaches the caller as itself, also where it is an ``Exception`` and an ``OSError``."""
    call, lines, at, seen = CALLS[name], EveryLine(*STRETCH, kind=kind), 0, set()
    while True:
        rig.proxy.echo("ready")
        if not pooled:
            rig.forget_connections()
        reached = lines.run(lambda: call(rig.proxy), at)
        try:
            rig.check()
            assert rig.proxy.echo("next") == "next"
            rig.check()
        except Exception as error:
            raise AssertionError(f"after an exception at {lines.passed[at:][:1]}") from error
        if not reached:
            break
        seen.add(lines.passed[at])
        at += 1
    # It went through the stretch, and not past it.
    assert len({line.partition(":")[0] for line in seen}) >= 6
    assert at > 60


def test_a_half_open_node_does_not_lose_its_one_permit(address, monkeypatch):
    """A trial that is interrupted ends without a verdict, and the next call is the next trial."""
    rig = Rig(
        address, monkeypatch, breaker={"name": "consecutive", "options": {"max_error_count": 1}}
    )
    with rig.client:
        (state,) = rig.client.assembly.services["s"].nodes.states.values()
        lines, at = EveryLine(*TRIAL), 0
        while True:
            state.breaker.settle(
                state.breaker.admit(0.0), Failure("x", "x", "no", "same", "node"), 0.0, 0.0
            )
            state.breaker.probed(True, 0.0)
            assert state.breaker.state == "half-open"
            reached = lines.run(lambda: rig.proxy.echo("a"), at)
            where = lines.passed[at:][:1]
            try:
                assert rig.proxy.echo("next") == "next"
            except bee_core.errors.CircuitOpen as error:
                raise AssertionError(f"the permit was lost at {where}") from error
            assert state.breaker.state == "closed"
            if not reached:
                break
            at += 1
        assert at > 30


def test_a_call_in_the_limiters_queue_leaves_it(address, monkeypatch):
    rig = Rig(
        address,
        monkeypatch,
        limiter={
            "name": "fixed",
            "options": {"max_in_flight": 1, "max_queue": 1, "queue_timeout": 0.01},
        },
    )
    with rig.client:
        limiter = rig.client.assembly.services["s"].limiter
        lines, at = EveryLine(*WAIT), 0

        def refused():
            with pytest.raises(bee_core.errors.Overloaded):
                rig.proxy.echo("waits")

        while True:
            assert limiter.admit(None, 0.0) is True
            reached = lines.run(refused, at)
            limiter.release(None, 0.0)
            assert rig.proxy.echo("next") == "next", f"after {lines.passed[at:][:1]}"
            if not reached:
                break
            at += 1
        assert at > 20


@pytest.mark.parametrize("oneway", [False, True])
def test_a_cancelled_task_leaves_nothing_behind(address, oneway):
    """Cancelled at each turn of the loop, on a new connection and on one that is there."""

    async def calls():
        configured = {"bee": {"rpc": {"client": {"s": {"address": address, "limiter": LIMITER}}}}}
        async with bee_core.build_async_client(configured) as client:
            proxy = client.service("s")
            service = client.assembly.services["s"]
            turns = 0
            while True:
                method = proxy.with_options(oneway=True).log if oneway else proxy.echo
                task = asyncio.ensure_future(method("a"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                ended = task.done()
                task.cancel()
                await asyncio.wait([task])
                attempts = [state.attempt for state in service.nodes.states.values()]
                lanes = [lane for attempt in attempts if attempt for lane in attempt.channel.lanes]
                assert all(lane.waiting == 0 for lane in lanes), turns
                assert await proxy.echo("next") == "next"
                if ended:
                    return turns
                turns += 1

    assert asyncio.run(calls()) >= 3


def test_an_exception_after_the_connection_is_free_does_not_touch_its_next_owner(rig, monkeypatch):
    """A cancel that comes late must not close a connection that another call has by then."""
    release, others = BlockingChannel.release, []

    def release_and_lose(channel, connection, usable):
        release(channel, connection, usable)
        if not others:
            others.append(other := request(read_timeout=10.0))
            assert channel.start(other) is connection
            raise KeyboardInterrupt

    monkeypatch.setattr(BlockingChannel, "release", release_and_lose)
    with pytest.raises(KeyboardInterrupt):
        rig.proxy.echo("mine")
    monkeypatch.undo()
    (other,) = others
    assert other.pending is not None
    assert other.pending.wait().kind == "method_not_found", "the other call has its own answer"
    rig.check()


@pytest.mark.parametrize("keeps", [True, False], ids=["request.pending", "no request.pending"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_waits_on_a_channel_is_cancelled_once(rig, monkeypatch, keeps, error):
    """Also where a channel does not note in ``request.pending`` what it has begun."""

    class Foreign:
        cancelled = 0

        def start(self, request):
            if keeps:
                request.pending = self
            return self

        def wait(self, seconds=None):
            raise error

        def cancel(self):
            Foreign.cancelled += 1

    (state,) = rig.client.assembly.services["s"].nodes.states.values()
    monkeypatch.setattr(state, "attempt", Attempt(Foreign()))
    with pytest.raises(PluginFault if error is ValueError else error):
        rig.proxy.echo("a")
    assert Foreign.cancelled >= 1
    monkeypatch.undo()
    assert rig.proxy.echo("next") == "next"


class Handlers:
    """Ways to write a handler of a signal."""

    def method(self, number, frame):
        raise TimeoutError

    def __call__(self, number, frame):
        raise TimeoutError


def of_two(first, number, frame):
    raise TimeoutError


@pytest.mark.parametrize(
    "handler",
    [Handlers().method, Handlers(), partial(of_two, 1)],
    ids=["method", "object", "partial"],
)
def test_what_any_handler_of_signals_raises_is_an_interruption_while_it_is_installed(handler):
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(TimeoutError) as caught:
            signal.raise_signal(signal.SIGUSR1)
        assert is_interruption(caught.value)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not is_interruption(caught.value)
    assert not is_interruption(TimeoutError())


def test_an_exception_that_another_thread_sets_leaves_nothing_behind(rig):
    """It comes in the middle of a wait; it has to be a BaseException."""

    class Stop(BaseException):
        pass

    ident = threading.get_ident()
    ended = threading.Event()

    def stop():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(Stop))
        ended.set()

    echo, calls = rig.proxy.echo, 0
    thread = threading.Thread(target=stop)
    try:
        thread.start()
        while calls < 100_000:
            echo("a")
            calls += 1
    except Stop:
        pass
    finally:
        thread.join()
    assert calls < 100_000
    rig.check()
    assert echo("next") == "next"
