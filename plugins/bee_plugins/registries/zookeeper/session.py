"""A session with ZooKeeper as the control plane's loop sees it, and what ZooKeeper's errors mean.

kazoo works on threads of its own. Everything it says is passed to the loop, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from threading import Thread
from typing import TYPE_CHECKING, Any

from kazoo.protocol.states import EventType, WatchedEvent  # type: ignore[import-untyped]

from bee_core.errors import RegistryError
from bee_plugins.registries.zookeeper.answers import ADVICE, GONE, REFUSED, classed
from bee_plugins.registries.zookeeper.handler import Handler
from bee_plugins.registries.zookeeper.kazoo_client import make_client

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from kazoo.client import KazooClient  # type: ignore[import-untyped]

    from bee_plugins.registries.zookeeper.watch import ServiceView

CONNECT_SECONDS = 4.0
"""Seconds for a first connection. A watch's first answer is due within 5, and so is its error."""
WINDOW = 128
"""Requests at a time: enough for a connection. The pipe that wakes kazoo's thread holds more."""
SILENT_SECONDS = 1.0
"""Seconds without an answer after which other servers are asked whether they live.

A server that only collects garbage for a moment keeps its clients.
"""
# For the server's answer to the end of a session. Then the connection is cut, and the threads get
# as much again.
_FAREWELL = 0.7


class Session:
    """A client of ZooKeeper and its session of now. kazoo replaces one that expires. For one loop.

    Args:
        servers: The ensemble, ``host:port`` each.
        timeout: Seconds of the session that are asked for.
        credentials: ``user:password``, or None.
        tls: For TLS, or None.
        resume: ``client_id`` of an ended client, whose session goes on if ZooKeeper still has it.

    Attributes:
        id: The session of now, or the last one.
        client_id: The same, with its password.
        timeout: Seconds, as the server granted them.
        connects: How many connections there were. Watches of earlier connections are gone.
        connected: Whether requests go out.
        ended: Whether it cannot go on; make another one.
        subscribers: The views that it calls, on the loop.
        refused: Whether every server has refused a connection since the last one was lost.
        lost_at: The loop's time of the last loss of the connection; at first, of construction.
    """

    def __init__(
        self,
        servers: Sequence[str],
        timeout: float,
        credentials: str | None,
        tls: ssl.SSLContext | None,
        resume: tuple[int, bytes] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._names = ", ".join(servers)
        self.handler = Handler(tls)
        self.client: KazooClient = make_client(
            servers, timeout, self.handler, credentials, self, resume
        )
        self.id = 0 if resume is None else resume[0]
        self.client_id = resume
        self.timeout = timeout
        self.connects = 0
        self.connected = False
        self.ended = self.refused = False
        self.lost_at = self._loop.time()
        self._reason = ""
        self._refusal: BaseException | None = None
        self._rounds = 0
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._woken = False
        self._changed: asyncio.Future[None] = self._loop.create_future()
        self.subscribers: set[ServiceView] = set()
        self._window = asyncio.Semaphore(WINDOW)
        self._farewell: asyncio.Future[None] = self._loop.create_future()
        self._closing: Thread | None = None
        self.client.start_async()

    # Called on the loop.

    async def until_connected(self) -> None:
        """Wait for a connection, :data:`CONNECT_SECONDS` at most.

        Raises:
            RegistryError: The server refuses the credentials.
            OSError: All servers were tried in vain.
            TimeoutError: No server connected in time.
        """
        rounds, until = self._rounds, self._loop.time() + CONNECT_SECONDS
        while not self.connected:
            self.check()
            if self._rounds > rounds:
                raise self.out_of_reach()
            if not await self.change(until - self._loop.time()):
                raise TimeoutError(str(self.out_of_reach()))

    def check(self) -> None:
        """Do nothing, unless the session cannot go on.

        Raises:
            RegistryError: It was closed, or the server refuses the credentials.
            OSError: kazoo could not go on.
        """
        if not self.ended:
            return
        error = self._refusal
        if error is None:
            raise RegistryError(f"the session with ZooKeeper at {self._names} was closed")
        if isinstance(error, REFUSED):
            raise RegistryError(
                f"ZooKeeper at {self._names} refuses the credentials; correct {ADVICE}"
            )
        raise ConnectionError(
            f"the session with ZooKeeper at {self._names} broke off: "
            f"{type(error).__name__}: {error}"
        )

    def out_of_reach(self) -> OSError:
        """The error that says so, and why."""
        return ConnectionError(
            f"no connection to ZooKeeper at {self._names} ({self._reason or 'no answer yet'})"
        )

    async def change(self, seconds: float) -> bool:
        """Wait until the connection comes or goes, or a round fails; False if nothing happens."""
        done, _ = await asyncio.wait((self._changed,), timeout=max(0.0, seconds))
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
            TimeoutError: No answer came within the session's timeout.
        """
        async with self._window:
            self.check()
            if not self.connected:
                raise self.out_of_reach()
            answered: asyncio.Future[Any] = self._loop.create_future()
            start(self.client).rawlink(
                lambda result: self.post(
                    _settle,
                    answered,
                    result.value if result.exception is None else result.exception,
                )
            )
            late = TimeoutError(
                f"ZooKeeper at {self._names} has not answered within {self.timeout:g} s"
            )
            timers = (
                self._loop.call_later(self.timeout, _settle, answered, late),
                self._loop.call_later(SILENT_SECONDS, self._look_around),
            )
            try:
                answer = await answered
            finally:
                for timer in timers:
                    timer.cancel()
        # An exception is a value here: asyncio would complain of one that nobody waits for.
        if isinstance(answer, Exception):
            raise self.classed(answer)
        return answer

    def classed(self, error: Exception) -> Exception:
        """See :func:`bee_plugins.registries.zookeeper.answers.classed`."""
        return classed(error, self._names)

    async def confirm(self, path: str) -> bool:
        """Whether ZooKeeper answers now: the server of now, and the leader behind it."""
        try:
            await self.request(lambda client: client.sync_async(path))
        except (OSError, RegistryError, *GONE):
            return False
        return True

    def _look_around(self) -> None:
        if self.connected:
            self.client._connection.look_around()  # noqa: SLF001  # it is ours

    def end(self) -> None:
        """Begin to end the session and kazoo's threads. Does not wait. Idempotent."""
        if self._closing is None:
            if not self.connected:
                self.handler.abort()
            closing = Thread(target=self._stop_client, name="bee-zookeeper-closing", daemon=True)
            closing.start()
            self._closing = closing

    @property
    def closed(self) -> bool:
        """Whether kazoo's threads have ended."""
        return self._farewell.done()

    async def close(self) -> None:
        """End the session, with what it registered, and kazoo's threads, in 1.5 s. Idempotent."""
        self.end()
        await asyncio.wait((self._farewell,), timeout=_FAREWELL)
        if not self.closed:
            self.handler.abort()
            await asyncio.wait((self._farewell,), timeout=_FAREWELL)
        if self.closed and self._closing is not None:
            self._closing.join()  # it has nothing left to do

    # Called on kazoo's threads.

    def post(self, function: Callable[..., None], *args: Any) -> None:
        """Call a function on the loop, in order.

        It neither blocks nor raises. The loop wakes once for many calls. A loop that is closed
        needs none any more.
        """
        self._inbox.append((function, args))
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._read_inbox)

    def on_event(self, event: WatchedEvent) -> None:
        """The callback of all watches. It is the same one, so kazoo keeps one a znode."""
        if event.type != EventType.NONE:
            self.post(self._fired, event.path)

    def _stop_client(self) -> None:
        self.handler.company.close()
        # kazoo raises errors if it was not at work.
        with contextlib.suppress(Exception):
            self.client.stop()
        with contextlib.suppress(Exception):
            self.client.close()
        self.post(_settle, self._farewell, None)

    # Posted to the loop.

    def _read_inbox(self) -> None:
        self._woken = False
        while self._inbox:
            function, args = self._inbox.popleft()
            function(*args)

    def on_connected(self, client_id: tuple[int, bytes], timeout: float) -> None:
        """A server has accepted the session and the credentials."""
        self.client_id = client_id
        self.id, self.timeout, self.connected = client_id[0], timeout, True
        self.connects += 1
        self._reason, self.refused = "", False
        self._tell()

    def on_lost(self, reason: str) -> None:
        """The connection is lost."""
        if self.connected:
            self.connected = False
            self.lost_at = self._loop.time()
        self._reason = reason
        self._tell()

    def on_unreachable(self, reason: str, refused: bool) -> None:
        """All servers were tried in vain; ``refused``: nobody listens at any of them."""
        self._reason, self.refused = reason, refused
        self._rounds += 1
        self._tell()

    def on_ended(self, error: BaseException | None) -> None:
        """The thread of kazoo has ended."""
        self.connected, self.ended, self._refusal = False, True, error
        self._tell()

    def _fired(self, path: str) -> None:
        for subscriber in tuple(self.subscribers):
            subscriber.znode_changed(path)

    def _tell(self) -> None:
        self._changed.set_result(None)
        self._changed = self._loop.create_future()
        for subscriber in tuple(self.subscribers):
            subscriber.session_changed()


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)
