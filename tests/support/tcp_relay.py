"""Stands between a client and a server and loses, holds and cuts connections, as networks do."""

from __future__ import annotations

import asyncio
import contextlib


class TcpRelay:
    """Passes TCP on to a port of 127.0.0.1, on the running loop. An asynchronous context manager.

    Attributes:
        address: Where it listens.
        requests: What the first bytes of requests were, in order: ``POST /v3/watch``.
    """

    def __init__(self, port):
        self._port = port
        self._open = asyncio.Event()
        self._open.set()
        self.pairs = {}
        self.address = ""
        self.requests = []
        self._news = asyncio.Event()
        self._unanswered = None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self._open.set()
        self.cut()
        await asyncio.gather(*self.pairs, return_exceptions=True)

    def hold(self):
        """From now on take new connections, and do nothing with them until :meth:`release`."""
        self._open.clear()

    def release(self):
        self._open.set()

    def lose(self):
        """What is connected stays so, and nothing passes any more."""
        for passing, _ in self.pairs.values():
            passing.clear()

    def cut(self):
        """Reset what is connected."""
        for _, writers in self.pairs.values():
            for writer in writers:
                writer.transport.abort()

    def lose_answers_to(self, request):
        """From now on what answers such a request is lost; an empty text ends that."""
        self._unanswered = request or None

    async def until_asked(self, request, times):
        """Wait until something was asked so many times in all."""
        while self.requests.count(request) < times:
            self._news.clear()
            await self._news.wait()

    async def _serve(self, reader, writer):
        passing = asyncio.Event()
        passing.set()
        writers = [writer]
        task = asyncio.current_task()
        self.pairs[task] = passing, writers
        try:
            await self._open.wait()
            to_client, to_server = await asyncio.open_connection("127.0.0.1", self._port)
            writers.append(to_server)
            await asyncio.gather(
                self._pump(reader, to_server, passing, heard=True),
                self._pump(to_client, writer, passing),
            )
        except OSError:
            pass
        finally:
            for each in writers:
                each.transport.abort()
            self.pairs.pop(task, None)

    async def _pump(self, reader, writer, passing, *, heard=False):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not passing.is_set():
                    continue  # lost
                if heard and data.startswith(b"POST "):
                    self.requests.append(" ".join(data.split(b" ", 2)[i].decode() for i in (0, 1)))
                    self._news.set()
                    if self.requests[-1] == self._unanswered:
                        passing.clear()  # from now on: this one goes through
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
