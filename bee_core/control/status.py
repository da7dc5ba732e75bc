"""What a process shows at ``metrics_address``: its metrics, whether it lives, whether it is ready.

There is one listener an address and process, whoever in the process names it:

- A server opens it on its own loop, and the parent of ``workers`` on its.
- Clients open it on a control plane that they share, at their first call.
- Who comes later at the same address joins. When a server leaves and clients stay, the listener
  goes over to a control plane of theirs.

A forked child lets go of the parent's listener, and opens none at that address: the parent has it.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future
from threading import RLock, Thread
from typing import TYPE_CHECKING

import attrs

from ..terms.addresses import parse
from ..terms.loggers import logger
from . import fork
from .http_listener import Answer, HttpListener, bind
from .plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Callable

log = logger("bee.client")

PING_SECONDS = 1.0
"""How long the loop of a server may take to answer another loop that it runs."""


@attrs.frozen
class Verdict:
    """Whether something is as it should be, and a line for each thing worth a word."""

    good: bool
    lines: tuple[str, ...] = ()


def _fine() -> Verdict:
    return Verdict(good=True)


@attrs.frozen(eq=False)
class Source:
    """What one client or server has to show. The functions may be called on another loop's thread.

    Attributes:
        expose: Takes the header ``Accept``. Returns the media type and the body of the metrics, or
            None where no observer exposes any.
        ready: Whether new calls may come.
        lives: Whether it does its work, as far as its loop does not show it.
        loop: The loop that must run for it to live; None for a client.
        on_thread: ``expose`` is not to hold up the loop, because that serves calls.
    """

    expose: Callable[[str], tuple[str, bytes] | None]
    ready: Callable[[], Verdict] = _fine
    lives: Callable[[], Verdict] = _fine
    loop: asyncio.AbstractEventLoop | None = None
    on_thread: bool = False


class StatusPage:
    """One address of this process, with all who show something there."""

    def __init__(self, address: str) -> None:
        where = parse(address)
        self.sources: tuple[Source, ...] = ()  # replaced whole, since other threads read it
        self.listener = HttpListener(bind(where.host, where.port or 0), self._answer)
        port: int = self.listener.sock.getsockname()[1]
        self.url = attrs.evolve(where, scheme="http", port=port).url
        self.plane: ControlPlane | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._under_way: Future[tuple[str, bytes] | None] | None = None

    async def open_here(self) -> None:
        """Listen on the running loop, a server's."""
        self.loop = asyncio.get_running_loop()
        await self.listener.open()

    def open_on_plane(self) -> None:
        """Listen on a control plane of its own. From any thread; does not wait."""
        self.plane = ControlPlane("metrics")
        self.plane.at_stop(self._close_async)
        self.plane.spawn(self.listener.open)

    def move_to_plane(self) -> None:
        """The loop that it listens on ends, and others stay. On that loop."""
        before = self.listener
        self.listener = HttpListener(before.sock.dup(), self._answer)
        self.loop = None
        before.close()
        self.open_on_plane()

    def close(self) -> None:
        """Listen no more. On the loop that it listens on."""
        self.listener.close()

    async def _close_async(self) -> None:
        self.close()

    async def _answer(self, path: str, accept: str) -> Answer:
        sources = self.sources
        if path == "/metrics":
            return await self._metrics(sources, accept)
        if path == "/healthz":
            verdicts = [await self._lives(source) for source in sources]
            return _said("ok", "not well", verdicts)
        if path == "/readyz":
            return _said("ready", "not ready", [source.ready() for source in sources])
        return Answer(404, b"there are /metrics, /healthz and /readyz\n")

    async def _metrics(self, sources: tuple[Source, ...], accept: str) -> Answer:
        for source in sources:
            if source.on_thread and source.loop is self.loop:
                found = await self._on_thread(source, accept)
            else:
                found = source.expose(accept)
            if found is not None:
                return Answer(200, found[1], found[0])
        advice = b"no observer exposes metrics; bee.application.observers: prometheus does\n"
        return Answer(404, advice)

    async def _on_thread(self, source: Source, accept: str) -> tuple[str, bytes] | None:
        """Expose on a thread, one at a time: an observer may hang, however often it is asked."""
        while self._under_way is not None and not self._under_way.done():
            await asyncio.wait((asyncio.wrap_future(self._under_way),))
        answered: Future[tuple[str, bytes] | None] = Future()
        answered.set_running_or_notify_cancel()  # whoever waits may give up, and it goes on

        def work() -> None:
            try:
                answered.set_result(source.expose(accept))
            except BaseException as error:
                answered.set_exception(error)

        # A daemon, so that one that hangs does not keep the process.
        Thread(target=work, name="bee-metrics", daemon=True).start()
        self._under_way = answered
        return await asyncio.wrap_future(answered)

    async def _lives(self, source: Source) -> Verdict:
        loop = source.loop
        if loop is None or loop is asyncio.get_running_loop():
            return source.lives()
        answered: Future[None] = Future()
        try:
            loop.call_soon_threadsafe(_answer_once, answered)
            await asyncio.wait_for(asyncio.wrap_future(answered), PING_SECONDS)
        except (TimeoutError, asyncio.TimeoutError, RuntimeError):  # it hangs, or is closed
            line = f"the loop of the server has not answered for {PING_SECONDS:g} s"
            return Verdict(good=False, lines=(line,))
        return source.lives()


def _answer_once(answered: Future[None]) -> None:
    if not answered.done():
        answered.set_result(None)


def _said(good: str, bad: str, verdicts: list[Verdict]) -> Answer:
    well = all(verdict.good for verdict in verdicts)
    lines = [good if well else bad, *(line for verdict in verdicts for line in verdict.lines)]
    return Answer(200 if well else 503, "".join(f"{line}\n" for line in lines).encode())


class _Process:
    """The addresses of this process. Thread-safe."""

    def __init__(self) -> None:
        self.pages: dict[str, StatusPage] = {}
        self.of_parent: set[str] = set()
        self.warned: set[str] = set()
        self.lock = RLock()  # the garbage collector may drop a client while this thread has it
        self._kept: list[object] = []
        fork.watch(self)

    def after_fork_in_child(self) -> None:
        """See :class:`bee_core.control.fork.Forkable`."""
        pages, self.pages, self.lock = self.pages, {}, RLock()
        self.of_parent.update(pages)
        for page in pages.values():
            self._kept.append(page)  # no destructor is to run: it is the parent's
            page.listener.discard_after_fork()


_process = _Process()


class StatusPlace:
    """The place of one client or server at an address. Thread-safe.

    Args:
        address: ``host:port``; None where nothing is shown.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._source: Source | None = None
        self._page: StatusPage | None = None

    @property
    def url(self) -> str | None:
        """``http://host:port`` with the real port; None where nothing is shown."""
        page = self._page
        return None if page is None else page.url

    async def open_here(self, source: Source) -> None:
        """Show the source of a server: on the running loop, or where the address is shown already.

        Raises:
            OSError: The address cannot be listened on.
        """
        page, is_new = self._join(source)
        if is_new and page is not None:
            try:
                await page.open_here()
            except BaseException:
                self._leave()
                raise

    def open_on_plane(self, source: Source) -> None:
        """Show the source of a client. From any thread; does not wait.

        An address that cannot be listened on is one warning: calls matter more than metrics. A
        program that runs in several processes has it in each of them.
        """
        address = self._address
        if address is None or address in _process.of_parent:
            return
        try:
            page, is_new = self._join(source)
            if is_new and page is not None:
                page.open_on_plane()
                log.info("metrics at %s", page.url)
        except (OSError, RuntimeError) as error:  # taken; or the system gives no thread
            self._leave()
            if address not in _process.warned:
                _process.warned.add(address)
                key = "bee.application.metrics_address"
                log.warning("no metrics at %s (%s): %s", address, key, error)

    def _join(self, source: Source) -> tuple[StatusPage | None, bool]:
        if self._address is None or self._page is not None:
            return self._page, False
        with _process.lock:
            page = _process.pages.get(self._address)
            if page is not None and page.loop is not None and page.loop.is_closed():
                page.listener.sock.close()  # its server did not leave
                page = None
            is_new = page is None
            if page is None:
                page = _process.pages[self._address] = StatusPage(self._address)
            page.sources = (*page.sources, source)
            self._source, self._page = source, page
        return page, is_new

    def begin_stop(self) -> Thread | None:
        """Show nothing more, without waiting. Idempotent.

        For a server on its loop. For a client from any thread; returns the thread that ends, if
        that is one.
        """
        plane = self._leave()
        return None if plane is None else plane.begin_stop()

    def stop(self) -> None:
        """As :meth:`begin_stop`, and wait until a thread that ends with it has ended."""
        plane = self._leave()
        if plane is not None:
            plane.stop()

    async def stop_async(self) -> None:
        """As :meth:`stop`, from an event loop, which goes on meanwhile."""
        plane = self._leave()
        if plane is not None:
            await plane.stop_async()

    def _leave(self) -> ControlPlane | None:
        """Leave the page. Returns the plane that has nothing to do any more."""
        page, self._page = self._page, None
        address = self._address
        with _process.lock:
            if page is None or address is None or _process.pages.get(address) is not page:
                return None  # a forked child's: the page is the parent's
            page.sources = tuple(one for one in page.sources if one is not self._source)
            loop = self._source.loop if self._source is not None else None
            if page.sources and page.loop is not None and page.loop is loop:
                page.move_to_plane()
            if page.sources:
                return None
            del _process.pages[address]
        if page.plane is None:
            with contextlib.suppress(RuntimeError):  # its loop was closed first
                page.close()
        return page.plane
