"""The service ``stock``: what lies on the shelves. Calls nobody."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from bee_core import nonblocking
from shop_api import Line, StockApi

if TYPE_CHECKING:
    from collections.abc import Iterable


class OutOfStock(Exception):  # read by people: "OutOfStock: 3 tea, 2 left"
    """There is not enough.

    The caller gets a RemoteError of this type. It is not retried, and breakers do not count it.
    """


class Stock(StockApi):
    """Keeps everything in memory; a real one would have a database."""

    def __init__(self, shelf: Iterable[Line] = (Line("tea", 100), Line("cup", 20))) -> None:
        self._shelf = {line.article: line.quantity for line in shelf}
        self._reserved: set[str] = set()
        self._lock = Lock()

    @nonblocking  # only looks into a dict: runs on the event loop, without a hop to a thread
    def available(self, article: str) -> int:
        return self._shelf.get(article, 0)

    def reserve(
        self, order_id: str, lines: list[Line]
    ) -> None:  # a plain def may wait, here for a lock: runs on a thread of the service's own pool
        with self._lock:
            if order_id in self._reserved:
                return
            for line in lines:
                if self.available(line.article) < line.quantity:
                    raise OutOfStock(
                        f"{line.quantity} {line.article} wanted, "
                        f"{self.available(line.article)} left"
                    )
            for line in lines:
                self._shelf[line.article] -= line.quantity
            self._reserved.add(order_id)

    def restock(self, article: str, quantity: int) -> int:
        with self._lock:
            self._shelf[article] = self.available(article) + quantity
            return self._shelf[article]
