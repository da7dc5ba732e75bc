"""``client.reload``: another configuration, whole or not at all, without losing a call."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from contextlib import ExitStack
from types import ModuleType
from typing import Protocol

import attrs
import pytest

import bee_core
from bee_core.errors import CallCancelled, ConfigError, PluginError, Unavailable
from bee_core.testing import MemoryRegistry
from support.patience import scaled

PATIENCE = scaled(10.0)


class Calc(Protocol):
    def add(self, a: int, b: int) -> int: ...


class Handler:
    """Adds; a call of ``hold`` runs until it is let go."""

    def __init__(self, name):
        self.name = name
        self.begun = threading.Event()
        self.go = threading.Event()

    def add(self, a: int, b: int) -> int:
        return a + b

    def who(self) -> str:
        return self.name

    def hold(self) -> str:
        self.begun.set()
        self.go.wait(PATIENCE)
        return self.name


class World:
    """Servers one and two of the service calc, and configurations of clients."""

    def __init__(self, stack):
        self.stack = stack
        self.handlers = {}
        self.addresses = {}
        self.servers = {}
        self.running = {}
        for name in ("one", "two"):
            self.serve(name)

    def serve(self, name, service="calc", **more):
        server = bee_core.build_server(
            {"bee": {"rpc": {"server": {"name": service, "address": "tcp://127.0.0.1:0", **more}}}}
        )
        self.handlers[name] = Handler(name)
        server.add(self.handlers[name])
        self.running[name] = self.stack.enter_context(ExitStack())
        self.running[name].enter_context(server.in_thread())
        self.servers[name] = server
        self.addresses[name] = server.address

    def config(self, node="one", application=None, **section):
        calc = {"address": self.addresses[node], "timeout": 10, "read_timeout": 9, **section}
        return {"bee": {"application": application or {}, "rpc": {"client": {"calc": calc}}}}

    def client(self, config):
        return self.stack.enter_context(bee_core.build_client(config))

    def leave(self, name):
        """Stop a server."""
        self.running[name].close()

    def connections(self, name):
        return self.servers[name].listeners[0].connections


@pytest.fixture
def world():
    with ExitStack() as stack:
        yield World(stack)


def eventually(condition):
    tick = threading.Event()
    for _ in range(int(PATIENCE * 100)):
        if condition():
            return
        tick.wait(0.01)
    assert condition()


def test_proxies_that_are_in_use_go_on_with_the_new_configuration(world):
    client = world.client(world.config("one"))
    calc, typed, who = (
        client.service("calc"),
        client.service("calc", Calc),
        client.service("calc").who,
    )
    quick = calc.with_options(timeout=5)
    assert (calc.who(), who(), quick.who(), typed.add(1, 2)) == ("one", "one", "one", 3)
    client.reload(world.config("two"))
    assert (calc.who(), who(), quick.who(), typed.add(1, 2)) == ("two", "two", "two", 3)
    assert calc.call("who") == "two"
    assert client.nodes("calc").nodes[0].node.url == world.addresses["two"]


def test_an_unchanged_service_keeps_all_that_it_has(world):
    client = world.client(world.config(breaker="consecutive", limiter="fixed"))
    assert client.service("calc").who() == "one"
    before = client.assembly.services["calc"]
    (state,) = before.nodes.states.values()
    attempt, breaker = state.attempt, state.breaker
    config = world.config(breaker="consecutive", limiter="fixed")
    config["bee"]["rpc"]["client"]["other"] = {"address": world.addresses["two"]}
    client.reload(config)
    assert client.service("calc").who() == "one"
    assert client.assembly.services["calc"] is before
    (state,) = before.nodes.states.values()
    assert (state.attempt, state.breaker) == (attempt, breaker)
    assert world.connections("one") == 1


def test_other_settings_of_calls_alone_keep_the_connections(world):
    client = world.client(world.config(fallback="none"))
    calc = client.service("calc")
    assert calc.who() == "one"
    service = client.assembly.services["calc"]
    methods = {"gone": {"fallback": {"name": "static", "options": {"value": 7}}}}
    client.reload(world.config(timeout=5, read_timeout=4, retries=0, methods=methods))
    assert client.explain("calc", "gone").setting("fallback").value == "static"
    assert calc.who() == "one"
    assert client.assembly.services["calc"] is service
    assert client.explain("calc").setting("timeout").value == 5
    assert world.connections("one") == 1


LAST_GOOD = {"name": "last-good", "options": {"max_age": "1h"}}
OF_WHO = {"methods": {"who": {"fallback": LAST_GOOD, "fail": "failbackup"}}}


@pytest.mark.parametrize(
    "section", [{"fallback": LAST_GOOD}, OF_WHO], ids=["of the service", "of a method"]
)
def test_a_fallback_that_stays_as_it_was_answers_with_what_it_learned_before(world, section):
    client = world.client(world.config(idempotent=True, retries=0, **section))
    calc = client.service("calc")
    assert calc.who() == "one"
    client.reload(world.config(idempotent=True, retries=0, timeout=5, read_timeout=4, **section))
    world.leave("one")
    assert bee_core.detailed(calc.who).degraded
    assert calc.who() == "one"


@pytest.mark.parametrize(
    "other",
    [
        {"fallback": {**LAST_GOOD, "options": {"max_age": "2h"}}},
        {"fallback": LAST_GOOD, **OF_WHO, "methods": {"who": {"fallback": "last-good"}}},
        {"fallback": "none", **OF_WHO},
    ],
    ids=["other options", "a method has its own", "moved to a method"],
)
def test_a_fallback_that_is_configured_otherwise_begins_with_nothing(world, other):
    client = world.client(world.config(idempotent=True, retries=0, fallback=LAST_GOOD))
    calc = client.service("calc")
    assert calc.who() == "one"
    client.reload(world.config(idempotent=True, retries=0, **other))
    world.leave("one")
    with pytest.raises(Unavailable):
        calc.who()


def test_a_fault_tolerance_that_stays_as_it_was_keeps_what_it_has_learned(world):
    client = world.client(world.config(fail="failbackup", **OF_WHO))
    service = client.assembly.services["calc"]
    before = dict(service.fault_tolerances)
    client.reload(world.config(fail="failbackup", timeout=5, read_timeout=4, **OF_WHO))
    assert service.fault_tolerances == before
    client.reload(world.config(fail="failover", **OF_WHO))
    assert service.fault_tolerances[""] is not before[""]


def test_a_call_in_flight_ends_on_what_it_began_with_and_then_its_connection_closes(world):
    client = world.client(world.config("one"))
    calc = client.service("calc")
    held = []
    thread = threading.Thread(target=lambda: held.append(calc.hold()))
    thread.start()
    assert world.handlers["one"].begun.wait(PATIENCE)
    client.reload(world.config("two"))
    assert calc.who() == "two"
    assert world.connections("one") == 1, "the call is still there"
    world.handlers["one"].go.set()
    thread.join(PATIENCE)
    assert held == ["one"]
    eventually(lambda: world.connections("one") == 0)


def test_an_idle_connection_of_a_changed_service_is_closed(world):
    client = world.client(world.config("one"))
    assert client.service("calc").who() == "one"
    assert bee_core.future(client.service("calc").who).result(PATIENCE) == "one"
    assert world.connections("one") == 2
    client.reload(world.config("two"))
    eventually(lambda: world.connections("one") == 0)
    assert bee_core.future(client.service("calc").who).result(PATIENCE) == "two"


def test_a_call_that_was_about_to_begin_goes_on_with_the_service_of_before(world):
    client = world.client(world.config("one", retries=1, fail="failover"))
    calc = client.service("calc")
    assert calc.who() == "one"
    plan = calc.who._plan  # noqa: SLF001
    client.reload(world.config("two"))
    assert calc.who._plan is None  # noqa: SLF001
    assert client.invoke(plan, (), {}) == "one"
    eventually(lambda: world.connections("one") == 0)


def test_services_come_and_go(world):
    client = world.client(world.config())
    calc, add = client.service("calc"), client.service("calc").add
    assert add(1, 2) == 3
    config = {"bee": {"rpc": {"client": {"sums": {"address": world.addresses["two"]}}}}}
    world.serve("sums", service="sums")
    config["bee"]["rpc"]["client"]["sums"]["address"] = world.addresses["sums"]
    client.reload(config)
    for call in (
        lambda: add(1, 2),
        calc.add,
        lambda: calc.call("add"),
        lambda: client.service("calc"),
    ):
        with pytest.raises(ConfigError, match="no service 'calc' is configured"):
            call()
    assert repr(calc) == "<service calc>"
    assert client.service("sums").add(1, 2) == 3
    client.reload(world.config())
    assert add(1, 2) == 3, "it is configured again"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"timeout": "soon"}, ConfigError),
        ({"balancer": "randum"}, PluginError),
        ({"breaker": {"name": "consecutive", "options": {"failures": 0}}}, ConfigError),
        ({"methods": {"add": {"fail": "failling"}}}, PluginError),
        ({"address": "nothing://127.0.0.1:9"}, PluginError),
        ({"schemes": "nothing"}, PluginError),
    ],
)
def test_a_wrong_configuration_changes_nothing(world, change, error):
    client = world.client(world.config())
    calc = client.service("calc")
    assert calc.who() == "one"
    before = client.config, dict(client.assembly.services)
    wrong = world.config("two", **change)
    wrong["bee"]["rpc"]["client"]["new"] = {"address": world.addresses["two"]}
    with pytest.raises(error):
        client.reload(wrong)
    assert (client.config, dict(client.assembly.services)) == before
    assert calc.who() == "one"
    assert world.connections("one") == 1


def test_a_codec_that_cannot_carry_a_proxy_in_use_changes_nothing(world):
    class Refusing:
        def bind(self, signature):
            raise TypeError("it carries no int")

    plugin = ModuleType("refusing")

    @bee_core.hookimpl
    def bee_register_codecs(registry):
        registry.add("refusing", Refusing)

    plugin.bee_register_codecs = bee_register_codecs
    with bee_core.build_client(world.config(), plugins=[plugin]) as other:
        typed = other.service("calc", Calc)
        assert typed.add(1, 2) == 3
        with pytest.raises(ConfigError, match="a proxy is in use: it carries no int"):
            other.reload(world.config(codec="refusing"))
        assert typed.add(1, 2) == 3


def test_a_closed_client_is_not_reloaded(world):
    client = bee_core.build_client(world.config())
    client.close()
    with pytest.raises(CallCancelled, match="closed"):
        client.reload(world.config("two"))


def test_without_an_argument_the_file_is_read_again(world, tmp_path):
    file = tmp_path / "bee.yml"
    text = "bee: {rpc: {client: {calc: {address: '%s'}}}}"
    file.write_text(text % world.addresses["one"])
    client = world.client(file)
    assert client.service("calc").who() == "one"
    file.write_text(text % world.addresses["two"])
    client.reload()
    assert client.service("calc").who() == "two"
    with pytest.raises(ConfigError, match="no file"):
        world.client(world.config()).reload()


def test_other_observers_of_the_application_are_told(world):
    heard, made = [], []

    @attrs.frozen
    class Options:
        name: str = "?"

    class Observer:
        def __init__(self, options):
            self.name = options.name
            made.append(self)

        def call_ended(self, state, record):
            heard.append((self.name, record.method))

    plugin = ModuleType("hearing")

    @bee_core.hookimpl
    def bee_register_observers(registry):
        registry.add("hearing", Observer, options=Options)

    plugin.bee_register_observers = bee_register_observers

    def config(name):
        return world.config(
            application={"observers": [{"name": "hearing", "options": {"name": name}}]}
        )

    with bee_core.build_client(config("a"), plugins=[plugin]) as client:
        calc = client.service("calc")
        calc.who()
        client.reload(config("b"))
        calc.who()
        first = [weakref.ref(one) for one in made if one.name == "a"]
        made.clear()
        gc.collect()
        assert [one() for one in first] == [None], "an observer that is named no more is let go"
    assert heard == [("a", "who"), ("b", "who")]


def test_what_needs_a_restart_keeps_its_value_and_is_said(world, caplog):
    config = world.config(application={"name": "shop", "metrics_address": "127.0.0.1:0"})
    client = world.client(config)
    client.service("calc").who()
    service, address = client.assembly.services["calc"], client.metrics_address
    caplog.set_level(logging.INFO, "bee.client")
    changed = {"name": "store", "recorder": False, "metrics_address": "127.0.0.1:1"}
    for _ in range(2):  # as long as the file says so
        caplog.clear()
        client.reload(world.config(timeout=8, application=changed))
        (line,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
        assert line == (
            "bee.application.name, bee.application.metrics_address, bee.application.recorder:"
            " a change of this needs a restart; the value before stays in use"
        )
    assert client.config.application.name == "shop"
    assert client.metrics_address == address
    assert client.assembly.services["calc"] is service, "it keeps its connections"
    assert client.explain("calc").setting("timeout").value == 8.0


@pytest.mark.timeout(120)
def test_no_call_is_lost_while_a_configuration_changes_back_and_forth(world):
    client = world.client(world.config("one"))
    calc, typed = client.service("calc"), client.service("calc", Calc)
    over, failed, counts = threading.Event(), [], [0] * 8  # per thread

    def work(number):
        calls = [
            lambda: calc.add(1, 2),
            lambda: typed.add(1, 2),
            lambda: calc.call("add", 1, b=2),
            lambda: bee_core.future(calc.add, 1, 2).result(PATIENCE),
        ]
        while not over.is_set():
            try:
                assert calls[number % 4]() == 3
                counts[number] += 1
            except Exception as error:  # noqa: PERF203  # the first one is told
                failed.append(error)
                return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for round_ in range(24):
        client.reload(world.config(("two", "one")[round_ % 2], timeout=(10, 11)[round_ // 2 % 2]))
        before = list(counts)
        eventually(lambda before=before: failed or sum(counts) > sum(before) + 8)
        if failed:
            break
    over.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert failed == []
    assert all(counts), counts
    eventually(lambda: world.connections("two") == 0)


# With a registry.


class Registered:
    """A registry in memory that both servers are in, under two zones."""

    def __init__(self, stack):
        self.registry = MemoryRegistry()
        self.stack = stack
        for zone in ("one", "two"):
            server = bee_core.build_server(
                {
                    "bee": {
                        "rpc": {
                            "registry": {"protocol": "memory"},
                            "server": {
                                "name": "calc",
                                "address": "tcp://127.0.0.1:0",
                                "register": True,
                                "zone": zone,
                            },
                        }
                    }
                },
                plugins=[self.registry],
            )
            server.add(Handler(zone))
            stack.enter_context(server.in_thread())

    def config(self, zone="one", heartbeat=10):
        registry = {"protocol": "memory", "heartbeat_interval": heartbeat}
        return {"bee": {"rpc": {"registry": registry, "client": {"calc": {"zone": zone}}}}}

    def client(self, config):
        return self.stack.enter_context(bee_core.build_client(config, plugins=[self.registry]))


@pytest.fixture
def registered(monkeypatch, tmp_path):
    monkeypatch.setenv("BEE_CACHE_DIR", str(tmp_path))
    with ExitStack() as stack:
        yield Registered(stack)


def test_a_changed_service_goes_on_with_the_nodes_that_are_known(registered):
    client = registered.client(registered.config("one"))
    calc = client.service("calc")
    eventually(lambda: len(client.nodes("calc").nodes) == 2)
    assert calc.who() == "one"
    registered.registry.go_out_of_reach()
    client.reload(registered.config("two"))
    assert calc.who() == "two", "although the registry is out of reach"
    registered.registry.come_back()


def test_another_registry_is_asked_and_the_one_before_is_closed(registered):
    client = registered.client(registered.config(heartbeat=10))
    calc = client.service("calc")
    assert calc.who() == "one"
    registered.registry.wait_for_watches(1)
    client.reload(registered.config("two", heartbeat=9))
    assert calc.who() == "two"
    registered.registry.publish("calc", "tcp://127.0.0.1:1", zone="three")
    eventually(lambda: len(client.nodes("calc").nodes) == 3)
    eventually(lambda: registered.registry.watches_open == 1)


def test_many_changes_leave_one_watch_behind(registered):
    client = registered.client(registered.config())
    calc = client.service("calc")
    assert calc.who() == "one"
    for round_ in range(20):
        zone = ("two", "one")[round_ % 2]
        client.reload(registered.config(zone))
        assert calc.who() == zone
    eventually(lambda: registered.registry.watches_open == 1)


# Asyncio.


def test_an_asyncio_client_reloads_without_losing_a_call(world):
    async def run():
        async with bee_core.build_async_client(world.config("one")) as client:
            calc = client.service("calc")
            over, count = False, 0

            async def work():
                nonlocal count
                while not over:
                    assert await calc.add(1, 2) == 3
                    count += 1

            tasks = [asyncio.ensure_future(work()) for _ in range(16)]
            for round_ in range(30):
                await client.reload(world.config(("two", "one")[round_ % 2]))
                seen = count
                while count < seen + 32 and not any(task.done() for task in tasks):
                    await calc.add(1, 2)
            over = True
            await asyncio.gather(*tasks)
            assert await calc.who() == "one"
            while world.connections("two"):
                await calc.add(1, 2)
            with pytest.raises(ConfigError):
                await client.reload({"bee": {"rpc": {"client": {"calc": {"timeout": "soon"}}}}})
            assert await calc.who() == "one"

    asyncio.run(run())


def test_an_asyncio_client_may_be_reloaded_before_its_first_call(world):
    async def run():
        async with bee_core.build_async_client(world.config("one")) as client:
            await client.reload(world.config("two"))
            assert await client.service("calc").who() == "two"
        with pytest.raises(CallCancelled):
            await client.reload(world.config("one"))

    asyncio.run(run())


def test_a_node_that_cannot_be_reached_any_more_fails_calls_as_ever(world):
    client = world.client(world.config("one"))
    assert client.service("calc").who() == "one"
    client.reload(world.config("one", address="127.0.0.1:1", retries=0))
    with pytest.raises(Unavailable):
        client.service("calc").who()
