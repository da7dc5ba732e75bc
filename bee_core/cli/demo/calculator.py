"""What the demo's servers serve."""

from __future__ import annotations

from ...methods.decorators import nonblocking


class Calculator:
    """Adds."""

    @nonblocking
    def add(self, a: int, b: int) -> int:
        """The sum."""
        return a + b
