"""Stands between a client and an HTTP server, and spoils answers, as proxies do."""

from __future__ import annotations

import asyncio
import contextlib
import re

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n<html>\xff busy</html>"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found"
CUT_SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[{"
NOISE = b"\x00\x01\xff\xfe" * 9


class HttpRelay:
    """Passes requests on to a port of 127.0.0.1. An asynchronous context manager.

    A request reaches the server whatever becomes of its answer.

    Attributes:
        address: Where it listens.
        instead: What the client gets in place of each answer; None passes answers on.
        only: A regular expression; answers to requests whose first line does not have it are
            passed on.
        requests: The first line of each request, in order: ``PUT /v1/agent/check/pass/c``.
        passing: While this event is not set, answers wait.
    """

    def __init__(self, port):
        self._port = port
        self.instead, self.only = None, ""
        self.requests = []
        self.passing = asyncio.Event()
        self.passing.set()
        self._tasks = set()
        self._news = asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until_asked(self, what, times):
        """Wait until so many requests in all had this in their first line."""
        while self.asked(what) < times:
            self._news.clear()
            await self._news.wait()

    def asked(self, what):
        """How many requests had this in their first line."""
        return sum(what in line for line in self.requests)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        to_client = writer
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        line = [""]

        async def up():
            while data := await reader.read(65536):
                found = re.match(rb"([A-Z]+ \S+) HTTP", data)
                if found:
                    line[0] = found[1].decode()
                    self.requests.append(line[0])
                    self._news.set()
                to_server.write(data)

        async def down():
            while data := await from_server.read(65536):
                if re.search(self.only, line[0]):
                    await self.passing.wait()
                    if self.instead is not None:
                        to_client.write(self.instead)
                        return
                to_client.write(data)

        ways = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            with contextlib.suppress(OSError):
                to_client.close()
                to_server.close()
            self._tasks.discard(asyncio.current_task())
