"""Interfaces as users write them: a class, a Protocol, an ABC, each also with ``async def``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

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


T = TypeVar("T")


@dataclass
class User:
    id: int


class Repo(Protocol[T]):
    def get(self, key: int) -> T: ...

    def save(self, item: T) -> int: ...


class Users(Repo[User], Protocol): ...


class Store(Generic[T]):
    def first(self) -> T:
        raise NotImplementedError


class UserStore(Store[User]): ...


class OutOfStock(Exception):
    sku: int


class LookupErrorOfOurs(LookupError):
    key: str


class Sales(Protocol):
    @bee_core.raises(OutOfStock)
    def sell(self, sku: int) -> int: ...

    @bee_core.raises(OutOfStock, LookupErrorOfOurs)
    async def reserve(self, sku: int) -> str: ...


class AsyncRepo(Protocol[T]):
    async def get(self, key: int) -> T: ...

    async def save(self, item: T) -> int: ...


class Warehouse(Protocol):
    """What is where."""

    @bee_core.oneway
    def note(self, text: str) -> None: ...

    def move(
        self,
        user: User,
        /,
        amounts: dict[str, list[float]],
        *places: int,
        limit: int | None = None,
        **more: str,
    ) -> tuple[User, ...]:
        """Move things.

        Everything goes at once.
        """
        ...
