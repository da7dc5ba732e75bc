"""One service's nodes, as its registry names them, for as long as a client lives.

Sources in order: the registry, the list kept on disk, the addresses of the configuration. A lower
one is used only until a higher one has spoken. An outage of the registry changes nothing for calls:
the last list stays, and the watch begins again with back-off until the registry is back.

The registry's list is evidence and not truth: see :mod:`.node_states`. Whatever was in use before
its first list is held against that list in the same way.
"""

from __future__ import annotations

import asyncio
from threading import Lock
from typing import TYPE_CHECKING

from ..nodes.outlook import Doubt, Outlook
from ..terms.loggers import logger
from ..terms.node import Changes, Node, Snapshot, Source
from ..terms.printable import counted
from .cache_writer import CacheWriter
from .first_nodes import FirstNodes
from .roster import Delta, Roster
from .sound_nodes import SoundNodes
from .suspicion import ASK_AGAIN, DoubtLines, Suspicion
from .watch import RegistryWatch, confirms, nothing_known, said

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from random import Random

    from ..contracts.registry import Registry
    from ..terms.failures import Failure
    from .doubts import Doubts
    from .node_states import Suspect
    from .plane import ControlPlane, Handle
    from .snapshot_cache import SnapshotCache

log = logger("bee.client")

HELD_HEARTBEATS = 3
"""For how many heartbeats, during which the registry answers, a node that it does not list is kept.

As long as a lease: by then every living server has registered again.
"""

FIRST_DOUBT = 1.0
"""Seconds that first calls wait for the nodes that the disk knows and the first list does not."""


class Discovery:
    """Watches one service on the control plane and hands on each list of its nodes. Thread-safe.

    Snapshots get revisions of its own: a registry that restarts begins its revisions anew.

    Args:
        service: The service's name.
        registry: The registry; called on the plane when a watch begins.
        registry_name: For messages: ``local``, ``etcd3 at 10.0.0.1:2379``.
        addresses: The nodes that the configuration names.
        deliver: Takes each snapshot, on the plane's thread or a first call's. Must not block.
        ask: Pings a node; called on the plane's loop. It has a bound of its own.
        fits: Whether calls could go to a node.
        objection: Why a node cannot be called at all, as with an unreadable url; empty if it can.
        choose: A node with several addresses at the one that the client takes.
        cache: The lists on disk.
        doubts: Puts the questions of all services of the client.
        heartbeat_interval: Seconds; bounds the pause between attempts to reach the registry.
        clock: Seconds, monotonic.
        rng: For jitter.
        known: What another discovery of the same registry has found, or None.
        registry_changed: Is told as the registry goes out of reach and comes back, and as doubt
            begins and ends: the service, what has happened, and why.
        event: Is told how many nodes are in doubt; or None.

    Attributes:
        first: The wait of first calls.
        suspicion: The nodes in question; another object after a fork, like ``first``.
        known: As given.
        handle: The task that watches; None before :meth:`start`.
    """

    def __init__(
        self,
        service: str,
        *,
        registry: Callable[[], Registry],
        registry_name: str,
        addresses: tuple[Node, ...],
        deliver: Callable[[Snapshot], None],
        ask: Callable[[Node], Awaitable[str | Failure]],
        fits: Callable[[Node], bool],
        objection: Callable[[Node], str],
        choose: Callable[[Node], Node] = lambda node: node,
        cache: SnapshotCache,
        doubts: Doubts,
        heartbeat_interval: float,
        clock: Callable[[], float],
        rng: Random,
        registry_changed: Callable[[str, str, str], None],
        event: Callable[[str, Mapping[str, object]], None] | None = None,
        known: Snapshot | None = None,
    ) -> None:
        self.service = service
        self._registry_name = registry_name
        self._addresses = addresses
        self._deliver = deliver
        self._ask = ask
        self._fits = fits
        self._sound = SoundNodes(service, objection, choose)
        self._cache = cache
        self._doubts = doubts
        self._heartbeat = heartbeat_interval
        self._bound = HELD_HEARTBEATS * heartbeat_interval
        self._clock, self._rng = clock, rng
        self._revision = 0
        self._told = registry_changed, event
        self._current = self.known = None if known is None else self._sound.at_addresses(known)
        self._make_watch: Callable[[], RegistryWatch] = lambda: RegistryWatch(
            service,
            registry=registry,
            registry_name=registry_name,
            heard=self._heard,
            lost=self._lost,
            in_use=self._in_use,
            heartbeat_interval=heartbeat_interval,
            clock=clock,
            rng=rng,
            registry_changed=registry_changed,
        )
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the watch, which is the parent's in a forked child. The list stays.

        The next :meth:`start` begins anew.
        """
        self._lock = Lock()  # of the roster, and of what is published
        self._roster = roster = Roster(self._bound)
        self.first = FirstNodes(
            self._clock, stand_in=bool(self._addresses), unasked=lambda: roster.unasked
        )
        if self._current is not None:
            self._roster.begin(self._current.nodes)
            self.first.end()
        self._watch = self._make_watch()
        self._whole = False  # whether the last list of the watch was taken over whole
        self._remembered: tuple[Node, ...] = ()
        self._holding: asyncio.TimerHandle | None = None
        self._held_enough = False
        self._listed = False  # whether the registry's first list has come
        self._writer = CacheWriter(self._cache, self.service, self._kept)
        self.suspicion = Suspicion(
            self._roster,
            self._watch.hearing,
            lock=self._lock,
            doubts=self._doubts,
            ask=self._ask,
            settled=self._take,
            lines=DoubtLines(self.service, self._registry_name, self._bound, *self._told),
            ask_again=min(ASK_AGAIN, self._heartbeat),
            clock=self._clock,
            rng=self._rng,
        )
        self.handle: Handle | None = None

    # For first calls, on their threads.

    def start(self, plane: ControlPlane) -> None:
        """Begin to watch, once. Does not wait."""
        with self._lock:
            if self.handle is None:
                self.handle = plane.spawn(self._run)

    def fall_back(self) -> None:
        """Go on with what there is.

        That is the registry's list, where its doubts are not settled; else the list on disk, else
        the configured addresses. The registry's next word replaces it.
        """
        with self._lock:
            if self._current is not None:
                return
            if self._listed:
                snapshot = self._next("registry", self._roster.picked)
            else:
                source: Source = "cache" if self._remembered else "address"
                nodes = self._remembered or self._addresses
                if not nodes:
                    return
                self._roster.begin(nodes)
                snapshot = self._next(source, nodes)
        self._hand_on(snapshot)

    # For reports and messages, from any thread.

    def outlook(self) -> Outlook:
        """How much the list is worth now."""
        with self._lock:
            now, hearing = self._clock(), self._watch.hearing
            suspects = [one for one in self._roster.suspects if one.status == "doubted"]
            since = hearing.silent_since
            return Outlook(
                self._registry_name,
                hearing.state,
                None if hearing.heard_at is None else now - hearing.heard_at,
                None if since is None else now - since,
                self._watch.trouble,
                self._writer.age,
                tuple(Doubt(one.node.id, one.reason, now - one.began) for one in suspects),
            )

    def explain(self) -> str:
        """Why no node is known, and what to do, for a call that finds none."""
        return nothing_known(self._registry_name, self._watch.said, self._cache, self.service)

    # On the control plane.

    async def _run(self) -> None:
        try:
            await self._recall()
            await self._watch.run()
        finally:
            if self._holding is not None:
                self._holding.cancel()
            await self._writer.finish()

    async def _recall(self) -> None:
        listed = Snapshot(0, "cache", await self._writer.recall())
        nodes = self._sound.those_of(self._sound.at_addresses(listed).nodes)
        with self._lock:
            self._remembered = nodes
            self.first.stand_in = self.first.stand_in or bool(nodes)
            if self._current is None:
                self._roster.remember(nodes, self._clock())
            # A very impatient first call may have taken the addresses already.
            snapshot = None
            if nodes and self._current is not None and self._current.source == "address":
                self._roster.begin(nodes)
                snapshot = self._next("cache", nodes)
        if snapshot is None:
            self.first.tell()
        else:
            self._hand_on(snapshot)

    def _heard(self, snapshot: Snapshot, last: Snapshot | None) -> None:
        """The registry has spoken; ``last`` is its word before in the same watch."""
        self.first.refused_at = None
        now = self._clock()
        unchanged = confirms(last, snapshot)
        snapshot = self._sound.at_addresses(snapshot)
        changes = self._usable_changes(last, snapshot)
        with self._lock:
            answered = self._watch.hearing.answered(now)
            if unchanged:
                delta = Delta()
            elif changes is not None:
                delta = self._roster.change(changes, snapshot.nodes, answered, now)
            else:
                nodes = self._sound.those_of(snapshot.nodes)
                self._whole = len(nodes) == len(snapshot.nodes)
                delta = self._roster.whole(nodes, answered, now)
            late = self._roster.pass_time(answered)
            suspects = delta.suspects if self._listed else self._roster.suspects
            self._listed = True
        self.suspicion.begin(suspects)
        self._take(delta, incremental=changes is not None)
        self._take(late)
        self._keep()  # unchanged too: it says when it was heard
        self._sound.say_shared(self._roster.shared_for(2 * self._bound, answered))

    def _usable_changes(self, last: Snapshot | None, snapshot: Snapshot) -> Changes | None:
        """What changed since the last list; None where the whole list must be read."""
        changes = snapshot.changes
        if changes is None or last is None or changes.since != last.revision or not self._whole:
            return None
        return changes if len(self._sound.those_of(changes.put)) == len(changes.put) else None

    def _lost(self, error: Exception | None) -> None:
        """The watch has failed, or is silent."""
        if error is not None and self._holding is None:
            self.fall_back()  # no use in waiting on where something is known
        self.first.refused_at = self._watch.refused_at
        self.first.tell()

    def _in_use(self) -> str:
        if (current := self._current) is None or not current.nodes:
            return "no node is known"
        nodes = counted(len(current.nodes), "node")
        return f"calls go on with {nodes} known from the {current.source}"

    def _take(self, delta: Delta, *, incremental: bool = True) -> None:
        self._publish(delta, incremental=incremental)
        self.suspicion.settle(delta)
        if delta.matters or delta.settled:
            self._keep()
        self.first.tell()  # a node in question may have answered

    def _keep(self) -> None:
        """Keep on disk what is listed, and what is in question and not let go."""
        if self._listed:
            self._writer.keep()

    def _kept(self) -> tuple[Sequence[Node], Sequence[Suspect]]:
        with self._lock:
            return self._roster.present, self._roster.suspects

    def _publish(self, delta: Delta, *, incremental: bool) -> None:
        with self._lock:
            current = self._current
            by_registry = current is not None and current.source == "registry"
            if by_registry and not delta.matters:
                return
            nodes = self._roster.picked
            if current is None and self._holds_back(nodes):
                return
            changes = None
            if current is not None and by_registry and incremental:
                changes = Changes(current.revision, delta.put, delta.gone)
            snapshot = self._next("registry", nodes, changes)
        self._hand_on(snapshot)

    def _holds_back(self, nodes: tuple[Node, ...]) -> bool:
        """Whether first calls wait on: nodes that the disk knows may be there after all."""
        if not self._roster.unasked or self._held_enough or any(map(self._fits, nodes)):
            return False
        if self._holding is None:
            loop = asyncio.get_running_loop()
            self._holding = loop.call_later(FIRST_DOUBT, self._hold_no_longer)
        return True

    def _hold_no_longer(self) -> None:
        self._held_enough = True
        self._publish(Delta(), incremental=False)

    def _next(
        self, source: Source, nodes: tuple[Node, ...], changes: Changes | None = None
    ) -> Snapshot:
        self._revision += 1
        self._current = Snapshot(self._revision, source, nodes, changes)
        return self._current

    def _hand_on(self, snapshot: Snapshot) -> None:
        try:
            self._deliver(snapshot)
        except Exception as error:  # of a balancer or a transport; the next list may do
            log.warning(
                "the nodes of %s could not be taken over: %s",
                self.service,
                said(error),
                exc_info=error,
            )
        self.first.end()
