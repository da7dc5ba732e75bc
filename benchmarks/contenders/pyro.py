"""Pyro5, as its documentation has it: a daemon with threads, a proxy for each thread.

Its documentation calls ``marshal`` the fastest of its serializers, so that is what runs here.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ..payloads import RECORD, RECORD_SIZE, data
from .contender import Contender

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .contender import Call, Ready


def configured() -> Any:
    """Pyro5's API, with ``marshal`` and enough threads at both ends."""
    import Pyro5.api

    Pyro5.config.SERIALIZER = "marshal"
    Pyro5.config.THREADPOOL_SIZE = 128
    return Pyro5.api


class Pyro(Contender):
    """Threads at both ends."""

    title = "Pyro5"
    setup = "a daemon with threads, serializer `marshal`; a proxy a thread"
    needs = ("Pyro5",)

    def serve(self, ready: Ready) -> None:
        api = configured()

        @api.expose  # type: ignore[untyped-decorator]
        class Echo:
            def echo(self, value: Any) -> Any:
                return value

        with api.Daemon(host="127.0.0.1", port=0) as daemon:
            daemon.register(Echo(), "echo")
            ready(int(daemon.locationStr.rpartition(":")[2]))
            daemon.requestLoop()

    @contextmanager
    def open(self, port: int, size: int, count: int) -> Iterator[list[Call]]:
        api = configured()
        value = RECORD if size == RECORD_SIZE else data(size)

        def bound(proxy: Any) -> Call:
            owned = False

            def call() -> object:
                nonlocal owned
                if not owned:
                    owned = True
                    proxy._pyroClaimOwnership()  # noqa: SLF001  # so is its public API named
                return proxy.echo(value)

            return call

        def release(proxy: Any) -> None:
            proxy._pyroClaimOwnership()  # noqa: SLF001  # likewise
            proxy._pyroRelease()  # noqa: SLF001  # likewise

        with ExitStack() as stack:
            calls = []
            for _ in range(count):
                proxy = api.Proxy(f"PYRO:echo@127.0.0.1:{port}")
                stack.callback(release, proxy)
                calls.append(bound(proxy))
            yield calls
