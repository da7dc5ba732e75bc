from __future__ import annotations

from bee_core.testing import BalancerContract
from bee_plugins.balancers.p2c import PowerOfTwoChoices


class TestP2cContract(BalancerContract):
    def make_balancer(self):
        return PowerOfTwoChoices()


class TestP2cWithSlowStartContract(BalancerContract):
    def make_balancer(self):
        balancer = PowerOfTwoChoices()
        balancer.start_slowly(30.0)
        return balancer
