"""What is served: it knows nothing of roles."""

from __future__ import annotations


class Accounts:
    """Two accounts, until the server ends."""

    def __init__(self) -> None:
        self._balances = {"ann": 100, "bob": 20}

    def balance(self, name: str) -> int:
        """What somebody has."""
        return self._balances[name]

    def pay(self, name: str, amount: int) -> int:
        """Pay something in; what somebody has then."""
        self._balances[name] += amount
        return self._balances[name]
