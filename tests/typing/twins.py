"""The asyncio and blocking forms.

Written by `bee stub interfaces:Calculator interfaces:WithNested interfaces:Repo
interfaces:UserStore interfaces:Warehouse interfaces:AsyncCalculatorABC`; do not edit.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import bee_core
from interfaces import User

T = TypeVar("T")


class AsyncCalculator(Protocol):
    """The asyncio form of Calculator."""

    async def add(self, a: int, b: int) -> int: ...

    @bee_core.idempotent
    async def name(self) -> str: ...


class AsyncStatsInterface(Protocol):
    """The asyncio form of StatsInterface."""

    async def mean(self, values: list[float]) -> float: ...


class AsyncWithNested(Protocol):
    """The asyncio form of WithNested."""

    Stats: AsyncStatsInterface

    async def add(self, a: int, b: int) -> int: ...


class AsyncRepo(Protocol[T]):
    """The asyncio form of Repo."""

    async def get(self, key: int) -> T: ...

    async def save(self, item: T) -> int: ...


class AsyncUserStore(Protocol):
    """The asyncio form of UserStore."""

    async def first(self) -> User: ...


class AsyncWarehouse(Protocol):
    """What is where."""

    @bee_core.oneway
    async def note(self, text: str) -> None: ...

    async def move(
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


class CalculatorABC(Protocol):
    """The blocking form of AsyncCalculatorABC."""

    def add(self, a: int, b: int) -> int: ...
