"""kazoo's client under control: bounded, silent, and with a server that answers.

kazoo has no public way to learn the session timeout that the server granted, nor that it has tried
all servers in vain, and why. It waits a whole session timeout for one server, gives up a connection
whose answers are merely late, and ends for good by an answer that it cannot read.
:class:`_Connection` adds this around some of kazoo's methods. All else here uses kazoo's public
arguments (handler, logger, retry).
"""

from __future__ import annotations

import errno
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from kazoo.client import KazooClient  # type: ignore[import-untyped]
from kazoo.exceptions import (  # type: ignore[import-untyped]
    ConnectionDropped,
    KazooException,
    SessionExpiredError,
)
from kazoo.protocol.connection import STOP_CONNECTING, ConnectionHandler  # type: ignore[import-untyped]
from kazoo.protocol.serialization import Connect  # type: ignore[import-untyped]
from kazoo.protocol.states import KazooState, KeeperState  # type: ignore[import-untyped]
from kazoo.retry import ForceRetryError, KazooRetry  # type: ignore[import-untyped]

from bee_core.interfaces import logger
from bee_plugins.registries.zookeeper.company import STEP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bee_plugins.registries.zookeeper.company import Server
    from bee_plugins.registries.zookeeper.handler import Handler
    from bee_plugins.registries.zookeeper.session import Session

log = logger("bee.registry.zookeeper")

HELLO_SECONDS = 2.0
"""Seconds for a first hello. They are doubled from round to round: a server may be merely slow."""
# The part of the timeout that later hellos may take.
_HELLO_SHARE = 1 / 2
# Pauses between two rounds over all servers. A server that restarts is back within seconds. The
# longest is at most this part of the session's time: clients keep nodes in doubt for about so long.
_RETRY_FIRST, _RETRY_CAP, _RETRY_SHARE = 0.1, 1.0, 1 / 6
# The part of the granted timeout that kazoo waits for a server. kazoo only tells this part.
_READ_SHARE = 2 / 3
# What kazoo is told instead. It pings twice in this time, and looks whether the ping is answered.
_LOOK_SHARE = 1 / 3
# The part of the timeout that a ping may be unanswered. kazoo would give up after a third.
_PING_SHARE = 1 / 2
# The part of the timeout after which a client that all servers refuse forgets what it has seen.
_HUMBLE_SHARE = 1 / 3
_LOOK_AGAIN = 5.0
_LONGEST = 1 << 25
"""Bytes of an answer. The names of 100,000 nodes are a tenth of it."""
_NOBODY = os.strerror(errno.ECONNREFUSED)
_LOST = {
    KazooState.SUSPENDED: "the connection was lost",
    KazooState.LOST: "the session has expired",
}


class _PingOutstanding:
    """Stands for kazoo's event: set once a ping has been unanswered for too long."""

    def __init__(self) -> None:
        self.patience = 0.0
        self._since: float | None = None

    def set(self) -> None:
        if self._since is None:
            self._since = time.monotonic()

    def clear(self) -> None:
        self._since = None

    def is_set(self) -> bool:
        return self._since is not None and time.monotonic() - self._since > self.patience


class _Connection(ConnectionHandler):  # type: ignore[misc]
    """kazoo's connection, which tells the session what happens to it."""

    def __init__(
        self, client: KazooClient, retry: KazooRetry, logger: Any, session: Session
    ) -> None:
        super().__init__(client, retry, logger=logger)
        self.ping_outstanding = _PingOutstanding()
        self._session = session
        self._servers: list[Server] = []
        self._waiting: list[Server] = []  # those that this round has not tried
        self._current: Server | None = None
        self._better: Server | None = None
        self._failures: dict[str, str] = {}
        self._refusal: BaseException | None = None
        self._timeout = 0.0
        self._patience = HELLO_SECONDS
        self._away_since: float | None = None
        self._looked_at = -_LOOK_AGAIN

    def zk_loop(self) -> None:
        """All that kazoo's thread does."""
        error: BaseException | None = None
        try:
            super().zk_loop()
        except Exception as caught:
            error = caught
        self._session.post(self._session.on_ended, self._refusal or error)

    def look_around(self) -> None:
        """The server of now is silent: go to another one, if one answers first. From any thread."""
        begun, current = time.monotonic(), self._current
        if begun < self._looked_at + _LOOK_AGAIN:
            return
        self._looked_at = begun

        def found(server: Server) -> None:
            if self._current is current and self.handler.heard_at < begun:
                self._go_to(server)

        others = [server for server in self._servers if server != current]
        if others:
            self.handler.company.call(others, 0.0, found)

    def _go_to(self, server: Server) -> None:
        self._better = server
        self.handler.interrupt()

    def _connect_loop(self, retry: KazooRetry) -> Any:
        self._failures.clear()
        self._servers = self._expand_client_hosts()
        self._waiting = list(self._servers)
        while not self.client._stopped.is_set():  # noqa: SLF001
            server, self._better = self._better, None
            if server in self._waiting:
                self._waiting.remove(server)
            elif server is None and self._waiting:
                server = self._waiting.pop(0)
            if server is None:
                break
            if self._connect_attempt(*server, retry) is STOP_CONNECTING:
                return STOP_CONNECTING
        if self.client._stopped.is_set():  # noqa: SLF001
            return STOP_CONNECTING
        if self._failures or not self._servers:
            self._patience = min(2 * self._patience, max(HELLO_SECONDS, self._timeout))
            reasons = [f"{server}: {reason}" for server, reason in self._failures.items()]
            self._session.post(
                self._session.on_unreachable,
                "; ".join(reasons) or "none of the names can be resolved",
                set(self._failures.values()) == {_NOBODY},
            )
        raise ForceRetryError("Reconnecting")

    def _connect_attempt(self, host: str, hostip: str, port: int, retry: KazooRetry) -> Any:
        try:
            return super()._connect_attempt(host, hostip, port, retry)
        except KazooException:
            raise
        except Exception as error:
            # An answer that kazoo cannot read costs the connection, and not the session. What it
            # said of the last transaction is not to be relied on either.
            self._failures[f"{hostip}:{port}"] = f"no answer of ZooKeeper's ({error!r})"
            self.client.last_zxid = 0
            self.client._session_callback(KeeperState.CONNECTING)  # noqa: SLF001
            return None

    def _connect(self, host: str, hostip: str, port: int) -> tuple[float, float]:
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
        if now - self._away_since > self._timeout * _HUMBLE_SHARE:
            # A server that came back without its data refuses for ever who has seen newer data, and
            # gives no reason. Now it says whether it knows the session.
            self.client.last_zxid = 0
        self._current = (host, hostip, port)
        company = self.handler.company
        try:
            company.call(tuple(self._waiting), STEP_SECONDS, self._go_to)
            timeouts: tuple[float, float] = super()._connect(host, hostip, port)
        except Exception as error:
            if not isinstance(error, SessionExpiredError):
                reason = str(error).removeprefix("socket connection error: ")
                if self._better is not None:
                    reason = "silent, while another server answers"
                self._failures[f"{hostip}:{port}"] = reason or type(error).__name__
                self._refusal = error
            raise
        finally:
            company.dismiss()
        self._refusal = None
        self._failures.clear()
        self._looked_at = -_LOOK_AGAIN
        self._away_since, self._timeout = None, timeouts[0] / _READ_SHARE / 1000
        self._patience = max(HELLO_SECONDS, self._timeout * _HELLO_SHARE)
        self.ping_outstanding.patience = self._timeout * _PING_SHARE
        self._session.post(self._session.on_connected, self.client.client_id, self._timeout)
        return timeouts[0] * _LOOK_SHARE / _READ_SHARE, timeouts[1]

    def _invoke(self, timeout: float, request: Any, xid: int | None = None) -> Any:
        answer = super()._invoke(self._patience, request, xid)
        if isinstance(request, Connect):
            _check_hello(request, answer[0])
        return answer

    def _read_response(self, header: Any, buffer: bytes, offset: int) -> Any:
        asked = next(iter(self.client._pending), None)  # noqa: SLF001
        try:
            return super()._read_response(header, buffer, offset)
        except Exception as error:
            # kazoo would leave the request of an answer that it cannot read without any.
            if asked is not None and asked[1] is not None and not asked[1].ready():
                asked[1].set_exception(error)
            raise

    def _read(self, length: int, timeout: float) -> bytes:
        if not 0 <= length <= _LONGEST:
            raise ConnectionDropped(f"no answer of ZooKeeper's: it announces {length} bytes")
        data: bytes = super()._read(length, timeout)
        return data


def _check_hello(asked: Connect, answer: Connect) -> None:
    """Tell a hello from noise: by noise a session must not count as expired.

    Raises:
        ConnectionDropped: It is none of ZooKeeper's.
    """
    session = answer.session_id
    known = answer.time_out > 0 and session != 0 and asked.session_id in (0, session)
    unknown = answer.time_out == session == 0
    if answer.protocol_version != 0 or not (known or unknown):
        raise ConnectionDropped("no answer of ZooKeeper's: it cannot be a hello")


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
    resume: tuple[int, bytes] | None = None,
) -> KazooClient:
    """A client that is not yet started.

    Args:
        servers: ``host:port``. They are tried one by one, in random order.
        timeout: Seconds of the session that are asked for.
        handler: For this client alone.
        credentials: ``user:password`` for the scheme ``digest``, or None.
        session: Hears what happens to the connection.
        resume: A session that goes on, if ZooKeeper still has it: its number and password.
    """
    logger = _Log(log, {})
    longest = max(_RETRY_FIRST, min(_RETRY_CAP, timeout * _RETRY_SHARE))
    retry = KazooRetry(
        max_tries=-1, delay=_RETRY_FIRST, max_delay=longest, sleep_func=handler.sleep_func
    )
    client = KazooClient(
        hosts=",".join(servers),
        timeout=timeout,
        handler=handler,
        client_id=resume,
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
