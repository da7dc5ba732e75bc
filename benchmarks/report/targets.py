"""What was aimed at, and what a run reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..contenders import CONTENDERS, PEERS
from .tables import markdown, number, ratio

if TYPE_CHECKING:
    from ..results import Results


@attrs.frozen
class AtLeast:
    """A ratio that shall not be below, or above, a bound.

    Attributes:
        text: What is aimed at.
        load: The load.
        of: The contender.
        to: The other one.
        bound: The ratio.
        key: The figure.
        suite: Where both were measured.
    """

    text: str
    load: str
    of: str
    to: str
    bound: float
    key: str = "per_second"
    suite: str = "peers"

    def row(self, results: Results) -> list[str] | None:
        """Text, what was reached, whether that is enough; None if it was not measured."""
        found = results.ratio(self.suite, self.load, self.of, self.to, self.key)
        if found is None:
            return None
        enough = found.median <= self.bound if self.key == "p50" else found.median >= self.bound
        return [self.text, f"{ratio(found)} ×", "yes" if enough else "**no**"]


@attrs.frozen
class LeastTail:
    """The far percentile of bee is the least of all peers that have such a client."""

    text: str
    load: str

    def row(self, results: Results) -> list[str] | None:
        tails = {}
        for name in ("bee", *PEERS):
            found = results.spread("peers", self.load, name, "p99_9")
            if found is not None:
                tails[name] = found.median / 1000
        if "bee" not in tails or len(tails) < 2:
            return None
        own = tails.pop("bee")
        best = min(tails, key=lambda name: tails[name])
        reached = (
            f"{number(own)} ms; of the peers {CONTENDERS[best].title} has the least, "
            f"{number(tails[best])} ms"
        )
        return [self.text, reached, "yes" if own <= tails[best] else "**no**"]


@attrs.frozen
class NeverFalls:
    """More threads never make fewer calls than one."""

    text: str
    loads: tuple[str, ...]

    def row(self, results: Results) -> list[str] | None:
        worst = None
        for load in self.loads:
            base = results.values("peers", "one", "bee", "per_second")
            here = results.values("peers", load, "bee", "per_second")
            found = [b / a for a, b in zip(base, here, strict=False) if a and b]
            if not found:
                return None  # a count of threads that was not measured may be the worst
            middle = sorted(found)[len(found) // 2]
            worst = min(worst or (middle, load), (middle, load))
        if worst is None:
            return None
        reached = f"{worst[0]:.2f} × at {worst[1].replace('-', ' ')}, the least"
        return [self.text, reached, "yes" if worst[0] >= 1 else "**no**"]


TARGETS: tuple[AtLeast | LeastTail | NeverFalls, ...] = (
    AtLeast("16 threads: ≥ 2 × thriftpy2", "threads-16", "bee", "thriftpy2", 2),
    AtLeast("16 threads: ≥ 7 × grpcio", "threads-16", "bee", "grpcio", 7),
    AtLeast("one caller: median ≤ thriftpy2's", "one", "bee", "thriftpy2", 1, "p50"),
    AtLeast(
        "one caller that sleeps: median ≤ 2 × the raw socket's",
        "one", "bee-sleeping", "raw-socket", 2, "p50",
    ),
    AtLeast("64 in flight: ≥ 0.7 × the bare protocol", "asyncio-64", "bee", "bare", 0.7),
    AtLeast("64 in flight: ≥ 2.5 × pycapnp", "asyncio-64", "bee", "pycapnp", 2.5),
    AtLeast("64 in flight: ≥ 12 × grpc.aio", "asyncio-64", "bee", "grpc.aio", 12),
    LeastTail("p99.9 at 80 % of capacity, threads: the least", "open-threads-16-80"),
    LeastTail("p99.9 at 80 % of capacity, asyncio: the least", "open-asyncio-64-80"),
    AtLeast(
        "governance over none, 16 threads: ≥ 0.85",
        "threads-16", "bee", "bee-none", 0.85, suite="governance",
    ),
    AtLeast(
        "governance over none, 64 in flight: ≥ 0.85",
        "asyncio-64", "bee", "bee-none", 0.85, suite="governance",
    ),
    NeverFalls(
        "1 to 32 threads: never below one",
        ("threads-2", "threads-4", "threads-8", "threads-16", "threads-32"),
    ),
)  # fmt: skip


def table(results: Results) -> str:
    """All targets that the run can say something about."""
    rows = [row for target in TARGETS if (row := target.row(results)) is not None]
    if not rows:
        return "The run measured none of the targets.\n"
    text = markdown(["target", "reached, median (least to most)", "enough"], rows)
    return text.replace(" ---: |", " --- |") + "\n"
