"""How important a call is. Who must turn calls away turns away the least important ones first.

The four levels are those of Google's *Site Reliability Engineering*, chapter 21, "Handling
Overload".

A level travels as baggage under :data:`CRITICALITY`. So it reaches the calls that a handler makes,
over every transport, and a peer that does not know it hands it on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .metadata import Metadata

Criticality = Literal["critical_plus", "critical", "sheddable_plus", "sheddable"]
"""The most important first.

``critical_plus``: its loss is an outage that people see. ``critical``: the level of a call that
states none. ``sheddable_plus``: may fail for minutes, such as a batch job that tries again.
``sheddable``: may fail for hours.
"""

CRITICALITIES: tuple[Criticality, ...] = get_args(Criticality)
"""All levels, the most important first."""

USUAL: Criticality = "critical"
"""The level of a call that states none: nobody has said that it may be lost."""

CRITICALITY = "bee.criticality"
"""The name in the baggage under which a level travels."""

SHARES: Mapping[Criticality, float] = {
    "critical_plus": 1.0,
    "critical": 1.0,
    "sheddable_plus": 0.9,
    "sheddable": 0.8,
}
"""How much of a limit a level may fill. The rest is kept for the levels above it.

A tenth for each level below the usual one: more than the steps of chance in an even stream of some
dozen calls, and little enough that a server with nothing else to do still works at four fifths.
"""

_ROUNDING = 1e-9  # 0.9 * 10 may be a little under 9
_KNOWN = frozenset(CRITICALITIES)


def criticality_of(baggage: Metadata) -> Criticality:
    """The level that a call's baggage states; the usual one where it states none, or no level."""
    stated = baggage.get(CRITICALITY)
    known = isinstance(stated, str) and stated in _KNOWN
    return stated if known else USUAL  # type: ignore[return-value]  # it is one of them


def lower(one: Criticality, other: Criticality) -> Criticality:
    """The less important of two levels."""
    return max(one, other, key=CRITICALITIES.index)


def part_of(limit: float, level: Criticality) -> int:
    """The part of a limit that a level may fill; at least one, so that no level is shut out."""
    return max(1, int(limit * SHARES[level] + _ROUNDING))
