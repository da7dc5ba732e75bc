"""Balancers of a client: what the YAML says of them reaches them, and what they say is told."""

from __future__ import annotations

import asyncio
import json

import pytest

import bee_core
from bee_core.cli import main
from bee_core.config import PluginRef
from bee_core.contracts.balancer_parts import wants_load
from bee_core.errors import ConfigError, InvalidArgument, Unavailable
from bee_core.nodes.directory import Directory
from bee_core.nodes.node_set import NodeSet
from bee_core.plugins.hub import PluginHub
from bee_core.terms.node import Node, Snapshot
from support.plugin_objects import offering


def configured(client, address=None):
    section = {"address": address or ["127.0.0.1:1", "127.0.0.1:2"]} | client
    return {"bee": {"rpc": {"client": {"calc": section}}}}


def made(**section):
    return bee_core.build_client(configured(section))


ALL = ["random", "round-robin", "p2c", "consistent-hash"]
WRAPPED = [
    {"name": "zone", "options": {"zone": "a", "within": {"name": "p2c", "options": {"decay": 5}}}},
    {
        "name": "zone",
        "options": {"zone": "a", "within": {"name": "subset", "options": {"size": 5}}},
    },
]


@pytest.mark.parametrize("balancer", [*ALL, *WRAPPED], ids=str)
def test_every_balancer_can_be_named_with_slow_start(balancer):
    with made(balancer=balancer, slow_start="30s") as client:
        assert client.explain("calc").setting("slow_start").value == 30.0
        assert client.explain("calc").next.shares


class Plain:
    settle = None

    def update(self, ready):
        self.ready = ready

    def pick(self, key, tried, now, rng):
        return next((node for node in self.ready if node.id not in tried), None)

    def twin(self):
        return Plain()


def test_a_balancer_without_slow_start_is_a_clear_error(tmp_path):
    path = tmp_path / "bee.yml"
    text = json.dumps(configured({"balancer": "plain", "slow_start": 5}), indent=1)
    path.write_text(text)
    plugin = offering("balancer", "plain", Plain)
    with pytest.raises(ConfigError) as caught:
        bee_core.build_client(path, plugins=[plugin])
    line = next(number for number, one in enumerate(text.splitlines(), 1) if "slow_start" in one)
    assert str(caught.value).startswith(f"{path}:{line}: bee.rpc.client.calc.slow_start: ")
    assert "plain has no slow start" in str(caught.value)
    within = {"name": "zone", "options": {"zone": "a", "within": "plain"}}
    with pytest.raises(ConfigError, match=r"calc\.slow_start: .*Plain has no slow start"):
        bee_core.build_client(configured({"balancer": within, "slow_start": 5}), plugins=[plugin])


@pytest.mark.parametrize(
    ("balancer", "path"),
    [
        ({"name": "p2c", "options": {"decay": 0}}, "balancer.options.decay"),
        ({"name": "consistent-hash", "options": {"bound": 1}}, "balancer.options.bound"),
        ({"name": "zone"}, "balancer.options.zone"),
        ({"name": "subset", "options": {"size": 0}}, "balancer.options.size"),
        (
            {
                "name": "subset",
                "options": {"size": 1, "within": {"name": "p2c", "options": {"x": 1}}},
            },
            "balancer.options.within.options.x",
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_an_option_out_of_range_is_an_error_with_its_path(balancer, path):
    with pytest.raises(ConfigError) as caught:
        made(balancer=balancer)
    assert f"bee.rpc.client.calc.{path}" in str(caught.value)


def test_a_balancer_that_cannot_be_used_within_is_an_error_at_the_option():
    class Twinless(Plain):
        twin = None

    within = {"name": "zone", "options": {"zone": "a", "within": "twinless"}}
    with pytest.raises(ConfigError, match=r"balancer\.options\.within.*lacks twin"):
        bee_core.build_client(
            configured({"balancer": within}), plugins=[offering("balancer", "twinless", Twinless)]
        )


@pytest.mark.parametrize(
    ("balancer", "wanted"),
    [("random", False), ("p2c", True), (WRAPPED[0], True), (WRAPPED[1], False)],
    ids=str,
)
def test_the_load_is_asked_for_only_by_a_balancer_that_wants_it(balancer, wanted):
    ref = balancer if isinstance(balancer, dict) else {"name": balancer}
    made_by_name = PluginHub().create(PluginRef(**ref), "balancer")
    assert wants_load(made_by_name) is wanted


@pytest.mark.parametrize("name", ["told", "around"])
def test_a_balancer_that_wants_it_is_told_the_method_of_each_attempt(name):
    settled = []

    class Told(Plain):
        wants_method = True

        def settle(self, node, outcome, seconds, now, method=""):
            settled.append((node.id, method))

        def twin(self):
            return Told()

    around = {"name": "zone", "options": {"zone": "a", "within": "told"}}
    config = configured(
        {"balancer": around if name == "around" else name, "timeout": 0.5}, "memory://nobody"
    )
    plugins = [offering("balancer", "told", Told)]
    with bee_core.build_client(config, plugins=plugins) as client, pytest.raises(Unavailable):
        client.service("calc").add(1, 2)
    assert {method for _, method in settled} == {"add"}


def test_all_listed_nodes_are_told_also_those_that_are_cut_off():
    class Listening(Plain):
        def listed(self, nodes):
            self.all = [node.id for node in nodes]

    balancer = Listening()
    nodes = NodeSet("calc", Directory(), balancer, str, None, lambda _: None, None)
    listed = (Node("a", "tcp://a:1"), Node("b", "tcp://b:1", weight=0))
    nodes.apply(Snapshot(1, "registry", listed))
    assert balancer.all == ["a", "b"]


def test_calls_of_one_key_go_to_one_server_from_both_clients():
    servers = []
    for number in range(3):
        server = bee_core.build_server(
            {"bee": {"rpc": {"server": {"name": "calc", "address": "127.0.0.1:0"}}}}
        )
        server.add(lambda user, number=number: number, name="who")
        servers.append(server)
    keyed = {"name": "consistent-hash", "options": {"argument": "user"}}

    class Who:
        def who(self, user: str) -> int: ...

    with servers[0].in_thread(), servers[1].in_thread(), servers[2].in_thread():
        config = configured({"balancer": keyed}, [server.address for server in servers])
        users = [f"user-{one}" for one in range(40)]
        with bee_core.build_client(config) as client:
            by_name = [client.service("calc").who(user=user) for user in users]
            typed = [client.service("calc", Who).who(user) for user in users]
            calc = client.service("calc")
            stated = [calc.with_options(key=user).who("x") for user in users]
            with pytest.raises(InvalidArgument, match="takes its key from the argument 'user'"):
                calc.who(user=1.5)

        async def asynchronous():
            async with bee_core.build_async_client(config) as client:
                return [await client.service("calc").who(user=user) for user in users]

        assert by_name == typed == stated == asyncio.run(asynchronous())
        assert set(by_name) == {0, 1, 2}


def test_explain_says_what_the_balancer_knows_of_a_node(tmp_path, capsys):
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": "127.0.0.1:0"}}}}
    )
    server.add(lambda: 1, name="one")
    with server.in_thread():
        config = configured({"balancer": "p2c"}, server.address)
        with bee_core.build_client(config) as client:
            assert client.explain("calc").nodes[0].remark == ""
            client.service("calc").one()
            remark = client.explain("calc").nodes[0].remark
        assert remark.startswith("0 in flight, ")
        assert remark.endswith("its server said 0 in flight")
        path = tmp_path / "bee.yml"
        path.write_text(
            json.dumps(
                configured({"balancer": {"name": "zone", "options": {"zone": "a"}}}, server.address)
            )
        )
        assert main(["explain", "calc", "--config", str(path)]) == 0
        assert "other zones (100% ready, 100% of the calls)" in capsys.readouterr().out


def test_a_remark_that_raises_is_a_fault_of_the_balancer():
    class Broken(Plain):
        def remark(self, node, now):
            raise KeyError("a")

    config = configured({"balancer": "broken"})
    with (
        bee_core.build_client(config, plugins=[offering("balancer", "broken", Broken)]) as client,
        pytest.raises(bee_core.errors.PluginFault, match=r"'broken'.*remark raised KeyError"),
    ):
        client.explain("calc")
