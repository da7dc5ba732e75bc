from __future__ import annotations

import pytest

from bee_core.testing import BalancerContract
from bee_plugins.balancers.consistent_hash import ConsistentHash
from bee_plugins.balancers.p2c import PowerOfTwoChoices
from bee_plugins.balancers.round_robin import RoundRobin
from bee_plugins.balancers.subset import Subset, SubsetOptions
from bee_plugins.balancers.weighted_random import WeightedRandom

INNER = [WeightedRandom, RoundRobin, PowerOfTwoChoices, ConsistentHash]


@pytest.mark.parametrize("within", INNER)
@pytest.mark.parametrize("client", [None, "host-1"])
@pytest.mark.parametrize("size", [1, 3, 30])
class TestSubsetContract(BalancerContract):
    @pytest.fixture
    def balancer(self, within, size, client):
        return Subset(SubsetOptions(size=size, within=within(), client=client))

    def make_balancer(self):
        raise NotImplementedError
