"""``faults`` of a client's service or of a server: what is to go wrong, for trials."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import attrs

from ..options import SECONDS, MisfitError, some_text, validator
from .fields import about, setting

_RATE = validator(lambda value: "" if 0 < value <= 1 else "a share above 0 and up to 1, as 0.1")
_UP_TO_AN_HOUR = validator(lambda value: "" if 0 < value <= 3600 else "more than 0, up to 1h")


@attrs.frozen(kw_only=True)
class InjectedFault:
    """What a fault is, at either side.

    Attributes:
        of: What meets it, for people.
    """

    of: ClassVar[str]

    kind: Literal["delay", "error", "drop"] = attrs.field(
        metadata=about(
            "`delay`: what meets it goes on `seconds` later. `error`: it does not run, and fails "
            "with `error`. `drop`: it does not run, and no reply comes."
        )
    )
    rate: float = attrs.field(
        validator=_RATE,
        metadata=about("The share of attempts or requests that meet it, above 0 and up to 1."),
    )
    seconds: Annotated[float, SECONDS] = setting(
        0.1,
        "How long a `delay` is. It ends with the deadline, and earlier when the call is given up.",
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
        None, "Only calls of this method, as `Stats.mean`.", "All methods.", check=some_text
    )

    def __attrs_post_init__(self) -> None:
        """Refuse ``seconds`` of what is no delay, and ``error`` of what is no error.

        Raises:
            MisfitError: It is there.
        """
        fields = attrs.fields(type(self))
        for kind, field in (("delay", fields.seconds), ("error", fields.error)):
            if self.kind != kind and getattr(self, field.name) != field.default:
                raise MisfitError(
                    f"{field.name} is for kind: {kind}, and this one is {self.kind}",
                    value=f"{field.name}: {getattr(self, field.name)}",
                    expected=f"kind: {kind}, or no {field.name}",
                )

    def __str__(self) -> str:
        """One line: ``10% of attempts: delay 0.1 s (add)``."""
        more = {"delay": f" {self.seconds:g} s", "error": f" {self.error}", "drop": ""}
        only = "" if self.method is None else f" ({self.method})"
        return f"{100 * self.rate:.4g}% of {self.of}: {self.kind}{more[self.kind]}{only}"


@attrs.frozen(kw_only=True)
class FaultConfig(InjectedFault):
    """``bee.rpc.client.<service>.faults``: one fault, which some attempts meet.

    None of the attempts that it keeps from running is sent.
    """

    of: ClassVar[str] = "attempts"


@attrs.frozen(kw_only=True)
class ServerFaultConfig(InjectedFault):
    """``bee.rpc.server.faults``: one fault, which some requests meet."""

    of: ClassVar[str] = "requests"

    caller: str | None = setting(
        None,
        "Only requests of this caller: the identity of its token, or the host that it calls from, "
        "as `10.0.0.7`.",
        "All callers.",
        check=some_text,
    )

    def __str__(self) -> str:
        """One line: ``10% of requests: delay 0.1 s (add) of billing``."""
        line = InjectedFault.__str__(self)
        return line if self.caller is None else f"{line} of {self.caller}"

    @property
    def told_to_callers(self) -> str:
        """The same for everybody who may call: it does not name a caller."""
        return str(self if self.caller is None else attrs.evolve(self, caller="one caller"))
