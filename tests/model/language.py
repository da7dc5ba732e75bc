"""Histories: what happens to a registry, its servers and its clients, as lines of text.

Each line is a step: a verb and its numbers, such as ``kill 1`` or ``wait 3.5``. The first may be
``world HEARTBEAT SERVERS CLIENTS SEED``. Servers and clients are numbered from 0; numbers that are
too high begin anew. Times are heartbeats. The verbs are methods of :class:`model.world.World`, and
of the world of real processes in ``tests/registry_faults``.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER_VERBS = (
    *("kill", "freeze", "thaw", "hang", "work", "load", "drain"),
    *("restart", "replace", "repeat", "upgrade"),
    *("overwrite", "steal", "erase", "withdraw", "hide"),
    *("cut_server", "lose_server", "garble_server", "deny_server", "mend_server"),
)
"""They take the number of a server."""
CLIENT_VERBS = (
    *("cut_client", "lose_client", "garble_client", "deny_client", "mend_client", "join"),
    *("again", "fresh", "freeze_client", "thaw_client"),
)
"""They take the number of a client."""
PLAIN_VERBS = (
    *(
        "start",
        "crowd",
        "wipe",
        "renew",
        "down",
        "silence",
        "garble",
        "come",
        "blank",
        "show",
        "mend",
    ),
)
"""They take nothing."""
SLOW = (0.3, 0.8, 1.5)
"""Heartbeats that an answer may take."""
PAUSES = (0.0, 0.05, 0.3, 1.0, 2.0, 3.2, 5.0, 8.0)
"""Heartbeats between two steps."""


@attrs.frozen
class Step:
    """One line of a history."""

    verb: str
    numbers: tuple[float, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.verb, *(f"{number:g}" for number in self.numbers)))


def step(verb: str, *numbers: float) -> Step:
    return Step(verb, numbers)


@attrs.frozen
class History:
    """A world to begin with, and what happens to it.

    Attributes:
        heartbeat: Seconds.
        servers: How many.
        clients: How many.
        seed: Of everything that is random.
        steps: What happens. In the end everything is mended, and has to come right.
    """

    heartbeat: float = 1.0
    servers: int = 3
    clients: int = 2
    seed: int = 0
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        """The text that :meth:`parse` reads."""
        begin = step("world", self.heartbeat, self.servers, self.clients, self.seed)
        return "\n".join(map(str, (begin, *self.steps)))

    @classmethod
    def parse(cls, text: str) -> History:
        """The history of a text. What follows ``#`` is left out."""
        steps = []
        for line in text.splitlines():
            verb, *numbers = line.partition("#")[0].split() or [""]
            if verb:
                steps.append(step(verb, *(float(n) if "." in n else int(n) for n in numbers)))
        if steps and steps[0].verb == "world":
            heartbeat, servers, clients, seed = steps.pop(0).numbers
            return cls(heartbeat, int(servers), int(clients), int(seed), tuple(steps))
        return cls(steps=tuple(steps))

    def shortest(self, fails: Callable[[History], bool]) -> History:
        """A history that fails as well and has no step too many: delta debugging (Zeller)."""
        steps, size = list(self.steps), max(1, len(self.steps) // 2)
        while size:
            at = 0
            while at < len(steps):
                fewer = [*steps[:at], *steps[at + size :]]
                if fails(attrs.evolve(self, steps=tuple(fewer))):
                    steps = fewer
                else:
                    at += size
            size //= 2
        return attrs.evolve(self, steps=tuple(steps))


def random_steps(
    seed: int, length: int, verbs: tuple[str, ...], pauses: tuple[float, ...] = PAUSES
) -> tuple[Step, ...]:
    """Some of the verbs, each with a pause behind it; the same for the same seed."""
    rng = Random(seed)
    steps = []
    for _ in range(length):
        verb = rng.choice(verbs)
        if verb in {"slow", "slow_client"}:
            numbers: tuple[float, ...] = (rng.choice(SLOW),)
            numbers = (rng.randrange(2), *numbers) if verb == "slow_client" else numbers
        elif verb == "part":
            numbers = (rng.randrange(2), rng.randrange(3))
        elif verb in SERVER_VERBS:
            numbers = (rng.randrange(3),)
        elif verb in CLIENT_VERBS:
            numbers = (rng.randrange(2),)
        else:
            numbers = ()
        steps += [Step(verb, numbers), Step("wait", (rng.choice(pauses),))]
    return tuple(steps)
