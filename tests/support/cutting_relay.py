"""A relay on a thread of its own that resets connections just where a call is left in doubt."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading

from support.patience import PATIENCE

FATES = ("pass", "lose request", "lose answer", "cut", "late")
"""What becomes of a request: passed on; not passed on, and the connection reset; passed on, and
the connection reset in place of the answer; passed on and reset at once; or the client's side
reset, and the request passed on only when :meth:`CuttingRelay.release` is called."""


class CuttingRelay:
    """Passes TCP on to a server; a context manager.

    Args:
        url: The server's.
        marker: What a request has in its bytes whose fate is decided.
        decide: Gives the fate of the next one; by default ``fates`` are taken in turn, and then
            all pass.

    Attributes:
        url: Where it listens.
        fates: See above.
        met: The fates that were met.
        decide: As given; may be replaced.
    """

    def __init__(self, url, marker=b"write", decide=None):
        self.port = int(url.rpartition(":")[2])
        self.marker = marker
        self.fates = []
        self.met = []
        self.decide = decide or (lambda: self.fates.pop(0) if self.fates else "pass")
        self._held = []
        self._writers = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self.url = self._run(self._open())
        return self

    def __exit__(self, *_):
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def release(self):
        """Pass on the requests that are late, and wait until the server has closed or answered."""
        self._run(self._release())

    def _run(self, steps):
        return asyncio.run_coroutine_threadsafe(steps, self._loop).result(PATIENCE)

    async def _open(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _close(self):
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _release(self):
        held, self._held = self._held, []
        for reader, writer, data in held:
            writer.write(data)
            with contextlib.suppress(OSError):
                await reader.read(65536)
            writer.transport.abort()

    async def _serve(self, reader, writer):
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            _reset(writer)
            return
        self._writers |= {writer, to_server}
        lost = asyncio.Event()
        back = asyncio.ensure_future(self._back(from_server, to_server, writer, lost))
        try:
            while data := await reader.read(65536):
                fate = self.decide() if self.marker in data else "pass"
                if self.marker in data:
                    self.met.append(fate)
                if fate == "late":
                    back.cancel()
                    self._held.append((from_server, to_server, data))
                    _reset(writer)
                    return
                if fate == "lose request":
                    break
                if fate == "lose answer":
                    lost.set()
                to_server.write(data)
                if fate == "cut":
                    break
        except OSError:
            pass
        _reset(writer)
        _reset(to_server)
        self._writers -= {writer, to_server}

    async def _back(self, from_server, to_server, writer, lost):
        with contextlib.suppress(OSError):
            while data := await from_server.read(65536):
                if lost.is_set():
                    break
                writer.write(data)
        _reset(writer)
        _reset(to_server)


def _reset(writer):
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
