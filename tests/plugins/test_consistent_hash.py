from __future__ import annotations

from bee_core.testing import BalancerContract
from bee_plugins.balancers.consistent_hash import ConsistentHash, ConsistentHashOptions


class TestConsistentHashContract(BalancerContract):
    def make_balancer(self):
        return ConsistentHash()


class TestBoundedConsistentHashContract(BalancerContract):
    def make_balancer(self):
        return ConsistentHash(ConsistentHashOptions(bound=1.25))


class TestConsistentHashWithSlowStartContract(BalancerContract):
    def make_balancer(self):
        balancer = ConsistentHash()
        balancer.start_slowly(30.0)
        return balancer
