"""What every balancer must do."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING

import pytest

from bee_core.terms.failures import Success
from bee_core.terms.node import Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.contracts.policies import Balancer


def nodes(*weights: float) -> list[Node]:
    """A node for each weight, ids from ``0`` on."""
    return [
        Node(str(index), f"tcp://10.0.0.{index + 1}:9000", weight=weight)
        for index, weight in enumerate(weights)
    ]


class BalancerContract:
    """Inherit, and say how to make the balancer."""

    @abstractmethod
    def make_balancer(self) -> Balancer:
        """A new balancer with the options under test."""

    def pick(
        self, balancer: Balancer, tried: frozenset[str] = frozenset(), rng: Random | None = None
    ) -> Node | None:
        """Pick, and settle the pick with a success, as the core does."""
        node = balancer.pick("a key", tried, rng or Random(7))  # noqa: S311 - a seeded generator is the point
        if node is not None and balancer.settle is not None:
            balancer.settle(node, Success(b""), 1.0)
        return node

    def test_before_the_first_update_there_is_nothing_to_pick(self) -> None:
        assert self.pick(self.make_balancer()) is None

    def test_an_empty_set_gives_nothing(self) -> None:
        balancer = self.make_balancer()
        balancer.update(nodes(1, 1))
        balancer.update([])
        assert self.pick(balancer) is None

    def test_the_only_node_is_picked(self) -> None:
        balancer = self.make_balancer()
        (only,) = nodes(3)
        balancer.update([only])
        assert self.pick(balancer) is only

    def test_the_nodes_of_the_last_update_are_picked_and_no_others(self) -> None:
        balancer = self.make_balancer()
        before = nodes(1, 1, 1, 1)
        balancer.update(before)
        self.pick(balancer)
        after = before[1:3]
        balancer.update(after)
        rng = Random(1)  # noqa: S311
        assert {self.pick(balancer, rng=rng) for _ in range(200)} <= set(after)

    @pytest.mark.parametrize("weights", [(1, 1, 1, 1), (5, 1, 0.5, 2)])
    def test_a_tried_node_is_never_picked(self, weights: tuple[float, ...]) -> None:
        balancer = self.make_balancer()
        balancer.update(nodes(*weights))
        rng = Random(2)  # noqa: S311
        picked = [self.pick(balancer, frozenset({"0", "2"}), rng) for _ in range(200)]
        assert {node.id for node in picked if node} <= {"1", "3"}
        assert None not in picked

    def test_when_all_were_tried_there_is_nothing_to_pick(self) -> None:
        balancer = self.make_balancer()
        balancer.update(nodes(1, 2, 3))
        assert self.pick(balancer, frozenset({"0", "1", "2"})) is None

    def test_every_node_is_reached_by_trying_the_others(self) -> None:
        balancer = self.make_balancer()
        balancer.update(nodes(1, 1, 1, 1, 1))
        rng = Random(3)  # noqa: S311
        tried: set[str] = set()
        while (node := self.pick(balancer, frozenset(tried), rng)) is not None:
            tried.add(node.id)
        assert tried == {"0", "1", "2", "3", "4"}

    def test_a_node_of_weight_zero_gets_no_calls_even_when_it_is_alone(self) -> None:
        balancer = self.make_balancer()
        balancer.update(nodes(0, 1))
        rng = Random(4)  # noqa: S311
        assert {node.id for _ in range(100) if (node := self.pick(balancer, rng=rng))} == {"1"}
        assert self.pick(balancer, frozenset({"1"})) is None
        balancer.update(nodes(0))
        assert self.pick(balancer) is None

    def test_a_twin_where_there_is_one_picks_the_same_and_its_picks_have_no_effect(self) -> None:
        balancer = self.make_balancer()
        balancer.update(nodes(1, 2, 3))
        self.pick(balancer)
        twin: Callable[[], Balancer] = getattr(balancer, "twin", lambda: balancer)
        copy, rng = twin(), Random(5)  # noqa: S311
        if copy is not balancer:
            ahead = [self.pick(copy, rng=rng) for _ in range(10)]
            rng = Random(5)  # noqa: S311
            assert [self.pick(balancer, rng=rng) for _ in range(10)] == ahead

    def test_threads_pick_while_the_set_changes(self) -> None:
        balancer = self.make_balancer()
        all_nodes = nodes(*range(1, 20))
        balancer.update(all_nodes)

        def picks(seed: int) -> bool:
            rng = Random(seed)  # noqa: S311
            return all(self.pick(balancer, rng=rng) in all_nodes for _ in range(500))

        with ThreadPoolExecutor(4) as threads:
            running = [threads.submit(picks, seed) for seed in range(4)]
            for size in range(1, 20):
                balancer.update(all_nodes[:size])
            assert all(future.result() for future in running)
