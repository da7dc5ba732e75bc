"""What every balancer must do: which nodes it may pick, and that threads may share it.

The suite does not check how picks are spread over the nodes. This is what makes the balancer, so
its own tests check it.
"""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from bee_core.terms.failures import Success
from bee_core.terms.node import Node

from .fakes import seeded_random
from .held_locks import after_a_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from bee_core.contracts.policies import Balancer


def nodes(*weights: float) -> list[Node]:
    """A node for each weight, ids from ``0`` on."""
    return [
        Node(str(index), f"tcp://10.0.0.{index + 1}:9000", weight=weight)
        for index, weight in enumerate(weights)
    ]


class BalancerContract:
    """Inherit, and say how to make the balancer. With every pick and every answer time passes."""

    now = 1000.0

    @abstractmethod
    def make_balancer(self) -> Balancer:
        """A new balancer with the options under test."""

    @pytest.fixture
    def balancer(self) -> Balancer:
        """The balancer of one test."""
        return self.make_balancer()

    def tick(self) -> float:
        """The time."""
        self.now += 0.001
        return self.now

    def pick(
        self, balancer: Balancer, tried: frozenset[str] = frozenset(), rng: Random | None = None
    ) -> Node | None:
        """Pick, and settle the pick with a success, as the core does."""
        node = balancer.pick("a key", tried, self.tick(), rng or seeded_random(7))
        if node is not None and balancer.settle is not None:
            balancer.settle(node, Success(b""), 0.001, self.tick())
        return node

    def test_before_the_first_update_there_is_nothing_to_pick(self, balancer: Balancer) -> None:
        assert self.pick(balancer) is None

    def test_an_empty_set_gives_nothing(self, balancer: Balancer) -> None:
        balancer.update(nodes(1, 1))
        balancer.update([])
        assert self.pick(balancer) is None

    def test_the_only_node_is_picked(self, balancer: Balancer) -> None:
        (only,) = nodes(3)
        balancer.update([only])
        assert self.pick(balancer) is only

    def test_the_nodes_of_the_last_update_are_picked_and_no_others(
        self, balancer: Balancer
    ) -> None:
        before = nodes(1, 1, 1, 1)
        balancer.update(before)
        self.pick(balancer)
        after = before[1:3]
        balancer.update(after)
        rng = seeded_random(1)
        assert {self.pick(balancer, rng=rng) for _ in range(200)} <= set(after)

    @pytest.mark.parametrize("weights", [(1, 1, 1, 1), (5, 1, 0.5, 2)])
    def test_a_tried_node_is_never_picked(
        self, balancer: Balancer, weights: tuple[float, ...]
    ) -> None:
        balancer.update(nodes(*weights))
        rng = seeded_random(2)
        picked = [self.pick(balancer, frozenset({"0", "2"}), rng) for _ in range(200)]
        assert {node.id for node in picked if node} <= {"1", "3"}
        assert None not in picked

    def test_when_all_were_tried_there_is_nothing_to_pick(self, balancer: Balancer) -> None:
        balancer.update(nodes(1, 2, 3))
        assert self.pick(balancer, frozenset({"0", "1", "2"})) is None

    def test_every_node_is_reached_by_trying_the_others(self, balancer: Balancer) -> None:
        balancer.update(nodes(1, 1, 1, 1, 1))
        rng = seeded_random(3)
        tried: set[str] = set()
        while (node := self.pick(balancer, frozenset(tried), rng)) is not None:
            tried.add(node.id)
        assert tried == {"0", "1", "2", "3", "4"}

    def test_a_node_of_weight_zero_gets_no_calls_even_when_it_is_alone(
        self, balancer: Balancer
    ) -> None:
        balancer.update(nodes(0, 1))
        rng = seeded_random(4)
        assert {node.id for _ in range(100) if (node := self.pick(balancer, rng=rng))} == {"1"}
        assert self.pick(balancer, frozenset({"1"})) is None
        balancer.update(nodes(0))
        assert self.pick(balancer) is None

    def test_a_twin_where_there_is_one_picks_the_same_and_its_picks_have_no_effect(
        self, balancer: Balancer
    ) -> None:
        balancer.update(nodes(1, 2, 3))
        self.pick(balancer)
        twin: Callable[[], Balancer] = getattr(balancer, "twin", lambda: balancer)
        copy, rng = twin(), seeded_random(5)
        if copy is not balancer:
            ahead = [self.pick(copy, rng=rng) for _ in range(10)]
            rng = seeded_random(5)
            assert [self.pick(balancer, rng=rng) for _ in range(10)] == ahead

    def test_what_is_picked_is_a_node_of_the_list_itself(self, balancer: Balancer) -> None:
        listed = nodes(1, 1, 1)
        balancer.update(listed)
        rng = seeded_random(6)
        for _ in range(50):
            picked = self.pick(balancer, rng=rng)
            assert any(picked is node for node in listed)

    def test_a_pick_that_was_given_up_is_settled_like_any_other(self, balancer: Balancer) -> None:
        balancer.update(nodes(1, 1))
        rng = seeded_random(8)
        for _ in range(200):
            node = balancer.pick(None, (), self.tick(), rng)
            assert node is not None
            if balancer.settle is not None:
                balancer.settle(node, None, 0.0, self.tick())
        assert self.pick(balancer, rng=rng) is not None

    def test_a_node_may_leave_and_come_back_between_a_pick_and_its_end(
        self, balancer: Balancer
    ) -> None:
        listed = nodes(1, 1, 1)
        balancer.update(listed)
        rng = seeded_random(9)
        for left in ([], listed[1:], listed):
            node = balancer.pick(None, (), self.tick(), rng)
            assert node is not None
            balancer.update(left)
            if balancer.settle is not None:
                balancer.settle(node, Success(b""), 0.001, self.tick())
            balancer.update(listed)
        assert self.pick(balancer, rng=rng) is not None

    def test_with_slow_start_where_there_is_one_every_node_is_still_reached(
        self, balancer: Balancer
    ) -> None:
        start: Callable[[float], None] | None = getattr(balancer, "start_slowly", None)
        if start is None:
            return
        start(10.0)
        balancer.update(nodes(1, 1))
        self.pick(balancer)
        balancer.update(nodes(1, 1, 1))
        rng = seeded_random(10)
        assert self.pick(balancer, frozenset({"0", "1"}), rng) == nodes(1, 1, 1)[2]
        assert all(self.pick(balancer, rng=rng) is not None for _ in range(50))

    def test_what_it_is_told_and_asked_besides_has_no_effect_on_who_may_be_picked(
        self, balancer: Balancer
    ) -> None:
        known = nodes(1, 1, 1, 1)
        listed: Callable[[list[Node]], None] = getattr(balancer, "listed", lambda _: None)
        remark: Callable[[Node, float], str] = getattr(balancer, "remark", lambda *_: "")
        listed(known)
        balancer.update(known[:2])
        rng = seeded_random(11)
        assert {self.pick(balancer, rng=rng) for _ in range(100)} <= set(known[:2])
        assert all(isinstance(remark(node, self.tick()), str) for node in known)

    def test_in_a_forked_child_no_lock_of_the_parent_is_waited_for(
        self, balancer: Balancer
    ) -> None:
        balancer.update(nodes(1, 2, 3))
        self.pick(balancer)

        def use() -> None:
            assert self.pick(balancer) is not None
            balancer.update(nodes(1, 2))
            assert self.pick(balancer) is not None

        after_a_fork((balancer,), use)

    def test_threads_pick_while_the_set_changes(self, balancer: Balancer) -> None:
        all_nodes = nodes(*range(1, 20))
        balancer.update(all_nodes)

        def picks(seed: int) -> bool:
            rng = seeded_random(seed)
            return all(self.pick(balancer, rng=rng) in all_nodes for _ in range(500))

        with ThreadPoolExecutor(4) as threads:
            running = [threads.submit(picks, seed) for seed in range(4)]
            for size in range(1, 20):
                balancer.update(all_nodes[:size])
            assert all(future.result() for future in running)
