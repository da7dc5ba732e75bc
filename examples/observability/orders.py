"""The service ``orders``: calls prices and stock."""

from __future__ import annotations

from pathlib import Path

import bee_core
from traces import record

record("orders")


class Orders:
    def __init__(self) -> None:
        client = bee_core.build_client(Path(__file__).with_name("orders.yml"))
        self._prices = client.service("prices")
        self._stock = client.service("stock")

    def place(self, article: str, quantity: int) -> int:
        price = self._prices.price(article)
        self._stock.reserve(article, quantity)
        return quantity * price
