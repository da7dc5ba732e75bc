"""bee itself, with everything on; and the same with a part taken away."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from ..payloads import RECORD, RECORD_SIZE, data
from .contender import Contender, free_port, when_open

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .contender import AsyncCall, Call, Ready

GOVERNED: dict[str, Any] = {
    "balancer": "random",
    "breaker": "consecutive",
    "fail": "failover",
    "retries": 2,
    "idempotent": True,
    "timeout": 30,
    "metadata": {"tenant": "acme"},
}
"""All of the governance that the headline figures have: a balancer, a breaker, failover with its
retry budget, the key that makes a repetition safe, a deadline, metadata.

The balancer is the one that costs least; ``instructions --balancers`` has what others cost."""

WITHOUT: dict[str, dict[str, Any]] = {
    "breaker": {"breaker": None},
    "failover": {"fail": "failfast", "retries": None},
    "key": {"idempotent": None},
    "metadata": {"metadata": None},
}
"""What takes each part away. A balancer and a deadline always are: every call has both."""

UNGOVERNED: dict[str, Any] = {
    key: value for part in WITHOUT.values() for key, value in part.items()
}
"""As little as the configuration allows."""


def native_exchange() -> bool:
    """Whether bee's blocking client runs its native exchange here."""
    try:
        from bee_core.streams.client.native import exchange
    except ImportError:
        return False
    return exchange is not None


def handlers() -> Any:
    """The same handler in the three kinds."""
    import bee_core

    class Echo:
        async def echo(self, value: Any) -> Any:
            return value

        @bee_core.nonblocking
        def echo_nonblocking(self, value: Any) -> Any:
            return value

        def echo_threaded(self, value: Any) -> Any:
            return value

    return Echo()


class Bee(Contender):
    """A client and a server of bee.

    Args:
        title: See :class:`Contender`.
        setup: Likewise.
        method: The kind of the handler.
        service: Settings of the client that replace those of ``GOVERNED``; None takes one away.
        transport: Options of the transport.
        server: Settings of the server.
        application: Settings of client and server as programs.
        environment: See :class:`Contender`.
    """

    def __init__(
        self,
        title: str = "bee",
        setup: str = "all governance on, `async def` handler",
        *,
        method: str = "echo",
        service: dict[str, Any] | None = None,
        transport: dict[str, Any] | None = None,
        server: dict[str, Any] | None = None,
        application: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.title = title
        self.setup = setup
        self.method = method
        self.service = service or {}
        self.transport = transport or {}
        self.server = server or {}
        self.application = application or {}
        self.environment = environment or {}  # type: ignore[misc]

    def left_out(self) -> str | None:
        if self.environment.get("BEE_NATIVE") == "0" and not native_exchange():
            return "bee has no native exchange here, so `bee` is the pure path already"
        return super().left_out()

    def serve(self, ready: Ready) -> None:
        import bee_core

        port = free_port()
        settings = {"name": "echo", "version": "1.0.0", "address": f"127.0.0.1:{port}"}
        settings |= {"codecs": ["json", "msgpack"], **self.server}
        server = bee_core.build_server(
            {"bee": {"application": self.application, "rpc": {"server": settings}}}
        )
        server.add(handlers())
        when_open(port, ready)
        server.run()

    def config(self, port: int, size: int) -> dict[str, Any]:
        """The client's configuration. The record goes as JSON, bytes as MessagePack."""
        service = {"address": f"127.0.0.1:{port}", **GOVERNED, **self.service}
        service["codec"] = "json" if size == RECORD_SIZE else "msgpack"
        service["transport"] = {"name": "tcp", "options": self.transport}
        service = {key: value for key, value in service.items() if value is not None}
        return {"bee": {"application": self.application, "rpc": {"client": {"echo": service}}}}

    @contextmanager
    def open(self, port: int, size: int, count: int) -> Iterator[list[Call]]:
        import bee_core

        value = RECORD if size == RECORD_SIZE else data(size)
        with bee_core.build_client(self.config(port, size)) as client:
            method = getattr(client.service("echo"), self.method)
            yield [lambda: method(value)] * count

    @asynccontextmanager
    async def open_async(self, port: int, size: int, count: int) -> AsyncIterator[list[AsyncCall]]:
        import bee_core

        value = RECORD if size == RECORD_SIZE else data(size)
        async with bee_core.build_async_client(self.config(port, size)) as client:
            method = getattr(client.service("echo"), self.method)
            yield [lambda: method(value)] * count
