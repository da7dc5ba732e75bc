"""What the tests of ``p2c`` share."""

from __future__ import annotations

from collections import Counter
from random import Random

from bee_core.interfaces import Failure, Load, Node, Success
from bee_plugins.balancers.p2c import PowerOfTwoChoices

OK = Success(b"")


def nodes(*weights):
    return [
        Node(str(index), f"tcp://10.0.0.{index + 1}:9000", weight=weight)
        for index, weight in enumerate(weights)
    ]


def balancer_of(*weights):
    balancer = PowerOfTwoChoices()
    balancer.update(nodes(*weights))
    return balancer


def load_of(balancer, node_id):
    return balancer.loads[node_id]


def in_flight(balancer):
    return {id_: len(load.running) for id_, load in balancer.loads.items()}


def picks(balancer, number, now=0.0, seed=1, seconds=0.01):
    """Sequential calls that all take the same time."""
    rng, counts = Random(seed), Counter()
    for _ in range(number):
        node = balancer.pick(None, (), now, rng)
        counts[node.id] += 1
        balancer.settle(node, OK, seconds, now)
    return counts


def failure(kind="unavailable", executed="no", blame="node"):
    return Failure(kind, "it failed", executed, "other", blame)


def picks_without_settling(balancer, number, now=0.0):
    rng = Random(1)
    return [balancer.pick(None, (), now, rng).id for _ in range(number)]


def reporting(balancer, node_id, in_flight, now, seconds=0.010, lag=0.0):
    node = load_of(balancer, node_id).node
    balancer.settle(node, Success(b"", load=Load(in_flight + 1, lag)), seconds, now)
