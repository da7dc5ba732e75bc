"""bee's contract for balancers, and what is special about this one."""

from __future__ import annotations

from contextlib import ExitStack
from random import Random

import bee_core
from bee_core.interfaces import Node
from bee_core.testing import BalancerContract
from sticky_balancer import StickyBalancer, StickyOptions

NODES = [Node(f"n{number}", f"tcp://10.0.0.{number}:9000") for number in range(1, 5)]


class TestSticky(BalancerContract):
    """Everything that bee asks of a balancer."""

    def make_balancer(self) -> StickyBalancer:
        """The plugin under test."""
        return StickyBalancer(StickyOptions())


def test_a_key_keeps_its_node_and_moves_only_when_that_node_leaves() -> None:
    balancer = StickyBalancer(StickyOptions())
    balancer.update(NODES)
    before = {key: balancer.pick(key, (), 0.0, Random(1)) for key in map(str, range(200))}
    balancer.update(NODES[1:])
    after = {key: balancer.pick(key, (), 0.0, Random(2)) for key in before}
    assert all(after[key] == node for key, node in before.items() if node != NODES[0])
    assert NODES[0] in before.values()


def test_the_yaml_names_it_and_a_key_reaches_one_server() -> None:
    """The entry point is installed (``pip install -e .``), so a client needs only the name."""
    addresses = [f"memory://sticky-{number}" for number in range(3)]
    client = {
        "address": addresses,
        "balancer": {"name": "sticky", "options": {"salt": "x"}},
    }
    with ExitStack() as stack:
        for address in addresses:
            server = bee_core.build_server(
                {"bee": {"rpc": {"server": {"name": "calc", "address": address}}}}
            )
            server.add(abs, name="abs")
            stack.enter_context(server.in_thread())
        calc = stack.enter_context(
            bee_core.build_client({"bee": {"rpc": {"client": {"calc": client}}}})
        ).service("calc")
        ada = calc.with_options(key="ada")
        nodes = {bee_core.detailed(ada.abs, -number).node for number in range(20)}
        assert len(nodes) == 1
