"""How much a client's lists of nodes are worth: in words, as JSON and as an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .command_group import DOUBTFUL, FAILED
from .output import duration, echo, fields, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..nodes.report import NodesReport

_NAMED = 5  # services, or reasons, in one line


def source_text(report: NodesReport) -> str:
    """Where a list is from and how old it is: ``registry, heard 0.2 s ago``."""
    if report.source == "address" and not report.nodes:
        return "none: no address is configured"
    if report.source is None:
        return "none has answered"
    if report.age is None:
        return report.source
    verb = "written" if report.source == "cache" else "heard"
    return f"{report.source}, {verb} {duration(report.age)} ago"


def outlook_fields(report: NodesReport) -> dict[str, Any]:
    """The same for JSON, and the state of the registry."""
    return {
        **fields(report, "source", "registry", "state"),
        "age": seconds(report.age),
        "silent_for": seconds(report.silent_for),
        **fields(report, "trouble", "doubtful"),
        "in_doubt": len(report.in_doubt),
    }


def print_outlook(reports: Sequence[NodesReport]) -> None:
    """Say on stderr what is wrong with registries and lists. Nothing where all is well."""
    alike: dict[tuple[str, ...], list[NodesReport]] = {}
    for report in reports:
        if report.trouble and report.trouble in report.unknown:
            continue  # the error below has it
        # A registry may refuse one service and not another. Its silence is one line for all.
        own = (report.trouble,) if report.state == "refusing" else ()
        alike.setdefault((report.registry, report.state or "", *own), []).append(report)
    for several in alike.values():
        if said := _registry_line(several):
            echo(f"{_some([report.service for report in several])}: {said}", err=True)
    for report in reports:
        if doubted := report.in_doubt:
            which = "1 node is" if len(doubted) == 1 else f"{len(doubted)} nodes are"
            reasons = _some(list(dict.fromkeys(known.doubt for known in doubted)), "; ")
            echo(f"{report.service}: {which} in doubt: {reasons}", err=True)
        if report.unknown:
            echo(f"error: {report.unknown}", err=True)


def outlook_code(reports: Sequence[NodesReport]) -> int:
    """The exit code: that of the service of which least is known.

    Returns:
        0 where nodes are known, 3 where they are known and doubtful, 1 where none is.
    """
    if not all(report.nodes for report in reports):
        return FAILED
    return DOUBTFUL if any(report.doubtful for report in reports) else 0


def _registry_line(reports: Sequence[NodesReport]) -> str:
    """What is wrong with a registry; empty where nothing is."""
    # The one that knows of the longest silence: others may have begun to ask just now.
    told = max(reports, key=lambda report: report.silent_for or 0.0)
    registry, why = f"the registry {told.registry}", f": {told.trouble}" if told.trouble else ""
    span = "" if told.silent_for is None else f" for {duration(told.silent_for)}"
    if span and told.trouble.endswith(span):  # mere silence: its cause is that it lasts
        span = ""
    if told.state == "unheard":
        return f"{registry} has not answered yet{why}"
    if told.state == "silent":
        return f"{registry} has been out of reach{span}{why}"
    if told.state == "refusing":
        return f"{registry} refuses to answer{why}"
    if told.state == "lying":
        return f"{registry} does not list nodes that say that they serve"
    return ""


def _some(texts: Sequence[str], between: str = ", ") -> str:
    more = [f"{len(texts) - _NAMED} more"] if len(texts) > _NAMED else []
    return between.join([*texts[:_NAMED], *more])
