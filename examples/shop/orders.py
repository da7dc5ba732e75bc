"""The service ``orders``: calls stock and prices.

orders.yml says how it calls them: which nodes, how long, how often, and what if they fail.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import bee_core
from bee_core.errors import CallError, RemoteError
from last_prices import remember
from shop_api import Figures, Line, Order, PricesApi, StatsApi, StockApi


class NotPlaced(Exception):  # read by people: "NotPlaced: 3 tea wanted, 2 left"
    """The order was not placed, and why. It can be sent again with the same id."""


class Stats(StatsApi):
    """Served under the name Stats: ``orders.Stats.figures()``."""

    def __init__(self) -> None:
        self._estimated: dict[str, bool] = {}
        self._lock = Lock()

    def figures(self) -> Figures:
        with self._lock:
            return Figures(len(self._estimated), sum(self._estimated.values()))

    def _count(
        self, order: Order
    ) -> None:  # names with an underscore cannot be called from outside
        with self._lock:
            self._estimated[order.id] = (
                order.estimated
            )  # by its id: an order that is sent twice counts once


stats = Stats()


class Orders:
    """Its handlers are plain ``def``: each runs on a thread, so it may use the blocking client."""

    def __init__(self, client: bee_core.Client | None = None, stats: Stats = stats) -> None:
        client = client or bee_core.build_client(Path(__file__).with_name("orders.yml"))
        self._stock = client.service("stock", StockApi)
        self._prices = client.service("prices", PricesApi)
        self._stats = stats

    def place(self, order_id: str, customer: str, lines: list[Line]) -> Order:
        """Price, then reserve: what fails before the last step leaves nothing behind.

        All calls end when this handler's caller gives up: they inherit its deadline and baggage.
        """
        try:
            prices = [bee_core.detailed(self._prices.price, line.article) for line in lines]
            discount = self._prices.discount(customer)
            self._stock.reserve(order_id, lines)
        except RemoteError as error:  # the other service did its work and said no
            raise NotPlaced(error.message) from error
        except CallError as error:  # it could not be asked, and no fallback answered
            raise NotPlaced(
                f"{error.service} cannot be asked at present; send the order again"
            ) from error

        for line, price in zip(lines, prices, strict=True):
            if not price.degraded:
                remember(line.article, price.value)
        total = (
            sum(line.quantity * price.value for line, price in zip(lines, prices, strict=True))
            * (100 - discount)
            // 100
        )
        order = Order(
            order_id, lines, discount, total, estimated=any(price.degraded for price in prices)
        )
        self._stats._count(order)  # noqa: SLF001  # the same module
        return order
