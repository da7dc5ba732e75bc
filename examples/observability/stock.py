"""The service ``stock``."""

from __future__ import annotations

from threading import Lock

from traces import record

record("stock")


class OutOfStock(Exception):
    pass


class Stock:
    def __init__(self) -> None:
        self._shelf = {"tea": 1000, "cup": 0}
        self._lock = Lock()

    def reserve(self, article: str, quantity: int) -> None:
        with self._lock:
            if self._shelf[article] < quantity:
                raise OutOfStock(article)
            self._shelf[article] -= quantity
