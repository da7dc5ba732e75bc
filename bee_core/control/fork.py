"""What clients do in a forked child."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Something that must be put in order in a forked child."""

    def after_fork_in_child(self) -> None:
        """Renew locks, let go of descriptors, reseed. The child has one thread."""


_living: WeakSet[Forkable] = WeakSet()


def watch(client: Forkable) -> None:
    """Put it in order in each child that this process forks."""
    _living.add(client)


def _in_child() -> None:
    for client in list(_living):
        with suppress(Exception):  # one that cannot must not keep the others from it
            client.after_fork_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows, where there is no fork
    os.register_at_fork(after_in_child=_in_child)
