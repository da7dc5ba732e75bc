"""``faults`` of a client's service: what is to go wrong, for trials of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs

from ..options import SECONDS, some_text, validator
from .fields import about, setting

_RATE = validator(lambda value: "" if 0 < value <= 1 else "a share above 0 and up to 1, as 0.1")
_UP_TO_AN_HOUR = validator(lambda value: "" if 0 < value <= 3600 else "more than 0, up to 1h")


@attrs.frozen(kw_only=True)
class FaultConfig:
    """``bee.rpc.client.<service>.faults``: one fault, which some attempts meet."""

    kind: Literal["delay", "error", "drop"] = attrs.field(
        metadata=about(
            "`delay`: the request is sent `seconds` later. `error`: it is not sent, and fails with "
            "`error`. `drop`: it is not sent, and no reply comes."
        )
    )
    rate: float = attrs.field(
        validator=_RATE,
        metadata=about("The share of the attempts that meet it, above 0 and up to 1."),
    )
    seconds: Annotated[float, SECONDS] = setting(
        0.1,
        "How long a `delay` is.",
        "Longer than most calls in one place take, so that it shows.",
        check=_UP_TO_AN_HOUR,
        unit="seconds",
    )
    error: Literal["Unavailable", "Overloaded"] = setting(
        "Unavailable",
        "What an `error` is. Both say truly that the handler did not run.",
        "What a node that has gone gives.",
    )
    method: str | None = setting(
        None, "Only attempts to call this method, as `Stats.mean`.", "All methods.", check=some_text
    )

    def __str__(self) -> str:
        """One line: ``10% of attempts: delay 0.1 s (add)``."""
        more = {"delay": f" {self.seconds:g} s", "error": f" {self.error}", "drop": ""}[self.kind]
        only = "" if self.method is None else f" ({self.method})"
        return f"{100 * self.rate:.4g}% of attempts: {self.kind}{more}{only}"
