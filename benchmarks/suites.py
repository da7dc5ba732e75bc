"""Suites: who meets whom under which loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .contenders import BEE, CONTENDERS, FLOORS, GOVERNANCE, HANDLERS, PEERS, WORKERS
from .loads import LOADS

if TYPE_CHECKING:
    from collections.abc import Iterable


@attrs.frozen
class Suite:
    """Contenders that are compared with each other.

    Attributes:
        title: The head of its part of the page.
        about: A sentence below that.
        contenders: Names of contenders, in the order of the tables.
        loads: Names of loads, in the order of the tables.
        quick: Those that ``nox -s bench`` measures.
    """

    title: str
    about: str
    contenders: tuple[str, ...]
    loads: tuple[str, ...]
    quick: tuple[str, ...] = ()


THREADS = tuple(name for name in LOADS if name.startswith("threads-"))
HEADLINES = ("one", "threads-16", "asyncio-64")

SUITES: dict[str, Suite] = {
    "peers": Suite(
        "bee, its peers, and floors",
        "Everything of bee's governance is on; the handler is `async def`, for threads too.",
        (*BEE, *PEERS, *FLOORS),
        tuple(LOADS),
        (*HEADLINES, "open-threads-16-80", "open-asyncio-64-80"),
    ),
    "governance": Suite(
        "What governance costs",
        "Each part taken away alone, and all of them.",
        ("bee", *GOVERNANCE, "bare-blocking", "bare"),
        HEADLINES,
        ("threads-16", "asyncio-64"),
    ),
    "handlers": Suite(
        "Kinds of handlers",
        "The same echo as `async def`, as `@nonblocking`, and as `def`.",
        ("bee", *HANDLERS),
        HEADLINES,
    ),
    "workers": Suite(
        "Worker processes",
        "On two cores the callers need one, so a second server process can only take what is left.",
        ("bee", *WORKERS),
        ("threads-16", "asyncio-64", "asyncio-256"),
    ),
}


def pairs(
    suite: Suite, loads: Iterable[str], contenders: Iterable[str]
) -> list[tuple[str, list[str]]]:
    """Each chosen load of a suite with the chosen contenders that can run it."""
    chosen, allowed = set(loads), set(contenders)
    found = []
    for name in suite.loads:
        load = LOADS[name]
        able = [
            one
            for one in suite.contenders
            if one in allowed
            and CONTENDERS[one].runs(load.kind)
            and CONTENDERS[one].sends(load.size)
        ]
        if name in chosen and able:
            found.append((name, able))
    return found
