from __future__ import annotations

import pytest

from bee_core.testing import BalancerContract
from bee_plugins.balancers.consistent_hash import ConsistentHash
from bee_plugins.balancers.p2c import PowerOfTwoChoices
from bee_plugins.balancers.round_robin import RoundRobin
from bee_plugins.balancers.weighted_random import WeightedRandom
from bee_plugins.balancers.zone import Zone, ZoneOptions

INNER = [WeightedRandom, RoundRobin, PowerOfTwoChoices, ConsistentHash]


@pytest.mark.parametrize("within", INNER)
class TestZoneContract(BalancerContract):
    @pytest.fixture
    def balancer(self, within):
        return Zone(ZoneOptions(zone="a", within=within()))

    def make_balancer(self):
        raise NotImplementedError
