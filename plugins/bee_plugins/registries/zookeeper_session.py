"""A session with ZooKeeper as the control plane's event loop sees it. kazoo works on threads of its own; all that it says is passed on to the loop, in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from kazoo.protocol.states import EventType, WatchedEvent  # type: ignore[import-untyped]

from bee_plugins.registries.zookeeper_client import Handler, make_client
from bee_plugins.registries.zookeeper_errors import raised, why_ended

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from kazoo.client import KazooClient  # type: ignore[import-untyped]

    from bee_core.interfaces import Address

CONNECT_SECONDS = 4.0
"""For a first connection. The first answer of a watch is due within 5, and the error that says why there is none should come before."""
WINDOW = 128
"""Requests under way at a time: enough to fill a connection, and fewer than the pipe that wakes kazoo's thread can hold."""
_FAREWELL = 0.7
# For the server's answer to the end of a session; then the connection is cut, and threads get so much again.


class Subscriber(Protocol):
    """Is told on the loop; must be quick."""

    def session_changed(self) -> None:
        """It is connected, or it is not any longer."""
        ...

    def znode_changed(self, path: str) -> None:
        """A watch has fired: the znode, its children or its data are new, or it is gone."""
        ...


class Session:
    """A client of ZooKeeper and the session that it has at present: when one expires, kazoo makes the next. Belongs to one event loop.

    Args:
        servers: The ensemble.
        timeout: Seconds of the session that are asked for.
        credentials: ``user:password``, or None.
        tls: For TLS, or None.

    Attributes:
        id: Of the session at present, or of the last one.
        timeout: Seconds, as the server has made them.
        connects: How often a connection was made: watches set before the last time are gone.
        connected: Whether requests go out.
        ended: Whether it cannot go on; make another one.
        lost_at: The loop's time at which the connection was lost last, or at which there was none yet.
    """

    def __init__(
        self,
        servers: Sequence[Address],
        timeout: float,
        credentials: str | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._names = ", ".join(f"{server.host}:{server.port}" for server in servers)
        self._handler = Handler(tls)
        self.client: KazooClient = make_client(servers, timeout, self._handler, credentials, self)
        self.id = 0
        self.timeout = timeout
        self.connects = 0
        self.connected = False
        self.ended = False
        self.lost_at = self._loop.time()
        self._reason = ""
        self._refusal: BaseException | None = None
        self._rounds = 0
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._woken = False
        self._waiters: list[asyncio.Future[None]] = []
        self._subscribers: set[Subscriber] = set()
        self._window = asyncio.Semaphore(WINDOW)
        self._farewell: asyncio.Future[None] | None = None
        self._closing: Thread | None = None
        self.client.start_async()

    # On the loop.

    async def until_connected(self) -> None:
        """Wait for a connection, :data:`CONNECT_SECONDS` at most.

        Raises:
            RegistryError: The server refuses the credentials.
            OSError: All servers were tried in vain.
            TimeoutError: There was none in time.
        """
        rounds, until = self._rounds, self._loop.time() + CONNECT_SECONDS
        while not self.connected:
            self.check()
            if self._rounds > rounds:
                raise self.out_of_reach()
            if not await self.change(until - self._loop.time()):
                raise TimeoutError(str(self.out_of_reach()))

    def check(self) -> None:
        """Nothing, unless the session cannot go on.

        Raises:
            RegistryError: It was closed, or the server refuses the credentials.
            OSError: kazoo could not go on.
        """
        if self.ended:
            raise why_ended(self._refusal, self._names)

    def out_of_reach(self) -> OSError:
        """The error that says so, and why."""
        return ConnectionError(
            f"no connection to ZooKeeper at {self._names} ({self._reason or 'no answer yet'})"
        )

    async def change(self, seconds: float) -> bool:
        """Wait until the connection has come or gone, or an attempt has failed; False when that took too long."""
        if seconds <= 0:
            return False
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        done, _ = await asyncio.wait((waiter,), timeout=seconds)
        if not done and waiter in self._waiters:
            self._waiters.remove(waiter)
        return bool(done)

    async def request(self, start: Callable[[KazooClient], Any]) -> Any:
        """Make one request.

        Args:
            start: Calls one of kazoo's ``…_async`` methods.

        Raises:
            NoNodeError, NodeExistsError, BadVersionError: As ZooKeeper answered.
            SessionExpiredError: The session is gone.
            RegistryError: ZooKeeper refuses it.
            OSError: The connection is lost.
            TimeoutError: There was no answer within the session's timeout, or ten seconds.
        """
        async with self._window:
            self.check()
            if not self.connected:
                raise self.out_of_reach()
            answered: asyncio.Future[Any] = self._loop.create_future()
            start(self.client).rawlink(lambda result: self._post(_settle, answered, result))
            patience = min(10.0, self.timeout)
            timer = self._loop.call_later(patience, self._too_late, answered, patience)
            try:
                answer = await answered
            finally:
                timer.cancel()
        # An exception is a value here: a future that nobody waits for any longer would complain of one.
        if isinstance(answer, Exception):
            raise raised(answer, self._names)
        return answer

    def subscribe(self, subscriber: Subscriber) -> None:
        """Tell it from now on."""
        self._subscribers.add(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Tell it no longer."""
        self._subscribers.discard(subscriber)

    def end(self) -> None:
        """Begin to close: end the session, and kazoo's threads. Does not wait. Idempotent."""
        if self._closing is None:
            self._farewell = self._loop.create_future()
            if not self.connected:
                self._handler.abort()
            self._closing = Thread(
                target=self._stop_client, name="bee-zookeeper-closing", daemon=True
            )
            self._closing.start()

    @property
    def closed(self) -> bool:
        """Whether kazoo's threads have ended."""
        return self._farewell is not None and self._farewell.done()

    async def close(self) -> None:
        """End the session, which removes what it registered, and kazoo's threads: in 1.5 s at most. Idempotent."""
        self.end()
        assert self._farewell is not None  # noqa: S101  # narrows the type
        assert self._closing is not None  # noqa: S101
        if not self._farewell.done():
            await asyncio.wait((self._farewell,), timeout=_FAREWELL)
        if not self._farewell.done():
            self._handler.abort()
            await asyncio.wait((self._farewell,), timeout=_FAREWELL)
        if self._farewell.done():
            self._closing.join()  # it has nothing left to do

    # On kazoo's threads.

    def on_connected(self, session: int, timeout: float) -> None:
        """See :class:`bee_plugins.registries.zookeeper_client.Listener`."""
        self._post(self._connected, session, timeout)

    def on_suspended(self) -> None:
        """See :class:`bee_plugins.registries.zookeeper_client.Listener`."""
        self._post(self._lost, "the connection was lost")

    def on_expired(self) -> None:
        """See :class:`bee_plugins.registries.zookeeper_client.Listener`."""
        self._post(self._lost, "the session has expired")

    def on_unreachable(self, reason: str) -> None:
        """See :class:`bee_plugins.registries.zookeeper_client.Listener`."""
        self._post(self._round_failed, reason)

    def on_ended(self, error: BaseException | None) -> None:
        """See :class:`bee_plugins.registries.zookeeper_client.Listener`."""
        self._post(self._over, error)

    def on_event(self, event: WatchedEvent) -> None:
        """The one callback of all watches, so that kazoo keeps one a znode."""
        if event.type != EventType.NONE:
            self._post(self._fired, event.path)

    def _post(self, function: Callable[..., None], *args: Any) -> None:
        """Call it on the loop, in order. The loop is woken once for what comes in one go; one that is closed needs nothing any longer."""
        self._inbox.append((function, args))
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._read_inbox)

    def _stop_client(self) -> None:
        # Errors are kazoo's way to say that it was not at work.
        with contextlib.suppress(Exception):
            self.client.stop()
        with contextlib.suppress(Exception):
            self.client.close()
        self._post(self._said_farewell)

    # What they say, on the loop.

    def _read_inbox(self) -> None:
        self._woken = False
        while self._inbox:
            function, args = self._inbox.popleft()
            function(*args)

    def _connected(self, session: int, timeout: float) -> None:
        self.id, self.timeout, self.connected = session, timeout, True
        self.connects += 1
        self._reason = ""
        self._tell()

    def _lost(self, reason: str) -> None:
        if self.connected:
            self.connected = False
            self.lost_at = self._loop.time()
        self._reason = reason
        self._tell()

    def _round_failed(self, reason: str) -> None:
        self._reason = reason
        self._rounds += 1
        self._tell()

    def _over(self, error: BaseException | None) -> None:
        self.connected, self.ended, self._refusal = False, True, error
        self._tell()

    def _said_farewell(self) -> None:
        if self._farewell is not None and not self._farewell.done():
            self._farewell.set_result(None)

    def _too_late(self, answered: asyncio.Future[Any], patience: float) -> None:
        if not answered.done():
            answered.set_result(
                TimeoutError(f"ZooKeeper at {self._names} has not answered within {patience:g} s")
            )

    def _fired(self, path: str) -> None:
        for subscriber in tuple(self._subscribers):
            subscriber.znode_changed(path)

    def _tell(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        for subscriber in tuple(self._subscribers):
            subscriber.session_changed()


def _settle(answered: asyncio.Future[Any], result: Any) -> None:
    if not answered.done():
        answered.set_result(result.value if result.exception is None else result.exception)
