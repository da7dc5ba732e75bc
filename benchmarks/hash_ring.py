"""What ``consistent-hash`` costs: ``python -m benchmarks.hash_ring [--nodes N]``.

CPU time of this thread, the best of some rounds. It opens no connection.
"""

from __future__ import annotations

import argparse
import time
from random import Random
from typing import TYPE_CHECKING

from bee_core.interfaces import Node
from bee_plugins.balancers.consistent_hash import ConsistentHash

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
PICKS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=10_000)
    count = parser.parse_args().nodes
    nodes = [
        Node(f"n{number}", f"tcp://10.{number >> 16}.{number >> 8 & 255}.{number & 255}:9000")
        for number in range(count)
    ]
    rng = Random(1)  # noqa: S311  reproducible, and no secret
    ring = ConsistentHash()

    def picks() -> None:
        for number in range(PICKS):
            ring.pick(str(number), (), 0.0, rng)

    show(f"first list of {count:,} nodes", best(lambda: ConsistentHash().update(nodes)))
    ring.update(nodes)
    show("the same list again", best(lambda: ring.update(nodes)))
    show("one node goes", best(lambda: ring.update(nodes[1:]), lambda: ring.update(nodes)))
    show("one node comes", best(lambda: ring.update(nodes), lambda: ring.update(nodes[1:])))
    some = count // 100
    show(f"{some} nodes go", best(lambda: ring.update(nodes[some:]), lambda: ring.update(nodes)))
    show(f"first {PICKS:,} picks, which sort arcs", best(picks, lambda: fill(ring, nodes)))
    show(f"{PICKS:,} picks", best(picks))


def fill(ring: ConsistentHash, nodes: list[Node]) -> None:
    """No arc of the ring is sorted."""
    ring.update([])
    ring.update(nodes)


def best(step: Callable[[], None], before: Callable[[], None] = lambda: None) -> float:
    """Seconds that a step takes."""
    taken = []
    for _ in range(ROUNDS):
        before()
        began = time.thread_time()
        step()
        taken.append(time.thread_time() - began)
    return min(taken)


def show(what: str, seconds: float) -> None:
    print(f"{what:36} {seconds * 1000:9.2f} ms")


if __name__ == "__main__":
    main()
