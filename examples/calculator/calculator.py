"""What is served: two classes that know nothing of bee."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Summary:
    """What ``Stats.summary`` returns; it travels as a JSON object and arrives as this class."""

    count: int
    mean: float
    largest: float


class Calculator:
    """Bare methods of the service."""

    def add(self, a: int, b: int) -> int:
        """The sum."""
        return a + b

    def divide(self, a: float, b: float) -> float:
        """The quotient; raises ZeroDivisionError, as Python does."""
        return a / b


class Stats:
    """Methods under the name ``Stats``."""

    async def mean(self, values: list[float]) -> float:
        """The arithmetic mean."""
        return sum(values) / len(values)

    async def summary(self, values: list[float]) -> Summary:
        """Several figures at once."""
        return Summary(len(values), sum(values) / len(values), max(values))
