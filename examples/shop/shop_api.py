"""The contracts between the services: what may be called, with which types, what may run twice.

The one module that all of them share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bee_core import idempotent


@dataclass(frozen=True)
class Line:
    """So many of one article."""

    article: str
    quantity: int


@dataclass(frozen=True)
class Order:
    """An order as it was placed. Amounts are in cents."""

    id: str
    lines: list[Line]
    discount: int
    total: int
    estimated: bool
    """Whether a price is the last one known, since no server of prices could be reached."""


@dataclass(frozen=True)
class Figures:
    """What the orders service has done since it started."""

    placed: int
    estimated: int


class StockApi(Protocol):
    """The service ``stock``."""

    @idempotent
    def available(self, article: str) -> int: ...

    @idempotent  # a write that is safe to repeat: the order's id shows that it is the same order
    def reserve(self, order_id: str, lines: list[Line]) -> None: ...

    def restock(
        self, article: str, quantity: int
    ) -> int: ...  # not marked: run twice, it would add twice


class PricesApi(Protocol):
    """The service ``prices``."""

    @idempotent
    def price(self, article: str) -> int: ...

    @idempotent
    def discount(self, customer: str) -> int: ...


class StatsApi(Protocol):
    """The object ``Stats`` of the service ``orders``."""

    @idempotent
    def figures(self) -> Figures: ...


class OrdersApi(Protocol):
    """The service ``orders``. An attribute annotated with another interface is a named object."""

    Stats: StatsApi

    @idempotent
    def place(self, order_id: str, customer: str, lines: list[Line]) -> Order: ...
