"""The nodes of one service that are in question: they are asked, and it is said that they are."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from ..terms.causes import broken_peer
from ..terms.loggers import logger
from ..terms.printable import counted
from .roster import Delta

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from random import Random
    from threading import Lock

    from ..terms.failures import Failure
    from ..terms.node import Node
    from .doubts import Doubts
    from .node_states import Suspect
    from .registry_states import Hearing
    from .roster import Roster

log = logger("bee.client")

ASK_AGAIN = 1.0
"""Seconds until a node in doubt that serves is asked again, or the heartbeat where it is shorter.

It may stop at any time, and nobody else would tell: the registry does not list it.
"""
AFTER_FAILURE = (0.5, 1.0)
"""Seconds until a node is asked again after its first failure, and after its second."""
_MOST_REFUSALS = 1000
"""Refusals of calls that may wait for the control plane. Others get lost: calls meet more."""


class Suspicion:
    """Asks the nodes in question until each is settled.

    Used on the control plane's loop only, but for :meth:`refused`.

    Args:
        roster: The nodes of the service.
        hearing: The registry.
        lock: Of the roster.
        doubts: Puts the questions, at the client's pace.
        ask: Pings a node, within a bound of its own.
        settled: Takes what an answer changed.
        lines: Says that nodes are in doubt.
        ask_again: Seconds until a node that serves is asked again.
        clock: Seconds, monotonic.
        rng: For jitter.
    """

    def __init__(
        self,
        roster: Roster,
        hearing: Hearing,
        *,
        lock: Lock,
        doubts: Doubts,
        ask: Callable[[Node], Awaitable[str | Failure]],
        settled: Callable[[Delta], None],
        lines: DoubtLines,
        ask_again: float,
        clock: Callable[[], float],
        rng: Random,
    ) -> None:
        self._roster = roster
        self._hearing = hearing
        self._lock = lock
        self._doubts = doubts
        self._ask = ask
        self._settled = settled
        self._lines = lines
        self._ask_again = ask_again
        self._clock = clock
        self._rng = rng
        self._loop: asyncio.AbstractEventLoop | None = None
        self._refusals: deque[tuple[Suspect, Failure]] = deque(maxlen=_MOST_REFUSALS)

    def begin(self, suspects: Sequence[Suspect]) -> None:
        """Ask these nodes, each until it is settled."""
        self._loop = asyncio.get_running_loop()
        for suspect in suspects:
            self._doubts.begin(suspect, partial(self._question, suspect))

    def settle(self, delta: Delta) -> None:
        """An event has settled questions, or none."""
        if not delta.settled:
            return
        for suspect in delta.settled:
            self._doubts.end(suspect)
        left = self._roster.suspects
        self._lines.settle(delta, left=len(left))
        self._lines.count(left)
        if self._hearing.state == "lying" and not any(one.serves for one in left):
            self._hearing.on("agreed", self._clock())

    def end(self) -> None:
        """Ask nobody any more."""
        for suspect in self._roster.suspects:
            self._doubts.end(suspect)

    def refused(self, node: Node, failure: Failure) -> None:
        """Nobody listens at a node's address, as a call has found: it need not be asked.

        From any thread. Without effect where the node is not in doubt.
        """
        suspect = self._roster.suspect(node)
        if suspect is not None and self._loop is not None:
            self._refusals.append((suspect, failure))
            with suppress(RuntimeError):  # a loop that was closed has nobody to tell
                self._loop.call_soon_threadsafe(self._take_refusals)

    def _take_refusals(self) -> None:
        """What calls have found, at once: thousands of nodes may be gone together."""
        gone: set[str] = set()
        settled: list[Suspect] = []
        with self._lock:
            while self._refusals:
                delta = self._roster.answer(*self._refusals.popleft())
                gone |= delta.gone
                settled += delta.settled
        self._settled(Delta(gone=frozenset(gone), settled=tuple(settled)))

    async def _question(self, suspect: Suspect) -> float | None:
        """Ask a node. Returns the seconds until it is asked again; None: it is settled."""
        answer = await self._answer(suspect.node)
        now = self._clock()
        with self._lock:
            delta = self._roster.answer(suspect, answer)
            late = self._roster.pass_time(self._hearing.answered(now))
        self._settled(delta)
        self._settled(late)
        if suspect.status not in {"cached", "doubted"}:
            return None
        if suspect.serves:
            self._hearing.on("contradicted", now)
        if suspect.status == "doubted":
            suspects = self._roster.suspects
            self._lines.begin(suspects, listed=self._roster.listed)
            self._lines.count(suspects)
        if suspect.failures:
            return AFTER_FAILURE[suspect.failures - 1]
        return self._ask_again * (0.75 + 0.5 * self._rng.random())

    async def _answer(self, node: Node) -> str | Failure:
        """What a node says. One that a transport fails to ask, however it does, does not answer."""
        # A task of its own, so that a transport's internal cancellation is not taken for ours.
        asking = asyncio.ensure_future(self._ask(node))
        try:
            await asyncio.wait((asking,))
        except asyncio.CancelledError:
            asking.cancel()
            raise
        try:
            return asking.result()
        except (Exception, asyncio.CancelledError) as error:
            return broken_peer(error)


class DoubtLines:
    """Writes the lines, and tells the observers. Used on the control plane's loop only.

    Args:
        service: The service's name.
        registry_name: For messages.
        bound: Seconds for which nodes in doubt are kept.
        tell: Takes the service, what has happened, and why.
        event: Takes the name and the fields of an event: how many nodes are in doubt.
    """

    def __init__(
        self,
        service: str,
        registry_name: str,
        bound: float,
        tell: Callable[[str, str, str], None],
        event: Callable[[str, Mapping[str, object]], None] | None = None,
    ) -> None:
        self._service = service
        self._registry_name = registry_name
        self._bound = bound
        self._tell = tell
        self._event = event
        self._count = 0
        self._begun = False
        self._cleared = self._dropped = 0

    def count(self, suspects: Sequence[Suspect]) -> None:
        """Tell the observers how many nodes are in doubt, where that has changed."""
        if self._event is None:
            return
        before, self._count = self._count, sum(one.status == "doubted" for one in suspects)
        if before != self._count:
            self._event("nodes_in_doubt", {"service": self._service, "nodes": self._count})

    def begin(self, suspects: Sequence[Suspect], *, listed: int) -> None:
        """A node is in doubt whose first answer has not let it go. Said once for all of them."""
        if self._begun:
            return
        self._begun = True
        self._cleared = self._dropped = 0
        doubted = [one for one in suspects if one.status == "doubted"]
        which = f"{counted(len(doubted), 'node')} of" if listed else "no node of"
        verb = "does not list" if listed else "lists"
        what = f"the registry {self._registry_name} {verb} {which} {self._service}"
        first = next((one for one in doubted if one.said), doubted[0])
        log.warning(
            "%s any more; %s in doubt: kept while pings are answered, "
            "for %g s in which the registry answers (%s: %s)",
            what,
            counted(len(doubted), "node"),
            self._bound,
            first.node,
            first.reason,
        )
        self._tell(self._service, "nodes_doubted", f"{what} any more")

    def settle(self, delta: Delta, *, left: int) -> None:
        """Nodes are in doubt no more; ``left`` others still are."""
        listed = sum(1 for one in delta.settled if one.status == "listed")
        self._cleared += listed
        self._dropped += len(delta.settled) - listed
        if left or not self._begun:
            return
        self._begun = False
        how = f"{self._cleared} listed again, {self._dropped} let go"
        log.log(
            logging.WARNING if self._dropped else logging.INFO,
            "no node of %s is in doubt any more: %s",
            self._service,
            how,
        )
        self._tell(self._service, "doubt_ended", how)
