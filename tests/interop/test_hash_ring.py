"""Another language puts keys on the ring of ``consistent-hash`` where the vectors put them."""

from __future__ import annotations

import json
from pathlib import Path

from interop.foreign import SHORT_LIVED
from support.processes import run

HERE = Path(__file__).parent
VECTORS = HERE.parent / "vectors" / "hash_ring.json"


def test_java_agrees_with_the_vectors(java):
    by_nodes = {}
    for vector in json.loads(VECTORS.read_text("utf-8")):
        lines = tuple(f"{one['weight']} {one['url']}" for one in vector["nodes"])
        by_nodes.setdefault(lines, []).append(vector)
    asked, expected = [], []
    for lines, vectors in by_nodes.items():  # all in one: each run compiles Ring.java anew
        keys = [vector["key"] for vector in vectors]
        asked += [str(len(lines)), *lines, str(len(keys)), *keys]
        expected += [" ".join((vector["position"], *vector["order"])) for vector in vectors]
    done = run(
        [java, *SHORT_LIVED, HERE / "Ring.java"],
        input="\n".join(asked) + "\n",
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected
