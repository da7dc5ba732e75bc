"""The fallback ``function`` of orders.yml: answers when no server of prices can be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bee_core.errors import CallError

_last: dict[str, int] = {}


def remember(article: str, price: int) -> None:
    """Keep a price that a server gave."""
    _last[article] = price


def last_price(
    service: str,  # noqa: ARG001  # every fallback is given these five
    method: str,  # noqa: ARG001
    args: tuple[Any, ...],
    kwargs: dict[str, Any],  # noqa: ARG001
    error: CallError,
) -> int:
    """The answer instead of ``error``.

    An article never seen before has no price. Then the error stands: an invented price would be
    worse.
    """
    try:
        return _last[args[0]]
    except KeyError:
        raise error from None
