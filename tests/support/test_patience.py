"""The limits of tests follow the machine's load."""

from __future__ import annotations

import os
import sys

import pytest

from support import patience
from support.patience import SLOWNESS, cores, scaled, slowness
from support.processes import end, start
from support.stuck import Watch


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    monkeypatch.delenv(SLOWNESS, raising=False)


def means(monkeypatch, load):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))


def test_an_idle_machine_has_the_limits_as_they_are_written(monkeypatch):
    means(monkeypatch, 0.0)
    monkeypatch.setattr(patience, "running", lambda: 0)
    assert slowness() == 1.0
    assert scaled(10.0) == 10.0


def test_a_busy_one_has_longer_limits_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(patience, "running", lambda: 0)
    means(monkeypatch, 3.0 * cores())
    assert scaled(10.0) == 30.0
    means(monkeypatch, 1000.0 * cores())
    assert scaled(10.0) == 10.0 * patience.MOST


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_load_counts_at_once_and_not_only_in_the_mean_of_a_minute(monkeypatch):
    means(monkeypatch, 0.0)
    busy = [start([sys.executable, "-c", "while True: pass"]) for _ in range(3 * cores())]
    try:
        while slowness() < 2.0:  # they have to come up; the limit of this test ends it
            pass
    finally:
        for process in busy:
            end(process)


def test_a_stated_slowness_is_taken(monkeypatch):
    monkeypatch.setenv(SLOWNESS, "2.5")
    assert scaled(4.0) == 10.0


def test_the_limit_of_a_test_grows_with_load_that_comes_later(monkeypatch, request):
    monkeypatch.setenv(SLOWNESS, "1")
    watch = Watch(request.node, 60.0, phase="call")
    watch.began -= 90.0
    monkeypatch.setenv(SLOWNESS, "2")
    armed = []
    monkeypatch.setattr(Watch, "arm", lambda watch: armed.append(watch.limit))
    watch.ring(0, None)  # it does not raise
    assert armed == [120.0]
