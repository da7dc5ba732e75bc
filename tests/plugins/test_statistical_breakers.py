"""The breakers ``success-rate`` and ``outlier``, by themselves."""

from __future__ import annotations

from bee_core.testing import BreakerContract
from bee_plugins.breakers.outlier import Deviation, FailurePercentage, Outlier, OutlierOptions
from bee_plugins.breakers.success_rate import SuccessRate, SuccessRateOptions


class TestSuccessRate(BreakerContract):
    others = 3

    def make_breakers(self):
        return SuccessRate(SuccessRateOptions(base_ejection_time=1.0))


class TestOutlierByDeviation(BreakerContract):
    others = 8

    def make_breakers(self):
        return Outlier(
            OutlierOptions(interval=1.0, base_ejection_time=1.0, failure_percentage=None)
        )


class TestOutlierByPercentage(BreakerContract):
    others = 8

    def make_breakers(self):
        return Outlier(OutlierOptions(interval=1.0, base_ejection_time=1.0, success_rate=None))
