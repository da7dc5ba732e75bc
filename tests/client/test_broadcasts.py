"""``fail: broadcast`` and ``fail: failbackup`` as an application meets them."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Protocol

import pytest

import bee_core
from bee_core.client import beginnings
from bee_core.errors import ConfigError, Unavailable
from bee_plugins.transports.tcp import TcpTransport
from faults.services import serving
from faults.users import BlockingUser, FutureUser, client_config
from support.patience import PATIENCE
from support.plugin_objects import offering
from support.ports import fixed_port

CLIENTS = {"blocking": BlockingUser, "futures": FutureUser}


class Cache:
    def __init__(self, number):
        self.number = number
        self.emptied = 0

    def empty(self) -> int:
        self.emptied += 1
        return self.number

    def size(self) -> int:
        return 0


class Caches(Protocol):
    def empty(self) -> int: ...


class AsyncCaches(Protocol):
    async def empty(self) -> int: ...


@pytest.fixture
def caches():
    with ExitStack() as stack:
        made = [Cache(number) for number in range(5)]
        servers = [stack.enter_context(serving(cache)) for cache in made]
        yield made, [server.address for server in servers]


def config(urls, **settings):
    return client_config(*urls, methods={"empty": {"fail": "broadcast", **settings}})


@pytest.mark.parametrize("kind", CLIENTS)
def test_every_node_is_called_once(caches, kind):
    made, urls = caches
    user = CLIENTS[kind](config(urls))
    try:
        assert user.call("empty") == 0
        assert [cache.emptied for cache in made] == [1] * 5
    finally:
        user.close()


def test_a_typed_proxy_keeps_its_type_and_detailed_has_all_answers(caches):
    made, urls = caches
    with bee_core.build_client(config(urls)) as client:
        proxy: Caches = client.service("calc", Caches)
        assert proxy.empty() == 0
        reply = bee_core.detailed(proxy.empty)
        assert dict(reply.answers) == {
            url: cache.number for url, cache in zip(urls, made, strict=True)
        }
        assert (reply.value, reply.attempts) == (0, 5)


def test_an_asyncio_client_has_the_same(caches):
    made, urls = caches

    async def main():
        async with bee_core.build_async_client(config(urls)) as client:
            proxy = client.service("calc", AsyncCaches)
            assert await proxy.empty() == 0
            return await bee_core.detailed(proxy.empty)

    reply = asyncio.run(main())
    assert sorted(reply.answers.values()) == [0, 1, 2, 3, 4]
    assert [cache.emptied for cache in made] == [2] * 5


def test_other_methods_go_to_one_node_and_have_no_answers(caches):
    _, urls = caches
    with bee_core.build_client(config(urls)) as client:
        reply = bee_core.detailed(client.service("calc").size)
        assert (reply.value, reply.attempts, dict(reply.answers)) == (0, 1, {})


@pytest.mark.parametrize(("percent", "fails"), [(0, True), (16, True), (17, False)])
def test_fail_percent_says_how_many_nodes_may_fail(caches, percent, fails):
    made, urls = caches
    dead = f"tcp://127.0.0.1:{fixed_port()}"
    fail = {"name": "broadcast", "options": {"fail_percent": percent, "base": 0.001}}
    with bee_core.build_client(config([*urls, dead], fail=fail)) as client:
        proxy = client.service("calc")
        if fails:
            with pytest.raises(Unavailable, match="1 of 6 nodes failed") as caught:
                proxy.empty()
            assert caught.value.node.url == dead
            assert caught.value.executed == "yes"
        else:
            assert dead not in bee_core.detailed(proxy.empty).answers
        assert [cache.emptied for cache in made] == [1] * 5


def test_a_oneway_broadcast_reaches_every_node(caches):
    made, urls = caches
    with bee_core.build_client(config(urls, oneway=True)) as client:
        assert client.service("calc").empty() is None
    until = time.monotonic() + PATIENCE
    while [cache.emptied for cache in made] != [1] * 5:
        assert time.monotonic() < until, "a node has not heard of it"
        time.sleep(0.005)


def test_a_trace_tells_each_attempt(caches):
    _, urls = caches
    with bee_core.build_client(config(urls)) as client:
        trace = client.trace("calc", "empty")
        assert sorted(step.node.url for step in trace.steps) == sorted(urls)
        assert {(step.kind, step.decision) for step in trace.steps} == {
            ("attempt", "take its answer")
        }


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("broadcast", {"fail_percent": 101}),
        ("broadcast", {"fail_percent": -1}),
        ("failbackup", {"budget": 0.2}),
        ("failbackup", {"budget": 0.001}),
        ("failbackup", {"delay": 0}),
        ("failbackup", {"percentile": 100}),
        ("failbackup", {"percentile": 10}),
        ("failbackup", {"delay": 0.1, "percentile": 95}),
        ("failbackup", {"base": 0}),
    ],
)
def test_an_option_out_of_range_is_an_error_with_its_path(name, options):
    fail = {"name": name, "options": options}
    with pytest.raises(ConfigError) as caught:
        bee_core.build_client(client_config("127.0.0.1:1", fail=fail))
    assert caught.value.path.startswith("bee.rpc.client.calc.fail.options")


def test_failbackup_hedges_a_slow_call_of_an_idempotent_method():
    release = threading.Event()

    class Slow:
        def get(self) -> str:
            release.wait(10)
            return "slow"

    class Quick:
        def get(self) -> str:
            return "quick"

    class InOrder:
        """A balancer that begins with the first node."""

        settle = None

        def update(self, ready):
            self.ready = ready

        def pick(self, key, tried, now, rng):
            return next((node for node in self.ready if node.id not in tried), None)

    with serving(Slow()) as slow, serving(Quick()) as quick:
        fail = {"name": "failbackup", "options": {"delay": 0.5}}
        settings = client_config(
            slow.address, quick.address, fail=fail, idempotent=True, balancer="in-order"
        )
        plugins = [offering("balancer", "in-order", InOrder)]
        with bee_core.build_client(settings, plugins=plugins) as client:
            reply = bee_core.detailed(client.service("calc").get)
            release.set()
    assert (reply.value, reply.attempts) == ("quick", 2)


@pytest.fixture
def dialing(monkeypatch):
    """Set to a function that is called with each address before it is dialed."""
    before, hooks = TcpTransport.dial, []

    def dial(self, url, timeout):
        for hook in hooks:
            hook(url)
        return before(self, url, timeout)

    monkeypatch.setattr(TcpTransport, "dial", dial)
    return hooks


def test_nodes_that_hang_while_a_client_connects_do_not_wait_for_each_other(caches, dialing):
    made, urls = caches
    together = threading.Barrier(3)  # passes when all three are being connected to

    def hang(url):
        if url in urls[:3]:
            together.wait(PATIENCE)
            raise TimeoutError

    dialing.append(hang)
    fail = {"name": "broadcast", "options": {"fail_percent": 60}}
    with bee_core.build_client(config(urls, retries=0, fail=fail)) as client:
        reply = bee_core.detailed(client.service("calc").empty)
    assert dict(reply.answers) == {urls[3]: 3, urls[4]: 4}
    assert [cache.emptied for cache in made] == [0, 0, 0, 1, 1]


def test_nodes_that_are_connected_need_no_thread(caches, monkeypatch):
    made, urls = caches
    with bee_core.build_client(config(urls)) as client:
        assert client.service("calc").empty() == 0
        monkeypatch.setattr(beginnings, "Thread", None)
        assert client.service("calc").empty() == 0
    assert [cache.emptied for cache in made] == [2] * 5


def test_where_no_thread_can_start_one_node_is_connected_to_after_the_other(caches, monkeypatch):
    class NoThread:
        def __init__(self, **settings):
            pass

        def start(self):
            raise RuntimeError("can't start new thread")

    made, urls = caches
    monkeypatch.setattr(beginnings, "Thread", NoThread)
    with bee_core.build_client(config(urls)) as client:
        assert client.service("calc").empty() == 0
    assert [cache.emptied for cache in made] == [1] * 5


def test_what_a_signal_raises_while_nodes_are_connected_to_leaves_nothing_behind(caches, dialing):
    _, urls = caches
    go_on, entered = threading.Event(), threading.Semaphore(0)

    class Interrupted(BaseException):
        pass

    class Interrupting(SimpleQueue):
        """The wait of the caller is interrupted, once all threads are in their dials."""

        def get(self, *args, **more):
            for _ in urls:
                assert entered.acquire(timeout=PATIENCE)
            raise Interrupted

    def hang(url):
        entered.release()
        assert go_on.wait(PATIENCE)

    dialing.append(hang)
    with (
        pytest.MonkeyPatch.context() as patch,
        bee_core.build_client(config(urls)) as client,
    ):
        patch.setattr(beginnings, "SimpleQueue", Interrupting)
        with pytest.raises(Interrupted):
            client.service("calc").empty()
        patch.undo()
        threads = [one for one in threading.enumerate() if one.name == "bee-broadcast"]
        assert len(threads) == len(urls)
        go_on.set()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        channels = [
            state.attempt.channel
            for state in client.assembly.services["calc"].nodes.states.values()
        ]
        assert [len(channel.active) for channel in channels] == [0] * 5
        assert client.service("calc").empty() == 0
