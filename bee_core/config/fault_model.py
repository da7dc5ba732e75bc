"""``faults`` of a client's service or of a server: what is to go wrong, for trials."""

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
        only = "" if self.method is None else f" ({self.method})"
        return f"{100 * self.rate:.4g}% of attempts: {_what(self)}{only}"


@attrs.frozen(kw_only=True)
class ServerFaultConfig:
    """``bee.rpc.server.faults``: one fault, which some requests meet."""

    kind: Literal["delay", "error", "drop"] = attrs.field(
        metadata=about(
            "`delay`: the handler begins `seconds` later. `error`: it does not run, and the answer "
            "is `error`. `drop`: it does not run, and no answer is sent."
        )
    )
    rate: float = attrs.field(
        validator=_RATE,
        metadata=about("The share of the requests that meet it, above 0 and up to 1."),
    )
    seconds: Annotated[float, SECONDS] = setting(
        0.1,
        "How long a `delay` is. It ends earlier with the deadline, a cancel or the drain.",
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
        None, "Only requests for this method, as `Stats.mean`.", "All methods.", check=some_text
    )
    caller: str | None = setting(
        None,
        "Only requests of this caller: the identity of its token, or the host that it calls from, "
        "as `10.0.0.7`.",
        "All callers.",
        check=some_text,
    )

    def __str__(self) -> str:
        """One line: ``10% of requests: delay 0.1 s (add) of billing``."""
        only = "" if self.method is None else f" ({self.method})"
        of = "" if self.caller is None else f" of {self.caller}"
        return f"{100 * self.rate:.4g}% of requests: {_what(self)}{only}{of}"

    @property
    def told_to_callers(self) -> str:
        """The same for everybody who may call: it does not name a caller."""
        return str(self if self.caller is None else attrs.evolve(self, caller="one caller"))


def _what(fault: FaultConfig | ServerFaultConfig) -> str:
    more = {"delay": f" {fault.seconds:g} s", "error": f" {fault.error}", "drop": ""}
    return f"{fault.kind}{more[fault.kind]}"
