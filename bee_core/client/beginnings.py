"""Requests of a broadcast that begin at the same time, because each has to connect first.

A blocking channel connects on the thread that starts a request. One node that hangs would keep all
those behind it waiting. So each of them is started on a thread of its own, which ends as soon as
the request is out: the calling thread takes the requests over and waits for the replies.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from ..terms.causes import cancelled
from ..terms.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..contracts.effects import Entrant


class Beginning:
    """One of them. What it has started belongs to the caller, or to its thread if that was late.

    Args:
        entrant: The request. It has an outcome, and nothing else, once it was given up.
        ended: Is told when it is out or has failed.

    Attributes:
        entrant: See above.
        answer: What the channel gave.
        error: What it raised, or None.
    """

    __slots__ = ("_ended", "_given_up", "_is_over", "_lock", "answer", "entrant", "error")

    def __init__(self, entrant: Entrant, ended: SimpleQueue[Beginning]) -> None:
        self.entrant = entrant
        self.answer: Any = None
        self.error: BaseException | None = None
        self._ended = ended
        self._lock = Lock()
        self._is_over = self._given_up = False

    def run(self) -> None:
        """Start it, on a thread of its own."""
        entrant = self.entrant
        try:
            self.answer = entrant.channel.start(entrant)
        except BaseException as error:  # the caller's to raise
            self.error = error
        with self._lock:
            self._is_over = True
        if self._given_up:
            pending, entrant.pending = entrant.pending or self.answer, None
            if pending is not None and not isinstance(pending, Failure):
                with suppress(Exception):  # nobody is there to be told
                    pending.cancel()
        self._ended.put(self)

    def take(self) -> bool:
        """Whether it has ended: the caller has it then. Otherwise it is given up."""
        with self._lock:
            self._given_up = not self._is_over
        if self._given_up:
            self.entrant.outcome = cancelled("it had not begun when the call ended", sent=True)
        return self._is_over


def begin(entrants: Sequence[Entrant], clock: Callable[[], float], until: float) -> list[Beginning]:
    """Start requests, each on a thread of its own, and wait until all are out or have failed.

    Args:
        entrants: The requests.
        clock: Seconds, monotonic.
        until: The end of the wait. What has not begun then is given up.

    Returns:
        Those that the caller has to look at. The others have an outcome.

    Raises:
        BaseException: An interruption (Ctrl-C). All that had not begun was given up.
    """
    ended: SimpleQueue[Beginning] = SimpleQueue()
    begun: list[Beginning] = []
    try:
        for entrant in entrants:
            entrant.begun = True
            begun.append(one := Beginning(entrant, ended))
            run = copy_context().run
            try:
                Thread(target=run, args=(one.run,), daemon=True, name="bee-broadcast").start()
            except RuntimeError:  # no more threads are to be had
                one.run()
        for _ in begun:
            ended.get(timeout=max(0.0, until - clock()))
    except Empty:
        pass
    finally:
        taken = [one for one in begun if one.take()]
        for one in taken:
            if one.entrant.pending is None and hasattr(one.answer, "wait"):
                one.entrant.pending = one.answer  # a channel that does not note it itself
    return taken
