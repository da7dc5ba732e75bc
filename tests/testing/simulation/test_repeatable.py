"""A run repeats to its last event, also in another process with another seed of hashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bee_core.testing.simulation import SCENARIOS
from support.simulations import run, settings

PROGRAM = """
import json, sys
from bee_core.testing.simulation import SCENARIOS, simulate
import attrs
name, config = json.loads(sys.argv[1])
found = simulate(config, attrs.evolve(SCENARIOS[name], workers=1, seconds=25), seed=7)
print(json.dumps([found["digest"], found["events"], found["latency"]]))
"""


def in_a_process(name: str, hash_seed: int) -> list[object]:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([name, settings()])],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def test_the_same_seed_gives_the_same_run():
    assert run("flapping", seconds=25) == run("flapping", seconds=25)


def test_another_seed_gives_another_run():
    first, second = (run("flapping", seconds=25, seed=seed) for seed in (1, 2))
    assert first["digest"] != second["digest"]


@pytest.mark.parametrize("name", ["zone-cut", "rolling-deploy"])
def test_processes_with_other_hash_seeds_agree_to_the_last_event(name):
    assert in_a_process(name, 1) == in_a_process(name, 4242)


def test_the_digest_hears_of_each_attempt():
    calm = run("dead-nodes", seconds=5)
    # The breaker has nothing to do, so nothing is different; a limit of retries neither.
    assert run("dead-nodes", settings(retries=5), seconds=5)["digest"] == calm["digest"]
    assert (
        run("dead-nodes", settings(balancer="round-robin"), seconds=5)["digest"] != (calm["digest"])
    )


def test_calls_come_at_the_same_moments_whatever_the_plugins():
    for name in SCENARIOS:
        one = run(name, seconds=11, nodes=6)
        other = run(name, settings(balancer="round-robin", fail="failtry"), seconds=11, nodes=6)
        assert [window["calls"] for window in one["windows"]] == [
            window["calls"] for window in other["windows"]
        ]
