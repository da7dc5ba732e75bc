"""bee's contract for balancers, and what is special about this one."""

from __future__ import annotations

from random import Random

import bee_core
import sticky_balancer
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
    before = {key: balancer.pick(key, (), Random(1)) for key in map(str, range(200))}
    balancer.update(NODES[1:])
    after = {key: balancer.pick(key, (), Random(2)) for key in before}
    assert all(after[key] == node for key, node in before.items() if node != NODES[0])
    assert NODES[0] in before.values()


def test_it_is_chosen_by_its_name() -> None:
    config = {
        "bee": {
            "rpc": {
                "client": {
                    "calc": {
                        "address": "127.0.0.1:1",
                        "balancer": {"name": "sticky", "options": {"salt": "x"}},
                    }
                }
            }
        }
    }
    with bee_core.build_client(config, plugins=[sticky_balancer]) as client:
        assert isinstance(client.assembly.services["calc"].balancer, StickyBalancer)
