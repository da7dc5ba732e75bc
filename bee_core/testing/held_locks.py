"""What a forked child finds: locks that threads of its parent hold, and that nobody will free."""

from __future__ import annotations

import _thread
from threading import Event, RLock, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PATIENCE = 5.0
"""Seconds for what takes microseconds."""

_LOCKS: tuple[type, ...] = (_thread.LockType, type(RLock()))
_DEPTH = 4  # a lock of a part of a part; deeper, it is another plugin's


def after_a_fork(plugins: Sequence[object], use: Callable[[], object]) -> None:
    """Use plugins as a forked child does, while another thread holds all of their locks.

    It really forks nothing, so it shows on every run what a fork shows once in a while.

    Args:
        plugins: The objects. ``after_fork()`` of those that have it is called first, as bee does.
        use: Calls their methods.

    Raises:
        AssertionError: It waits for a lock: ``after_fork`` does not make a new one.
    """
    held = [lock for plugin in plugins for lock in _locks(plugin, _DEPTH)]
    taken, free = Event(), Event()

    def hold() -> None:
        mine = [lock for lock in held if lock.acquire(blocking=False)]
        taken.set()
        free.wait()
        for lock in mine:
            lock.release()

    holder = Thread(target=hold, daemon=True)
    holder.start()
    taken.wait()
    errors: list[BaseException] = []

    def child() -> None:
        try:
            for plugin in plugins:
                after_fork = getattr(plugin, "after_fork", None)
                if after_fork is not None:
                    after_fork()
            use()
        except BaseException as error:  # raised again on the test's thread
            errors.append(error)

    user = Thread(target=child, daemon=True)
    user.start()
    user.join(PATIENCE)
    stuck = user.is_alive()
    free.set()
    holder.join(PATIENCE)
    user.join(PATIENCE)
    assert not stuck, (
        "a forked child waits for a lock that a thread of its parent held: define after_fork(), and"
        " make a new lock there"
    )
    for error in errors:
        raise error


def _locks(thing: Any, depth: int) -> Iterator[Any]:
    """The locks that an object keeps in its attributes, and in those of its parts."""
    if isinstance(thing, _LOCKS):
        yield thing
    elif depth > 0 and not isinstance(thing, (type, str, bytes, int, float)):
        for part in _parts(thing):
            yield from _locks(part, depth - 1)


def _parts(thing: Any) -> Iterator[Any]:
    if isinstance(thing, dict):
        yield from list(thing.values())
    elif isinstance(thing, (list, tuple, set, frozenset)):
        yield from list(thing)
    else:
        yield from list(getattr(thing, "__dict__", {}).values())
        for cls in type(thing).__mro__:
            slots = vars(cls).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(thing, name):
                    yield getattr(thing, name)
