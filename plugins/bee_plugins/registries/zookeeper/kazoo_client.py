"""kazoo's client under control: bounded, silent, and untouched by a forked child.

kazoo has no public way to learn the session timeout that the server granted, nor that it has tried
all servers in vain, and why. It also waits a whole session timeout for one server.
:class:`_Connection` adds this around four of kazoo's methods. All else here uses kazoo's public
arguments (handler, logger, retry).
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import select
import socket
import time
from math import ceil
from threading import Thread
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from kazoo.client import KazooClient  # type: ignore[import-untyped]
from kazoo.exceptions import SessionExpiredError  # type: ignore[import-untyped]
from kazoo.handlers.threading import SequentialThreadingHandler  # type: ignore[import-untyped]
from kazoo.protocol.connection import ConnectionHandler  # type: ignore[import-untyped]
from kazoo.protocol.states import KazooState  # type: ignore[import-untyped]
from kazoo.retry import ForceRetryError, KazooRetry  # type: ignore[import-untyped]

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from bee_plugins.registries.zookeeper.session import Session

log = logging.getLogger("bee.registry.zookeeper")

SERVER_SECONDS = 2.0
"""Seconds for a connection to one server, and again for its hello.

A server that hangs must leave time for the next one: a first answer is due within 5 s.
"""
# Pauses between two rounds over all servers. A server that restarts is back within seconds.
_RETRY_FIRST, _RETRY_CAP = 0.1, 1.0
# The part of the granted timeout that kazoo waits for a server. kazoo only tells this part.
_READ_SHARE = 2 / 3
_LOST = {
    KazooState.SUSPENDED: "the connection was lost",
    KazooState.LOST: "the session has expired",
}


class Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's threads and sockets.

    Args:
        tls: For connections with TLS, or None.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._tls = tls
        self.sockets: list[socket.socket] = []
        self._pair: tuple[socket.socket, ...] = ()
        self._aborted = False
        _living.add(self)

    def start(self) -> None:
        """Start without kazoo's exit hook: a forked child would run it as well."""
        super().start()
        atexit.unregister(self.stop)

    def spawn(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Thread:
        """A daemon thread with a name."""
        thread = Thread(target=func, args=args, kwargs=kwargs, name="bee-zookeeper", daemon=True)
        thread.start()
        return thread

    def select(
        self,
        rlist: Sequence[Any],
        wlist: Sequence[Any],
        xlist: Sequence[Any],
        timeout: float | None = None,
    ) -> tuple[Any, Any, Any]:
        """Which sockets can be read and written.

        A socket with bytes that TLS has decrypted counts as readable. The system does not know of
        them: one TLS record may hold several replies.
        """
        if self._tls is not None:
            pending = [sock for sock in rlist if sock in self.sockets and sock.pending()]
            if pending:
                return pending, [], []
        # kazoo would make an epoll set each time, and does this several times a request.
        poll = select.poll()
        for sock in rlist:
            poll.register(sock, select.POLLIN)
        for sock in wlist:
            poll.register(sock, select.POLLOUT)
        found = {fd for fd, _ in poll.poll(None if timeout is None else ceil(timeout * 1000))}
        return (
            [sock for sock in rlist if sock.fileno() in found],
            [sock for sock in wlist if sock.fileno() in found],
            [],
        )

    def create_socket_pair(self) -> tuple[socket.socket, socket.socket]:
        """The pipe by which requests wake kazoo's thread.

        An event loop writes into it, so the writing end never blocks.
        """
        ends = socket.socketpair()
        ends[1].setblocking(False)
        self._pair = ends
        return ends

    def create_connection(
        self,
        address: tuple[str, int],
        hostname: str | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> socket.socket:
        """A connection to one server, within :data:`SERVER_SECONDS`.

        Raises:
            OSError: It failed.
        """
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        self.sockets = [sock]  # before it connects, so that it can be aborted
        try:
            if self._aborted:
                raise ConnectionAbortedError("the client closes")
            sock.settimeout(min(SERVER_SECONDS, timeout or SERVER_SECONDS))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(address)
            if self._tls is not None:
                sock = self._tls.wrap_socket(
                    sock, server_hostname=hostname or address[0], do_handshake_on_connect=False
                )
                self.sockets = [sock]  # before the handshake, for the same reason
                sock.do_handshake()
        except BaseException:
            sock.close()
            raise
        return sock

    def abort(self) -> None:
        """Cut the connection, so that kazoo's thread stops waiting. From any thread."""
        self._aborted = True
        for sock in self.sockets:
            with contextlib.suppress(OSError, ValueError):
                sock.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """In a forked child: close its copies of the descriptors; send nothing."""
        for sock in (*self.sockets, *self._pair):
            with contextlib.suppress(OSError, ValueError):
                os.close(sock.detach())
        _inherited.append(self)


class _Connection(ConnectionHandler):  # type: ignore[misc]
    """kazoo's connection, which tells the session what happens to it."""

    def __init__(
        self, client: KazooClient, retry: KazooRetry, logger: Any, session: Session
    ) -> None:
        super().__init__(client, retry, logger=logger)
        self._session = session
        self._failures: dict[str, str] = {}
        self._refusal: BaseException | None = None
        self._timeout = 0.0
        self._away_since: float | None = None

    def zk_loop(self) -> None:
        """All that kazoo's thread does."""
        error: BaseException | None = None
        try:
            super().zk_loop()
        except Exception as caught:
            # For example an answer that kazoo cannot read. The next request raises it.
            error = caught
        self._session.post(self._session.on_ended, self._refusal or error)

    def _connect_loop(self, retry: KazooRetry) -> Any:
        self._failures.clear()
        try:
            return super()._connect_loop(retry)
        except ForceRetryError as error:
            if self._failures or "resolved" in str(error):
                reasons = [f"{server}: {reason}" for server, reason in self._failures.items()]
                self._session.post(
                    self._session.on_unreachable,
                    "; ".join(reasons) or "none of the names can be resolved",
                )
            raise

    def _connect(self, host: str, hostip: str, port: int) -> tuple[float, float]:
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
        if self._timeout and now - self._away_since > self._timeout:
            # No server keeps a session for so long. But a server that came back without its data
            # refuses it for ever, since this client has seen newer data, and gives no reason.
            self._timeout, self._away_since = 0.0, now
            raise SessionExpiredError
        try:
            timeouts: tuple[float, float] = super()._connect(host, hostip, port)
        except Exception as error:
            if not isinstance(error, SessionExpiredError):
                reason = str(error).removeprefix("socket connection error: ")
                self._failures[f"{hostip}:{port}"] = reason or type(error).__name__
                self._refusal = error
            raise
        self._refusal = None
        self._failures.clear()
        self._away_since, self._timeout = None, timeouts[0] / _READ_SHARE / 1000
        self._session.post(self._session.on_connected, self.client.client_id[0], self._timeout)
        return timeouts

    def _invoke(self, timeout: float, request: Any, xid: int | None = None) -> Any:
        return super()._invoke(min(timeout, SERVER_SECONDS), request, xid)


class _Log(logging.LoggerAdapter):  # type: ignore[type-arg]  # generic since Python 3.11 only
    """kazoo's log, at the level DEBUG.

    kazoo logs every reconnect. Its own DEBUG level shows credentials and is dropped.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if level >= logging.INFO:
            super().log(logging.DEBUG, msg, *args, **kwargs)


def make_client(
    servers: Sequence[str],
    timeout: float,
    handler: Handler,
    credentials: str | None,
    session: Session,
) -> KazooClient:
    """A client that is not yet started.

    Args:
        servers: ``host:port``. They are tried one by one, in random order.
        timeout: Seconds of the session that are asked for.
        handler: For this client alone.
        credentials: ``user:password`` for the scheme ``digest``, or None.
        session: Hears what happens to the connection.
    """
    logger = _Log(log, {})
    retry = KazooRetry(
        max_tries=-1, delay=_RETRY_FIRST, max_delay=_RETRY_CAP, sleep_func=handler.sleep_func
    )
    client = KazooClient(
        hosts=",".join(servers),
        timeout=timeout,
        handler=handler,
        connection_retry=retry,
        auth_data={("digest", credentials)} if credentials else None,
        logger=logger,
    )
    # A copy of the retry, as kazoo's constructor makes one. By now it ends with the client.
    client._connection = _Connection(client, retry.copy(), logger, session)  # noqa: SLF001

    def changed(state: str) -> None:
        if state in _LOST:
            session.post(session.on_lost, _LOST[state])

    client.add_listener(changed)
    return client


_living: WeakSet[Handler] = WeakSet()
_inherited: list[object] = []  # kept in a forked child, so that the parent's destructors never run


def _in_child() -> None:
    for handler in list(_living):
        handler.forget()


os.register_at_fork(after_in_child=_in_child)
