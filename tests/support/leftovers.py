"""A pytest plugin: no process that a test has started outlives the run; see ``processes``."""

from __future__ import annotations

import os
import sys
from uuid import uuid4

import pytest

from support.processes import RUN, end_all, guard, tie_forks
from support.warm import nursery

_NAME = pytest.StashKey[str]()
_BEFORE = pytest.StashKey[str]()
_FOUND = pytest.StashKey[list]()
GRACE = 3.0
"""Seconds that processes have to end by themselves once all tests are over."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if sys.platform != "linux":
        return
    tie_forks()
    before = os.environ.get(RUN, "")
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        os.environ[RUN] = f"{before}{worker['workerid']}/"
    else:
        config.stash[_BEFORE] = before
        config.stash[_NAME] = os.environ[RUN] = f"{before}{uuid4().hex[:8]}/"
        guard(os.environ[RUN])


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_testnodedown(node, error):
    """A worker that died cannot end its servers."""
    name = node.config.stash.get(_NAME, None)
    if error and name is not None:
        _end(node.config, f"{name}{node.gateway.id}/")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """After all fixtures and, where there are workers, after their end."""
    nursery.close()
    name = session.config.stash.get(_NAME, None)
    if name is not None:
        _end(session.config, name, grace=GRACE, parent=os.getpid())


def _end(config, name, **options):
    config.stash.setdefault(_FOUND, []).extend(end_all(name, **options))


def pytest_terminal_summary(terminalreporter, config):
    found = config.stash.get(_FOUND, [])
    if found:
        terminalreporter.section("processes that their tests left behind, now ended")
        for command in found:
            terminalreporter.line(command)


def pytest_unconfigure(config):
    if _NAME in config.stash:
        os.environ[RUN] = config.stash[_BEFORE]
        if not os.environ[RUN]:
            del os.environ[RUN]
