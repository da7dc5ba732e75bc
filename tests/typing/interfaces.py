"""Interfaces as users write them: a class, a Protocol, an ABC, each also with ``async def``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import bee_core


class Calculator:
    def add(self, a: int, b: int) -> int:
        raise NotImplementedError

    @bee_core.idempotent
    def name(self) -> str:
        raise NotImplementedError


class CalculatorProtocol(Protocol):
    def add(self, a: int, b: int) -> int: ...


class CalculatorABC(ABC):
    @abstractmethod
    def add(self, a: int, b: int = 0) -> int: ...


class AsyncCalculator:
    async def add(self, a: int, b: int) -> int:
        raise NotImplementedError


class AsyncCalculatorProtocol(Protocol):
    async def add(self, a: int, b: int) -> int: ...


class AsyncCalculatorABC(ABC):
    @abstractmethod
    async def add(self, a: int, b: int) -> int: ...


class WithNested(Protocol):
    Stats: StatsInterface

    def add(self, a: int, b: int) -> int: ...


class StatsInterface(Protocol):
    def mean(self, values: list[float]) -> float: ...
