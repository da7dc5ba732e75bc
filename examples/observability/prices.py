"""The service ``prices``."""

from __future__ import annotations

PRICES = {"tea": 450, "cup": 800}


class Prices:
    async def price(self, article: str) -> int:
        return PRICES[article]  # cents; a KeyError reaches the caller as a RemoteError
