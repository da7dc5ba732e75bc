"""A client that knows the types, and what it is told when something does not fit."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import bee_core
from bee_core.errors import InvalidArgument
from orders import Accepted, Card, Declined, Invoice, Line, Order, Orders, Size


def show(answer: Accepted | Declined) -> None:
    match answer:
        case Accepted(total, due):
            print(f"accepted: {total}, due on {due}")
        case Declined(reason):
            print(f"declined: {reason}")


with bee_core.build_client("bee.yml") as client:
    orders: Orders = client.service("orders", Orders)
    lines = [Line("tea", 2, Decimal("4.10")), Line("honey", 1, Decimal("7.80"), Size.LARGE)]
    show(orders.place(Order(lines, Invoice("Bees & Sons", days=14))))
    show(orders.place(Order(lines, Card("4111", dt.date(2027, 1, 31)))))
    show(orders.place(Order(lines, Card("4111", dt.date(2025, 1, 31)))))

    try:
        wrong: Any = "two"
        orders.place(Order([*lines, Line("jam", wrong, Decimal("3.20"))], Invoice("Bees & Sons")))
    except InvalidArgument as error:
        print("refused before anything was sent:", error.message)

    # Without the types, as a client in another language sees it: the field $type names the class.
    untyped = client.service("orders")
    print(
        "as it is on the wire:",
        untyped.place({"lines": [], "payment": {"$type": "Invoice", "company": "Bees & Sons"}}),
    )
    try:
        untyped.place({"lines": [], "payment": {"$type": "Barter", "goods": "wax"}})
    except InvalidArgument as error:
        print("refused by the server:", error.message)
