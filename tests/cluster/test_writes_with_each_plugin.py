"""Writes from both clients under random kills: none runs twice, and ``executed`` is always true.

With each plugin in turn; ``nox -s writes`` makes 10,000 writes with each of them.
"""

from __future__ import annotations

import zlib
from collections import Counter

import pytest

from bee_core.errors import Unavailable
from cluster.writes import Case, Ended, figures, run
from cluster.writes_cases import CASES

WRITES = 200


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", CASES)
def test_no_write_runs_twice_and_what_is_said_of_it_is_true(name, tmp_path):
    seed = zlib.crc32(name.encode())
    found = run(CASES[name], tmp_path, writes=WRITES, each_round=WRITES // 2, seed=seed)
    assert found.untrue == ()
    assert found.writes == WRITES
    assert sum(found.troubles.values()) == 2
    assert CASES[name].shows(found)


def failed(executed):
    return Ended((), False, 1, Unavailable("lost", executed=executed))


@pytest.mark.parametrize(
    ("ended", "ran", "what"),
    [
        (Ended(("w1@0",), False, 1), {"0": {"w1": 1}}, None),
        (Ended(("w1@0",), False, 1), {"1": {"w1": 1}}, "which is not so"),
        (Ended(("w2@0",), False, 1), {"0": {"w1": 1}}, "which is not so"),
        (Ended(("w1@0",), False, 1), {"0": {"w1": 2}}, "ran 2 times at 0"),
        (Ended(("w1@0",), False, 1), {"0": {"w1": 1}, "1": {"w1": 1}}, "ran 2 times"),
        (Ended(("w2@0",), True, 0), {}, None),
        (Ended(("w2@0",), True, 1), {"0": {"w1": 1}}, "a fallback answered, and it ran"),
        (failed("no"), {}, None),
        (failed("no"), {"0": {"w1": 1}}, "said not to have run, and ran"),
        (failed("maybe"), {}, None),
        (failed("maybe"), {"0": {"w1": 1}}, None),
        (failed("yes"), {"0": {"w1": 1}}, None),
        (failed("yes"), {}, "said to have run, and did not"),
        (failed("no"), {"0": {"w3": 1}}, "nobody asked for it"),
    ],
)
def test_each_lie_is_found(ended, ran, what):
    logs = {name: Counter(ran.get(name, {})) for name in ("0", "1")}
    untrue = figures(Case(), {"w1": ended}, logs, {}).untrue
    assert (what is None) == (untrue == ())
    assert what is None or what in untrue[0]


def test_a_write_to_every_node_may_run_once_on_each():
    ended = {"w1": Ended(("w1@0", "w1@1"), False, 2)}
    logs = {"0": Counter(w1=1), "1": Counter(w1=1)}
    assert figures(Case(everywhere=True), ended, logs, {}).untrue == ()
    logs["1"]["w1"] = 2
    assert figures(Case(everywhere=True), ended, logs, {}).untrue == ("w1 ran 2 times at 1",)
