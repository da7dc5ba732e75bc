"""The figures of simulated runs as tables: one column a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .bench.results import time_text
from .output import echo, print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Run = Mapping[str, Any]

POINTS = ("mean", "p50", "p90", "p99", "p99.9", "longest")
_PHASES = ("before", "during", "after")


def print_runs(runs: Sequence[Run]) -> None:
    """Print one run, or several side by side."""
    first = runs[0]
    clients = f", {first['clients']} clients" if first["clients"] > 1 else ""
    echo(
        f"{first['scenario']}: {first['about'] or 'a scenario of your own'}\n"
        f"{first['nodes']:,} nodes{clients}, {first['rate']:,.0f} calls a second for"
        f" {first['seconds']:g} s of virtual time, seed {first['seed']}\n"
        f"all nodes together can handle {first['capacity']:,.0f} calls a second"
    )
    titles = [run["file"] or run["service"] for run in runs]
    rows = [(name, *(show(run) for run in runs)) for name, show in ROWS]
    print_table(("figure", *titles), [row for row in rows if any(cell != "-" for cell in row[1:])])
    if first["phases"]:
        print_table(("phase", *_phase_titles(runs)), _phase_rows(runs))
    for run, title in zip(runs, titles, strict=True):
        _print_trouble(run, title)


def _print_trouble(run: Run, title: str) -> None:
    for line in run["complaints"]:
        echo(f"{title}: {line}", err=True)
    for count, what in (
        (run["ran_twice"], "calls that must run once ran twice"),
        (run["untrue"], "calls said that nothing ran although something did"),
    ):
        if count:
            echo(f"{title}: {count:,} {what}: a bug of bee or of a plugin", err=True)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4%}"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:g} s"


def _point(name: str) -> Callable[[Run], str]:
    return lambda run: "-" if run["latency"] is None else time_text(run["latency"][name])


def _bad(key: str, show: Callable[[Any], str]) -> Callable[[Run], str]:
    return lambda run: "-" if run["bad_nodes"] is None else show(run["bad_nodes"][key])


def _kinds(run: Run) -> str:
    return ", ".join(f"{one['method']} {_share(one['success'])}" for one in run["kinds"])


def _heard(run: Run) -> str:
    kinds = [one for one in run["kinds"] if "heard" in one]
    return ", ".join(f"{one['method']} {_share(one['heard'])}" for one in kinds) or "-"


def _latencies(run: Run) -> str:
    return (
        ", ".join(
            f"{one['method']} {time_text(one['latency']['p50'])} {time_text(one['latency']['p99'])}"
            for one in run["kinds"]
            if one["latency"] is not None
        )
        or "-"
    )


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} times"


def _connections(run: Run) -> str:
    found = run["connections"]
    return f"{found['most_of_a_client']:,}, {found['most_of_a_node']:,}"


def _failures(run: Run) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in run["failures"].items()) or "-"


ROWS: tuple[tuple[str, Callable[[Run], str]], ...] = (
    ("calls", lambda run: f"{run['calls']:,}"),
    ("success", lambda run: _share(run["success"])),
    ("  by method", _kinds),
    ("  nodes that heard it", _heard),
    ("  failures", _failures),
    ("  by the fallback", lambda run: f"{run['degraded']:,}" if run["degraded"] else "-"),
    ("goodput, calls/s", lambda run: f"{run['goodput']:,.1f}"),
    ("extra attempts", lambda run: _share(run["extra_attempts"])),
    ("  handlers ran again", lambda run: f"{run['ran_again']:,}" if run["ran_again"] else "-"),
    *((f"latency {name}", _point(name)) for name in POINTS),
    ("  of methods: p50, p99", _latencies),
    ("busiest node, beside the mean", lambda run: _times(run["balance"]["busiest"])),
    ("connections at most", lambda run: f"{run['connections']['most']:,}"),
    ("  of a client, of a node", _connections),
    ("hits of the caches", lambda run: _share(run["hit_rate"])),
    ("bad nodes' share of attempts", _bad("share", _share)),
    ("  a fair share", _bad("fair_share", _share)),
    ("  after 5 s of trouble", _bad("share_after_5_s", _share)),
    ("time to detect", _bad("detected_after", _seconds)),
    ("first one cut off after", _bad("cut_off_after", _seconds)),
    ("events", lambda run: f"{run['events']:,}"),
    ("digest", lambda run: str(run["digest"])),
)


def _phase_titles(runs: Sequence[Run]) -> tuple[str, ...]:
    found = ("success", "goodput", "extra attempts", "p50", "p99", "p99.9")
    return found if len(runs) == 1 else ("file", *found)


def _phase_rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    rows = []
    for name in _PHASES:
        for run in runs:
            phase = run["phases"].get(name)
            if phase is None:
                continue
            latency = phase["latency"]
            points = [
                "-" if latency is None else time_text(latency[at]) for at in ("p50", "p99", "p99.9")
            ]
            file = () if len(runs) == 1 else (str(run["file"] or run["service"]),)
            rows.append(
                (
                    name,
                    *file,
                    _share(phase["success"]),
                    f"{phase['goodput']:,.1f}",
                    _share(phase["extra_attempts"]),
                    *points,
                )
            )
    return rows
