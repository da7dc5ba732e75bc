"""``bee.rpc.client.<service>.retry_budget`` as a frozen class."""

from __future__ import annotations

import attrs

from ..options import MisfitError, between
from .fields import setting


@attrs.frozen
class RetryBudgetConfig:
    """``bee.rpc.client.<service>.retry_budget``: how many retries a service may have at most.

    Without ``tokens`` retries are a share of the calls. With ``tokens`` they stop while many calls
    fail.
    """

    ratio: float | None = setting(
        None,
        "Retries for each call, from 0 to 1. With `tokens`: what a call that succeeds gives back.",
        "0.2, as in Finagle and Linkerd: the worst case is a fifth more load. With `tokens` 0.1, as"
        " in the examples of gRPC: retries stop while more than a tenth of the calls fail.",
        check=between(0, 1, "a share from 0 to 1"),
    )
    floor: float = setting(
        10.0,
        "Retries a second that are always there. Not with `tokens`.",
        "As in Finagle and Linkerd: little load to a service, and enough for a client of few calls "
        "to fail over.",
        check=between(0, 10_000, "a number from 0 to 10,000"),
    )
    tokens: float | None = setting(
        None,
        "Tokens, from 1 to 1000: an attempt that fails takes one, and retries are made only while "
        "more than half of them are there.",
        "None: retries are a share of the calls. The form with tokens is gRPC's (proposal A6), and "
        "so is the upper bound.",
        check=between(1, 1000, "a number from 1 to 1000"),
    )

    def __attrs_post_init__(self) -> None:
        """Refuse what holds for the one form beside the other one."""
        if self.tokens is not None and self.floor != attrs.fields(type(self)).floor.default:
            raise MisfitError(
                "floor has no place beside tokens: keep one of them",
                value=str(self),
                expected="ratio and floor, or tokens and ratio",
            )

    @property
    def share(self) -> float:
        """The ratio, stated or not."""
        return self.ratio if self.ratio is not None else 0.2 if self.tokens is None else 0.1

    @property
    def numbers(self) -> tuple[float, float, float | None]:
        """Ratio, floor and tokens."""
        return self.share, self.floor, self.tokens

    def __str__(self) -> str:
        """As it is written in the file."""
        first, value = ("floor", self.floor) if self.tokens is None else ("tokens", self.tokens)
        return f"{{ratio: {self.share:g}, {first}: {value:g}}}"
