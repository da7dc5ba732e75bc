"""The whole shop in one process, on the in-memory transport.

The YAML files are those of production; only the addresses differ.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bee_core
from orders import Orders, Stats
from prices import Prices
from shop_api import OrdersApi, PricesApi, StockApi
from stock import Stock

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent


class Shop:
    """Three servers and a customer's client.

    The client closes first: a server waits a moment for clients that are still connected.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._open: dict[str, ExitStack] = {}
        for name in ("stock", "prices", "orders"):
            self.open(name)
        client = self._stack.enter_context(bee_core.build_client(FOLDER / "client.yml"))
        self.orders = client.service("orders", OrdersApi)
        self.stock = client.service("stock", StockApi)

    def open(self, name: str) -> None:
        """Start a server."""
        server = bee_core.build_server(FOLDER / f"{name}.yml")
        stack = self._open[name] = self._stack.enter_context(ExitStack())
        if name == "stock":
            server.add(Stock(), interface=StockApi)
        elif name == "prices":
            server.add(Prices(), interface=PricesApi)
        else:
            stats = Stats()
            server.add(
                Orders(stack.enter_context(bee_core.build_client(FOLDER / "orders.yml")), stats),
                interface=OrdersApi,
            )
            server.add(stats, name="Stats")
        stack.enter_context(server.in_thread())

    def shut(self, name: str) -> None:
        """Stop a server."""
        self._open[name].close()

    def close(self) -> None:
        """Stop all."""
        self._stack.close()


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("SHOP_REGISTRY", "direct")  # the addresses are the nodes
    for name in ("stock", "prices", "orders"):
        monkeypatch.setenv(f"{name.upper()}_ADDRESS", f"memory://{name}")
    monkeypatch.setattr("last_prices._last", {})
    shop = Shop()
    try:
        yield shop
    finally:
        shop.close()
