"""A customer's program: places an order, and shows what came of it."""

from __future__ import annotations

import sys
import uuid

import bee_core
from bee_core.errors import CallError, RemoteError
from shop_api import Line, Order, OrdersApi, StockApi


def euros(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def price(order: Order) -> str:
    if order.estimated:
        return f"{euros(order.total)} with the last known prices"
    return f"{euros(order.total)} ({order.discount} % off)"


with bee_core.build_client("client.yml") as client:
    orders = client.service("orders", OrdersApi)
    stock = client.service("stock", StockApi)
    basket = [Line("tea", 2), Line("cup", 1)]
    try:
        order = orders.place(uuid.uuid4().hex, "ada", basket)
        print("2 tea and 1 cup:", price(order))

        in_a_hurry = bee_core.with_options(orders, timeout=0.45).place(
            uuid.uuid4().hex, "ada", basket
        )
        print("the same in 0.45 s:", price(in_a_hurry))

        print("tea left:", stock.available("tea"))
        print("orders so far:", orders.Stats.figures())
    except RemoteError as error:  # orders did its work and said no
        sys.exit(f"{error.type}: {error.message}")
    except CallError as error:  # orders could not be asked
        sys.exit(f"orders cannot be asked: {error}")
