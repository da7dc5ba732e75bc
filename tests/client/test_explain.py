from __future__ import annotations

import asyncio
import random
import textwrap

import pytest

import bee_core
from bee_core.client.explanation import explain
from bee_core.errors import ConfigError, PluginFault, Unavailable
from bee_core.testing import MemoryRegistry
from bee_plugins.balancers.round_robin import RoundRobin

YAML = """
bee:
  rpc:
    client:
      default:
        retries: 4
      calc:
        version: ">=1.0, <2"
        balancer: round-robin
        breaker: {name: consecutive, options: {max_error_count: 1}}
        fail: failfast
        timeout: 3
        codec: {name: json, options: {max_size: 4 m}}
        address:
          - {url: "127.0.0.1:1", version: 1.0.0}
          - {url: "127.0.0.1:2", version: 1.1.0}
          - {url: "127.0.0.1:3", version: 2.0.0}
          - {url: "127.0.0.1:4", version: 1.0.0, weight: 0}
        methods:
          add: {timeout: 1.5}
"""
A, B = "tcp://127.0.0.1:1", "tcp://127.0.0.1:2"


@pytest.fixture
def client(tmp_path):
    path = tmp_path / "bee.yml"
    path.write_text(YAML.lstrip("\n"))
    with bee_core.build_client(path) as made:
        yield made


def client_of(text):
    import yaml

    return bee_core.build_client(yaml.safe_load(textwrap.dedent(text)))


def standings(explanation):
    return {one.node.url: one.standing for one in explanation.nodes}


def test_every_node_known_is_listed_with_its_standing(client):
    told = client.explain("calc")
    assert standings(told) == {
        A: "ready",
        B: "ready",
        "tcp://127.0.0.1:4": "weight 0",
        "tcp://127.0.0.1:3": "filtered",
    }
    assert told.nodes[-1].reason == "version 2.0.0 is not in >=1.0, <2"
    assert told.known.source == "address"
    assert told.obstacle == ""


def test_a_node_that_a_breaker_cut_off_is_not_picked(client):
    node = client.assembly.services["calc"].nodes
    with pytest.raises(Unavailable) as raised:
        client.service("calc").add(1, 2)
    cut = raised.value.node.url
    told = client.explain("calc")
    assert standings(told)[cut] == "cut off"
    assert [one.breaker for one in told.nodes if one.node.url == cut] == ["open"]
    assert cut not in {one.url for one, _ in told.next.shares}
    assert (
        told.next.order == (told.next.shares[0][0],) * 5
    )  # one node is left, so there is no chance in it
    assert node.cut_off()


def test_explain_and_nodes_say_what_a_node_was_cut_off_for(client):
    with pytest.raises(Unavailable) as raised:
        client.service("calc").add(1, 2)
    cut = raised.value.node.url
    (standing,) = [one for one in client.explain("calc").nodes if one.node.url == cut]
    assert "why: 1 failure in a row, the last: unavailable: " in standing.reason
    assert "connection refused" in standing.reason
    why = {one.node.url: one.cut_off for one in client.nodes("calc").nodes}
    assert why[cut].startswith("1 failure in a row")
    assert set(why.values()) == {why[cut], ""}


def test_where_none_can_be_picked_the_obstacle_says_why(client):
    service = client.service("calc")
    for _ in range(2):
        with pytest.raises(Unavailable):
            service.add(1, 2)
    told = client.explain("calc")
    assert told.next.shares == ()
    assert "cut off by breakers" in told.obstacle


def test_versions_that_do_not_fit_are_the_obstacle():
    with client_of(
        "bee: {rpc: {client: {calc: {version: '^3', address: {url: '127.0.0.1:1', version: 1.0.0}}}}}"
    ) as client:
        told = client.explain("calc")
    assert "1.0.0 (1 node)" in told.obstacle
    assert standings(told) == {A: "filtered"}


@pytest.mark.parametrize(
    ("method", "name", "value", "path", "line"),
    [
        (None, "timeout", 3.0, "bee.rpc.client.calc.timeout", 11),
        ("add", "timeout", 1.5, "bee.rpc.client.calc.methods.add.timeout", 19),
        ("sub", "timeout", 3.0, "bee.rpc.client.calc.timeout", 11),
        ("add", "retries", 4, "bee.rpc.client.default.retries", 5),
        ("add", "read_timeout", 10.0, None, None),
        (None, "max_size", 4 << 20, "bee.rpc.client.calc.codec.options.max_size", 12),
        (None, "fail", "failfast", "bee.rpc.client.calc.fail", 10),
        (None, "limiter", None, None, None),
        (None, "registry", "direct", None, None),
    ],
)
def test_each_setting_has_its_value_and_the_line_that_states_it(
    client, method, name, value, path, line
):
    setting = client.explain("calc", method).setting(name)
    assert (setting.value, setting.path, setting.line) == (value, path, line)
    assert bool(setting.why) == (path is None and name != "registry")


def test_options_of_a_plugin_are_named_and_their_values_kept_to_themselves(client):
    breaker = client.explain("calc").setting("breaker")
    assert (breaker.value, breaker.options) == ("consecutive", ("max_error_count",))


def test_a_setting_that_is_not_told_is_a_key_error(client):
    with pytest.raises(KeyError):
        client.explain("calc").setting("colour")


def test_a_service_that_is_not_configured_is_a_config_error(client):
    with pytest.raises(ConfigError):
        client.explain("clac")


def test_chance_is_told_in_shares_by_weight():
    with client_of(
        "bee: {rpc: {client: {calc: {balancer: random, address: ['127.0.0.1:1', {url: '127.0.0.1:2', weight: 3}]}}}}"
    ) as client:
        ahead = client.explain("calc").next
    assert ahead.order == ()
    shares = {node.url: share for node, share in ahead.shares}
    assert shares[A] == pytest.approx(0.25, abs=0.05)
    assert sum(shares.values()) == pytest.approx(1)


def test_an_order_that_has_begun_is_told_and_is_the_order_of_the_calls_that_follow():
    with client_of(
        "bee: {rpc: {client: {calc: {balancer: round-robin, fail: failfast, address: ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3']}}}}"
    ) as client:

        def called():
            with pytest.raises(Unavailable) as raised:
                client.service("calc").add(1, 2)
            return raised.value.node

        called()
        told = client.explain("calc").next.order
        assert client.explain("calc").next.order == told  # looking has no effect
        assert len({node.id for node in told}) == 3
        assert [called() for _ in told] == list(told)


def test_a_twin_goes_its_own_way():
    balancer, rng = RoundRobin(), random.Random(1)
    balancer.update([bee_core.Node(name, f"tcp://{name}:1") for name in "abc"])
    balancer.pick(None, (), 0.0, rng)
    twin = balancer.twin()
    ahead = [twin.pick(None, (), 0.0, rng) for _ in range(4)]
    assert [balancer.pick(None, (), 0.0, rng) for _ in range(4)] == ahead


def watched(registry, **keys):
    section = {"protocol": "memory", "address": "reg:1", "heartbeat_interval": 0.2}
    return bee_core.build_client(
        {"bee": {"rpc": {"registry": section, "client": {"calc": keys}}}}, plugins=[registry]
    )


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEE_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.usefixtures("no_cache")
def test_nodes_are_looked_for_at_the_registry_as_a_first_call_would():
    registry = MemoryRegistry()
    registry.publish("calc", A, version="1.0.0")
    with watched(registry, version="^1", address="127.0.0.1:2") as client:
        told = client.explain("calc")
    assert (told.known.source, told.known.trouble) == ("registry", "")
    assert standings(told) == {A: "ready"}
    assert (told.setting("registry").value, told.setting("registry").path) == (
        "memory",
        "bee.rpc.registry.protocol",
    )


@pytest.mark.usefixtures("no_cache")
def test_a_registry_out_of_reach_is_told_with_the_source_that_stands_in():
    registry = MemoryRegistry()
    registry.go_out_of_reach(ConnectionRefusedError(111, "Connection refused"))
    with watched(registry, address="127.0.0.1:2") as client:
        told = client.explain("calc")
    assert told.known.source == "address"
    assert "refused" in told.known.trouble
    assert standings(told) == {B: "ready"}


@pytest.mark.usefixtures("no_cache")
def test_with_no_source_at_all_the_obstacle_names_the_registry():
    registry = MemoryRegistry()
    registry.go_out_of_reach()
    with watched(registry) as client:
        told = client.explain("calc")
    assert (told.nodes, told.known.source) == ((), None)
    assert "memory at reg:1" in told.obstacle


def test_a_node_that_said_that_it_drains_is_told_so(client):
    service = client.assembly.services["calc"]
    told = explain(
        service,
        client.config,
        client.nodes("calc"),
        None,
        key=None,
        make_balancer=RoundRobin,
        make_rng=random.Random,
        health={A: "draining", B: "serving"},
    )
    assert [(one.health, one.standing) for one in told.nodes[:2]] == [
        ("draining", "not serving"),
        ("serving", "ready"),
    ]
    assert "draining" in told.nodes[0].reason
    assert told.nodes[1].reason == ""


def test_a_dead_node_is_not_ready_and_alone_it_is_no_next_pick(client):
    def told(health):
        return explain(
            client.assembly.services["calc"],
            client.config,
            client.nodes("calc"),
            None,
            key=None,
            make_balancer=RoundRobin,
            make_rng=random.Random,
            health=health,
        )

    one_left = told({A: "connection refused", B: "serving"})
    assert [one.standing for one in one_left.nodes[:2]] == ["not serving", "ready"]
    assert {node.url for node, _ in one_left.next.shares} == {A, B}, "no breaker cuts it off"
    none_left = told({A: "connection refused", B: "connection refused"})
    assert [one.standing for one in none_left.nodes[:2]] == ["not serving", "not serving"]
    assert "none of the 2 nodes that can be picked serves" in none_left.obstacle
    assert none_left.next.order == none_left.next.shares == ()


@pytest.mark.parametrize("returned", [None, "a text"])
def test_a_balancer_that_is_broken_is_named(client, monkeypatch, returned):
    def pick(*_):
        if returned is None:
            raise ValueError("a bug")
        return returned

    monkeypatch.setattr(RoundRobin, "pick", pick)
    with pytest.raises(PluginFault, match="balancer 'round-robin'") as caught:
        client.explain("calc")
    assert caught.value.plugin


def test_a_balancer_that_counts_what_is_under_way_is_told_of_every_pick(client):
    made = []

    class Counting(RoundRobin):
        def __init__(self):
            super().__init__()
            self.under_way = 0
            self.settle = lambda node, outcome, seconds, now: setattr(
                self, "under_way", self.under_way - 1
            )
            made.append(self)

        def pick(self, key, tried, now, rng):
            self.under_way += 1
            assert key == "user-42"
            return super().pick(key, tried, now, rng)

        twin = None

    service = client.assembly.services["calc"]
    explain(
        service,
        client.config,
        client.nodes("calc"),
        None,
        key="user-42",
        make_balancer=Counting,
        make_rng=random.Random,
        health={},
    )
    service.balancer = Counting()
    explain(
        service,
        client.config,
        client.nodes("calc"),
        None,
        key="user-42",
        make_balancer=Counting,
        make_rng=random.Random,
        health={},
    )
    assert made
    assert {balancer.under_way for balancer in made} == {0}


def test_a_budget_that_is_spent_shows():
    with client_of("bee: {rpc: {client: {calc: {address: '127.0.0.1:1'}}}}") as client:
        budget, now = (
            client.assembly.services["calc"].budget,
            client.assembly.services["calc"].clock(),
        )
        before = client.explain("calc").retries_left
        budget.withdraw(now)
        assert client.explain("calc").retries_left == before - 1


class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b


@pytest.fixture
def server():
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": "127.0.0.1:0"}}}}
    )
    server.add(Calculator())
    with server.in_thread():
        yield server


def config_of(server, **keys):
    return {
        "bee": {
            "rpc": {
                "client": {
                    "calc": {"address": [server.address, "127.0.0.1:1"], "fail": "failover", **keys}
                }
            }
        }
    }


def test_nodes_are_asked_how_they_are_when_that_is_wanted(server):
    with bee_core.build_client(config_of(server)) as client:
        health = {one.node.url: one.health for one in client.explain("calc", ask=True).nodes}
        assert {one.health for one in client.explain("calc").nodes} == {""}
    assert health[server.address] == "serving"
    assert "connection refused" in health[A]


def test_a_traced_call_is_a_real_one(server):
    with bee_core.build_client(config_of(server)) as client:
        told = client.trace("calc", "add", 1, b=2)
    assert (told.value, told.error) == (3, None)
    assert told.steps[-1].node.url == server.address
    assert told.steps[-1].seconds > 0


def test_an_error_of_a_traced_call_is_told_and_not_raised(server):
    with bee_core.build_client(config_of(server)) as client:
        told = client.trace("calc", "sub", 1, 2)
    assert told.error.kind == "method_not_found"
    assert told.steps[-1].failure.kind == "method_not_found"


def test_the_asyncio_client_explains_and_traces_as_well(server):
    async def both():
        async with bee_core.build_async_client(config_of(server)) as client:
            return await client.explain("calc", "add", ask=True), await client.trace(
                "calc", "add", 1, 2
            )

    explanation, told = asyncio.run(both())
    with bee_core.build_client(config_of(server)) as client:
        blocking = client.explain("calc", "add", ask=True)
    assert explanation.settings == blocking.settings
    assert explanation.nodes == blocking.nodes
    assert told.value == 3


def test_an_ordinary_call_meets_no_recorder(server, monkeypatch):
    from bee_core.calls import trace as call_trace

    with bee_core.build_client(config_of(server)) as client:
        client.trace("calc", "add", 1, 2)
        made = []
        monkeypatch.setattr(call_trace.CallRecorder, "flow", lambda *_: made.append(1))
        assert client.service("calc").add(1, 2) == 3
    assert made == []
