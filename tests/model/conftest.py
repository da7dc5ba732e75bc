"""The figures of the histories, at the end of a run."""

from __future__ import annotations

import logging

import pytest

FIGURES = ("histories", "steps", "looks", "seconds", "broken")


@pytest.fixture(autouse=True)
def quiet(logging_as_nobody_configured_it):
    """What programs of the model log is their business, and takes time."""
    logging.disable(logging.CRITICAL)


def pytest_terminal_summary(terminalreporter):
    runs = []
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            figures = dict(report.user_properties)
            if all(name in figures for name in FIGURES):
                runs.append((report.nodeid.rpartition("[")[2].rstrip("]"), figures))
    if not runs:
        return
    terminalreporter.section("model")
    total = {name: sum(figures[name] for _, figures in runs) for name in FIGURES}
    days = total["seconds"] / 86400
    terminalreporter.line(
        f"{total['histories']} histories, {total['steps']} steps, {days:.1f} days of virtual time,"
        f" promises looked at {total['looks']} times, {total['broken']} broken"
    )
    for seed, figures in sorted(runs, key=lambda run: int(run[0])):
        if figures["broken"]:
            terminalreporter.line(f"seed {seed}: {figures['broken']} histories broke a promise")
