"""10,000 writes under random kills with each plugin: ``writes_program.py [NAME…] [--writes N]``.

Prints a table of figures. Exits with 1 if a write ran twice, or if anything that was said of one is
not so. ``nox -s writes`` runs it.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster.writes import Figures, run
from cluster.writes_cases import CASES
from support.warm import nursery

HEAD = (
    "plugin",
    "writes",
    "troubles",
    "ok",
    "degraded",
    "no",
    "maybe (ran)",
    "yes",
    "again",
)


def row(name: str, found: Figures) -> tuple[str, ...]:
    said = found.said
    return (
        name,
        f"{found.writes:,}",
        f"{sum(found.troubles.values())}",
        *(f"{said.get(one, 0):,}" for one in ("ok", "degraded", "no")),
        f"{said.get('maybe', 0)} ({found.maybe_ran})",
        f"{said.get('yes', 0)}",
        f"{found.again:,}",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {'; '.join(CASES)}")
    parser.add_argument("--writes", type=int, default=10_000)
    parser.add_argument("--round", type=int, default=100, help="writes between two kills")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for name in given.names:
        if name not in CASES:
            parser.error(f"there is no {name!r}; there are: {'; '.join(CASES)}")
    # What the clients log of nodes that come and go would hide the table.
    logging.getLogger("bee").setLevel(logging.CRITICAL)
    untrue = 0
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
    for name in given.names or CASES:
        with tempfile.TemporaryDirectory(prefix="bee-writes-") as folder:
            found = run(
                CASES[name],
                Path(folder),
                writes=given.writes,
                each_round=given.round,
                seed=given.seed,
            )
        print(f"| {' | '.join(row(name, found))} |", flush=True)
        for what in found.untrue:
            print(f"UNTRUE: {what}", flush=True)
        untrue += len(found.untrue)
    nursery.close()
    return 1 if untrue else 0


if __name__ == "__main__":
    sys.exit(main())
