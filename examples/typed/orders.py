"""An order service whose types are the contract.

What a client sends and what it gets are records, and unions of records where there are several
kinds.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from decimal import Decimal


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Line:
    article: str
    qty: int
    price: Decimal
    size: Size = Size.SMALL


@dataclass
class Card:
    number: str
    expires: dt.date


@dataclass
class Invoice:
    company: str
    days: int = 30


@dataclass
class Order:
    lines: list[Line]
    payment: Card | Invoice


@dataclass
class Accepted:
    total: Decimal
    due: dt.date


@dataclass
class Declined:
    reason: str


TODAY = dt.date(
    2026, 3, 1
)  # a shop that never closes its books, so that the example always prints the same


class Orders:
    def place(self, order: Order) -> Accepted | Declined:
        total = sum((line.qty * line.price for line in order.lines), Decimal(0))
        match order.payment:
            case Card(expires=expires):
                return (
                    Accepted(total, TODAY)
                    if expires >= TODAY
                    else Declined(f"the card expired on {expires}")
                )
            case Invoice(days=days):
                return Accepted(total, TODAY + dt.timedelta(days=days))
