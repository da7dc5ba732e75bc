"""Both clients behind one blocking face, so that one test covers both."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import bee_core

BOTH = ("blocking", "asyncio")


def client_config(*urls: str, service: str = "calc", **settings: Any) -> dict[str, Any]:
    return {"bee": {"rpc": {"client": {service: {"address": list(urls), **settings}}}}}


class BlockingUser:
    """Calls from the test's own thread; ``start`` from a thread of a pool."""

    def __init__(self, config: Any, plugins: Any = ()) -> None:
        self.client = bee_core.build_client(config, plugins=plugins)
        self._threads = ThreadPoolExecutor(64)

    def call(self, method: str, *args: Any, options: Any = None, **kwargs: Any) -> Any:
        return self._proxy(options).call(method, *args, **kwargs)

    def detailed(self, method: str, *args: Any, options: Any = None, **kwargs: Any) -> Any:
        return bee_core.detailed(getattr(self._proxy(options), method), *args, **kwargs)

    def start(self, method: str, *args: Any, options: Any = None, **kwargs: Any) -> Future[Any]:
        return self._threads.submit(self.call, method, *args, options=options, **kwargs)

    def _proxy(self, options: Any) -> Any:
        proxy = self.client.service(next(iter(self.client.config.clients)))
        return proxy.with_options(**options) if options else proxy

    def close_client(self) -> None:
        self.client.close()

    def close(self) -> None:
        self.client.close()
        self._threads.shutdown()


class FutureUser(BlockingUser):
    """Calls by futures of the blocking client."""

    def call(self, method: str, *args: Any, options: Any = None, **kwargs: Any) -> Any:
        return self.start(method, *args, options=options, **kwargs).result()

    def start(self, method: str, *args: Any, options: Any = None, **kwargs: Any) -> Future[Any]:
        return bee_core.future(self._proxy(options).call, method, *args, **kwargs)


class AsyncUser:
    """Calls on an event loop in a thread of its own."""

    def __init__(self, config: Any, plugins: Any = ()) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.client = bee_core.build_async_client(config, plugins=plugins)

    def call(self, method: str, *args: Any, options: Any = None, **kwargs: Any) -> Any:
        return self.start(method, *args, options=options, **kwargs).result()

    def detailed(self, method: str, *args: Any, options: Any = None, **kwargs: Any) -> Any:
        async def make() -> Any:
            return await bee_core.detailed(getattr(self._proxy(options), method), *args, **kwargs)

        return asyncio.run_coroutine_threadsafe(make(), self.loop).result()

    def start(self, method: str, *args: Any, options: Any = None, **kwargs: Any) -> Future[Any]:
        async def make() -> Any:
            return await self._proxy(options).call(method, *args, **kwargs)

        return asyncio.run_coroutine_threadsafe(make(), self.loop)

    def _proxy(self, options: Any) -> Any:
        proxy = self.client.service(next(iter(self.client.config.clients)))
        return proxy.with_options(**options) if options else proxy

    def close_client(self) -> None:
        asyncio.run_coroutine_threadsafe(self.client.close(), self.loop).result()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._finish(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _finish(self) -> None:
        await self.client.close()
        await self.loop.shutdown_default_executor()


def make_user(kind: str, config: Any, plugins: Any = ()) -> Any:
    return BlockingUser(config, plugins) if kind == "blocking" else AsyncUser(config, plugins)
