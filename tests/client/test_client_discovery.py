"""Clients that find their nodes through a registry, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import bee_core
from bee_core.cli import main
from bee_core.errors import BeeError, CallCancelled, ConfigError, Unavailable
from bee_core.testing import MemoryRegistry
from support.patience import scaled

BOUND = 10.0
"""Seconds for what takes milliseconds."""


class Calculator:
    entered = threading.Event()

    def __init__(self, name):
        self._name = name

    def name(self) -> str:
        return self._name

    async def hold(self) -> None:
        """Until the caller gives up."""
        self.entered.set()
        await asyncio.Event().wait()


def config(heartbeat=0.2, **keys):
    return {
        "bee": {
            "rpc": {
                "registry": {"protocol": "memory", "heartbeat_interval": heartbeat},
                "client": {"calc": {"timeout": BOUND, **keys}},
            }
        }
    }


@pytest.fixture
def registry():
    return MemoryRegistry()


@pytest.fixture
def servers():
    with contextlib.ExitStack() as stack:

        def start(name, version="1.2.0"):
            server = bee_core.build_server(
                {
                    "bee": {
                        "rpc": {
                            "server": {"name": "calc", "version": version, "address": "127.0.0.1:0"}
                        }
                    }
                }
            )
            server.add(Calculator(name))
            return stack.enter_context(server.in_thread()).address

        yield start


class Blocking:
    """Both kinds of client look the same to a test."""

    def __init__(self, registry, **keys):
        self.client = bee_core.build_client(config(**keys), plugins=[registry])

    def name(self, **options):
        return self.client.service("calc").with_options(**options).name()

    def nodes(self):
        return self.client.nodes("calc")

    def close(self):
        self.client.close()


class Asyncio:
    def __init__(self, registry, **keys):
        self.loop = asyncio.new_event_loop()
        self.client = bee_core.build_async_client(config(**keys), plugins=[registry])

    def name(self, **options):
        return self.loop.run_until_complete(self._name(options))

    async def _name(self, options):
        return await self.client.service("calc").with_options(**options).name()

    def nodes(self):
        return self.loop.run_until_complete(self.client.nodes("calc"))

    def close(self):
        if not self.loop.is_closed():
            self.loop.run_until_complete(self.client.close())
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()


@pytest.fixture(params=[Blocking, Asyncio])
def client(request, registry):
    made = []

    def make(**keys):
        made.append(request.param(registry, **keys))
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert not control_threads()


@pytest.fixture
def blocking(registry):
    made = []

    def make(**keys):
        made.append(Blocking(registry, **keys))
        return made[-1]

    yield make
    for one in made:
        one.close()


def control_threads():
    return [
        thread.name for thread in threading.enumerate() if thread.name.startswith("bee-control")
    ]


def eventually(holds):
    deadline = time.monotonic() + BOUND
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def refused():
    """An address at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{sock.getsockname()[1]}"


# ── the first call and after ──


def test_building_a_client_starts_no_thread_and_asks_nobody(registry, client):
    client()
    assert not control_threads()
    assert registry.watches_begun == 0


def test_the_first_call_waits_for_the_registrys_list(registry, servers, client):
    registry.go_silent()
    tested = client()
    registry.publish("calc", servers("a"))

    def answer():
        registry.wait_for_watches(1)
        registry.come_back()

    answering = threading.Thread(target=answer)
    answering.start()
    assert tested.name() == "a"
    answering.join(BOUND)


def test_later_calls_look_no_further_than_one_attribute(registry, servers, client):
    registry.publish("calc", servers("a"))
    tested = client()
    tested.name()
    assert tested.client.assembly.services["calc"].undiscovered is None
    tested.client.discoveries.wait = None  # whoever came here would fail
    assert tested.name() == "a"


def test_nodes_that_come_are_called_and_nodes_that_go_are_not(registry, servers, client):
    one, two = servers("a"), servers("b")
    registry.publish("calc", one)
    tested = client()
    assert tested.name() == "a"
    registry.publish("calc", two)
    registry.withdraw("calc", one)
    eventually(lambda: {tested.name() for _ in range(4)} == {"b"})


def test_the_registry_decides_also_against_the_configured_addresses(registry, servers, client):
    registry.publish("calc", servers("listed"))
    assert client(address=servers("configured")).name() == "listed"


def test_where_nodes_are_known_and_none_fits_the_error_lists_their_versions(registry, client):
    registry.publish("calc", refused(), version="2.0.0")
    with pytest.raises(
        Unavailable, match=r"1 node is known; versions there are: 2\.0\.0 \(1 node\)"
    ):
        client(version=">=1.0, <2").name()


def test_where_the_registry_lists_none_the_error_says_so(client):
    with pytest.raises(Unavailable, match="the registry lists none"):
        client().name()


def test_many_threads_that_call_first_make_one_watch(registry, servers, blocking):
    registry.go_silent()
    registry.publish("calc", servers("a"))
    tested, names = blocking(), []
    callers = [threading.Thread(target=lambda: names.append(tested.name())) for _ in range(30)]
    for caller in callers:
        caller.start()
    registry.wait_for_watches(1)
    registry.come_back()
    for caller in callers:
        caller.join(BOUND)
    assert names == ["a"] * 30
    assert registry.watches_begun == 1


def test_a_first_call_on_asyncio_does_not_stop_its_loop(registry, servers):
    async def scenario():
        async with bee_core.build_async_client(config(), plugins=[registry]) as client:
            call = asyncio.ensure_future(client.service("calc").name())
            turns = 0
            while registry.watches_begun == 0 or turns < 10:
                turns += 1
                await asyncio.sleep(0.001)
            assert not call.done()
            registry.come_back()
            return await asyncio.wait_for(call, BOUND)

    registry.go_silent()
    registry.publish("calc", servers("a"))
    assert asyncio.run(scenario()) == "a"


# ── outages ──


def test_calls_go_on_while_the_registry_is_out_of_reach(registry, servers, client):
    registry.publish("calc", servers("a"))
    tested = client()
    tested.name()
    registry.go_out_of_reach()
    registry.wait_for_watches(2)
    assert [tested.name() for _ in range(3)] == ["a"] * 3
    assert "ConnectionRefusedError" in tested.nodes().trouble


def test_a_new_client_starts_from_the_list_on_disk(registry, servers, client, own_cache_folder):
    registry.publish("calc", servers("a"), version="1.2.0")
    first = client(version="^1.0")
    first.name()
    first.close()
    registry.go_out_of_reach()
    second = client(version="^1.0")
    assert second.name() == "a"
    assert second.nodes().source == "cache"
    registry.come_back()
    eventually(lambda: second.nodes().source == "registry")


def test_the_list_on_disk_is_held_to_the_version_that_is_asked_for(registry, servers, client):
    registry.publish("calc", servers("a"), version="1.2.0")
    first = client()
    first.name()
    first.close()
    registry.go_out_of_reach()
    with pytest.raises(Unavailable, match=r"versions there are: 1\.2\.0"):
        client(version="^2.0").name()


@pytest.mark.parametrize("damage", ["", "{", '{"format": 99}'])
def test_a_damaged_list_on_disk_does_not_fail_a_call_that_has_an_address(
    registry, servers, client, own_cache_folder, damage
):
    address = servers("a")
    registry.publish("calc", address)
    first = client()
    first.name()
    first.close()
    for file in own_cache_folder.iterdir():
        file.write_text(damage)
    registry.go_out_of_reach()
    second = client(address=address)
    assert second.name() == "a"
    assert second.nodes().source == "address"


def test_with_a_registry_out_of_reach_and_nothing_else_known_the_error_says_where_was_looked(
    registry, client, own_cache_folder
):
    registry.go_out_of_reach()
    with pytest.raises(Unavailable) as caught:
        client().name(timeout=scaled(0.5))
    for part in (
        "registry memory is out of reach",
        str(own_cache_folder),
        "bee.rpc.client.calc.address",
    ):
        assert part in str(caught.value)


def test_a_silent_registry_costs_the_first_call_half_of_its_time_at_most(registry, servers, client):
    registry.go_silent()
    assert client(address=servers("a")).name(timeout=scaled(1.0)) == "a"


def test_it_is_found_once_the_registry_comes_up_although_first_calls_failed(
    registry, servers, client
):
    registry.go_out_of_reach()
    registry.publish("calc", servers("a"))
    tested = client()
    with pytest.raises(Unavailable):
        tested.name(timeout=0.05)
    registry.come_back()
    assert tested.name() == "a"


def test_a_registry_that_lost_all_its_data_does_not_stop_calls_to_servers_that_live(
    registry, servers, client
):
    live, dead = servers("a"), refused()
    registry.publish("calc", live)
    registry.publish("calc", dead)
    tested = client(heartbeat=30)
    tested.name()
    registry.withdraw("calc")
    eventually(lambda: [node.url for node in tested.nodes().fitting] == [live])
    assert tested.name() == "a"


def test_the_last_nodes_are_let_go_when_nobody_lists_them_for_three_heartbeats(
    registry, servers, client
):
    registry.publish("calc", servers("a"))
    tested = client(heartbeat=0.05)
    tested.name()
    registry.withdraw("calc")
    eventually(lambda: not tested.nodes().nodes)
    with pytest.raises(Unavailable, match="the registry lists none"):
        tested.name()


# ── close and fork ──


@pytest.fixture
def moved(registry, servers):
    """Once a call holds on the first node: takes it out of the list for another."""
    registry.publish("calc", servers("one"), id="one")
    second = servers("two")
    Calculator.entered.clear()

    def move():
        assert Calculator.entered.wait(BOUND)
        registry.publish("calc", second, id="two")
        registry.withdraw("calc", "one")

    return move


def test_close_ends_a_call_on_a_node_that_has_left_the_list(registry, moved):
    client = bee_core.build_client(config(), plugins=[registry])
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.service("calc").hold)
        moved()
        eventually(lambda: [node.id for node in client.nodes("calc").fitting] == ["two"])
        client.close()
        error = call.exception(BOUND / 2)
    assert isinstance(error, CallCancelled)
    assert error.executed == "maybe"


def test_close_of_an_asyncio_client_ends_a_call_on_a_node_that_has_left_the_list(registry, moved):
    async def main():
        client = bee_core.build_async_client(config(), plugins=[registry])
        call = asyncio.ensure_future(client.service("calc").hold())
        await asyncio.to_thread(moved)
        while [node.id for node in (await client.nodes("calc")).fitting] != ["two"]:  # noqa: ASYNC110  # the watch is on another loop
            await asyncio.sleep(0.005)
        await client.close()
        await asyncio.wait((call,), timeout=BOUND / 2)
        assert isinstance(call.exception(), CallCancelled)

    asyncio.run(main())


def test_close_leaves_no_thread_and_ends_the_watch(registry, servers, client):
    registry.publish("calc", servers("a"))
    tested = client()
    tested.name()
    assert control_threads()
    tested.close()
    assert not control_threads()
    assert registry.watches_open == 0


def test_close_ends_a_first_call_that_waits(registry, blocking):
    registry.go_silent()
    tested, errors = blocking(), []

    def call():
        try:
            tested.name()
        except BeeError as error:
            errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    registry.wait_for_watches(1)
    tested.close()
    caller.join(BOUND)
    assert [type(error) for error in errors] == [CallCancelled]


def in_child(check):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if check() else 3
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_goes_on_with_the_list_and_watches_by_itself(registry, servers, blocking):
    one, two = servers("a"), servers("b")
    registry.publish("calc", one)
    tested = blocking()
    tested.name()

    def child():
        fresh = MemoryRegistry()  # the parent's cannot be reached from here
        registry.__dict__.update(fresh.__dict__)
        registry.publish("calc", two)
        first = tested.name()
        registry.wait_for_watches(1)
        eventually(lambda: tested.name() == "b")
        tested.close()
        return first in {"a", "b"} and not control_threads()

    in_child(child)
    assert tested.name() == "a"
    registry.publish("calc", two)
    registry.withdraw("calc", one)
    eventually(lambda: tested.name() == "b")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_before_the_first_call_discovers_for_itself(registry, servers, blocking):
    registry.publish("calc", servers("a"))
    tested = blocking()
    in_child(lambda: tested.name() == "a")
    assert not control_threads()
    assert tested.name() == "a"


# ── what people see ──


def test_the_report_tells_nodes_that_fit_from_those_that_do_not(registry, client):
    registry.publish(
        "calc", "tcp://10.0.0.1:1", version="1.1.0", zone="west", tags=frozenset({"gpu"})
    )
    registry.publish("calc", "tcp://10.0.0.2:1", version="2.0.0")
    report = client(version="^1.0").nodes()
    assert (report.service, report.source, report.asked) == ("calc", "registry", "version ^1.0")
    assert [(known.node.url, known.fitting, known.reason) for known in report.nodes] == [
        ("tcp://10.0.0.1:1", True, ""),
        ("tcp://10.0.0.2:1", False, "version 2.0.0 is not in ^1.0"),
    ]


def test_the_report_of_a_service_that_is_not_configured_is_an_error(registry, blocking):
    with pytest.raises(ConfigError, match="calk"):
        blocking().client.nodes("calk")


def test_the_report_needs_no_registry(servers):
    address = servers("a")
    with bee_core.build_client(
        {"bee": {"rpc": {"client": {"calc": {"address": address}}}}}
    ) as client:
        report = client.nodes("calc")
    assert (report.source, [node.url for node in report.fitting], report.trouble) == (
        "address",
        [address],
        "",
    )
    assert not control_threads()


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "bee.yml").write_text(
        """
bee:
  rpc:
    client:
      calc:
        version: ">=1.0, <2"
        address: [{url: "tcp://10.0.0.1:1", version: 1.1.0, weight: 2, tags: gpu}, {url: "tcp://10.0.0.2:1", version: 2.0.0}]
      other: {}
"""
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BEE_CONFIG", raising=False)


def test_bee_nodes_lists_each_node_and_why_it_does_not_fit(project, capsys):
    assert main(["nodes", "calc"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "calc: asks for version >=1.0, <2; 1 of 2 nodes fit; source: address"
    assert lines[2].split()[:6] == ["tcp://10.0.0.1:1", "1.1.0", "2", "-", "gpu", "yes"]
    assert "no: version 2.0.0 is not in >=1.0, <2" in lines[3]


def test_bee_nodes_json_has_every_field(project, capsys):
    assert main(["nodes", "calc", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {key: told[key] for key in ("service", "fitting", "source", "revision")} == {
        "service": "calc",
        "fitting": 1,
        "source": "address",
        "revision": 0,
    }
    assert told["nodes"][0] == {
        "id": "tcp://10.0.0.1:1",
        "url": "tcp://10.0.0.1:1",
        "version": "1.1.0",
        "weight": 2.0,
        "zone": None,
        "tags": ["gpu"],
        "fitting": True,
        "reason": "",
        "doubt": "",
        "doubted_for": None,
        "cut_off": "",
    }
    assert told["nodes"][1]["reason"] == "version 2.0.0 is not in >=1.0, <2"


def test_bee_nodes_of_an_unknown_service_fails_in_one_line(project, capsys):
    assert main(["nodes", "calk"]) != 0
    assert "calk" in capsys.readouterr().err


def test_bee_services_counts(project, capsys):
    # Nothing is known of one of them.
    assert main(["services", "--json"]) == 1
    told = {
        row["service"]: (row["nodes"], row["fitting"], row["source"])
        for row in json.loads(capsys.readouterr().out)
    }
    assert told == {"calc": (2, 1, "address"), "other": (0, 0, "address")}
    assert main(["services"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: no node of other is known: no registry lists one")
    assert printed.out.splitlines()[1].split() == [
        "calc",
        "version",
        ">=1.0,",
        "<2",
        "2",
        "1",
        "0",
        "address",
    ]
