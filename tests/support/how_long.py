"""A pytest plugin: a run says at its start how many tests it has and how long they take."""

from __future__ import annotations

import pytest

from support.patience import cores, slowness

COLLECT = 15.0
"""Seconds until the first test starts, on an idle machine."""
SECONDS = {"tests": (14700, 950.0)}
"""For each folder how many tests it has and how long they take, one after the other, idle.

The longest part of a path that stands here counts. The figures are of a machine with two cores.
"""
BUSY = 2.0
"""How many times longer it takes when as many other programs keep all cores busy."""


_TOLD = pytest.StashKey[bool]()


def expected(ids, workers):
    """Seconds that tests take on an idle machine.

    Args:
        ids: As pytest writes them: ``tests/faults/test_close.py::test_name``.
        workers: How many processes run them side by side.
    """
    total = 0.0
    for test in ids:
        path = test.partition("::")[0]
        while path and path not in SECONDS:
            path = path.rpartition("/")[0]
        tests, seconds = SECONDS.get(path, (1, 0.0))
        total += seconds / tests
    return COLLECT + total / workers


def line(ids, workers):
    idle = expected(ids, workers)
    return (
        f"{len(ids)} tests: about {_said(idle)} on an idle machine, {_said(idle * BUSY)} on a busy"
        f" one; just now {slowness():.1f} programs share a core, so about"
        f" {_said(idle * max(1.0, slowness() / max(1.0, workers / cores())))}"
    )


def _said(seconds):
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _tell(config, ids, workers):
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None and reporter.verbosity >= 0:
        reporter.write_line(line(ids, workers))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session):
    if not hasattr(session.config, "workerinput") and session.items:
        _tell(session.config, [item.nodeid for item in session.items], 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids):
    """The first worker that has collected says it for all."""
    if not node.config.stash.get(_TOLD, False):
        node.config.stash[_TOLD] = True
        _tell(node.config, ids, len(node.config.getvalue("tx") or "1"))
