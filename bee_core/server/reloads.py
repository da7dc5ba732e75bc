"""How a server that runs takes another configuration: by a call, by SIGHUP, when its files change.

It is read and checked on the thread that asks, and put in use on the serving loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, Protocol

from ..config import load_config, source_of
from ..config.differences import differences, told
from ..control.file_watch import FileWatch
from ..errors import BeeError
from ..terms.printable import brief
from .event_loop import on_hangup
from .log_lines import say, say_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..config import ConfigSource
    from ..config.model import Config
    from ..contracts.transport import Listener
    from .assembly import Assembly, ServerDraft
    from .endpoint import ServiceEndpoint

_LOOP_PATIENCE = 30.0
"""Seconds that the serving loop may take until it has its turn."""


class Reloadable(Protocol):
    """What is needed of a server.

    Attributes:
        amend: Changes each configuration that is read again.
    """

    amend: Callable[[Config], Config]

    @property
    def endpoint(self) -> ServiceEndpoint | None:
        """Decides about requests while it runs, or None."""

    @property
    def listeners(self) -> list[Listener]:
        """What it listens with."""


class Reloads:
    """The reloads of one server.

    Args:
        server: The server.
        assembly: Its parts.
    """

    def __init__(self, server: Reloadable, assembly: Assembly) -> None:
        self._server = server
        self._assembly = assembly
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching: asyncio.Task[None] | None = None
        self._watches = False  # in this process: not in a worker, whose parent does
        self.told_by_parent = False  # in a worker: its parent has said what changes
        self._failed_files: Mapping[str, bytes] = {}

    def begin(self) -> None:
        """The server serves on the running loop."""
        self._lock = threading.Lock()  # a forked worker has none of its parent's threads
        self._loop = asyncio.get_running_loop()

    def end(self) -> None:
        """It does not any more."""
        self._loop = None
        self._watches = False
        self._end_watch()

    def reload(self, source: ConfigSource | None) -> None:
        """See :meth:`bee_core.server.server.Server.reload`."""
        with self._lock:
            before = self._assembly.config
            config = self._server.amend(load_config(source_of(before, source)))
            draft = self._assembly.draft(config)
            self._on_loop(draft)
            self._tell(before, config)

    def _on_loop(self, draft: ServerDraft) -> None:
        loop = self._loop
        if loop is None or asyncio._get_running_loop() is loop:  # noqa: SLF001  # None off loops
            self._take_over(draft)
            return
        done: Future[None] = Future()

        def take_over() -> None:
            try:
                self._take_over(draft)
            except BaseException as error:  # handed to the thread that waits
                done.set_exception(error)
            else:
                done.set_result(None)

        try:
            loop.call_soon_threadsafe(take_over)
            done.result(_LOOP_PATIENCE)
        except FutureTimeoutError:
            raise BeeError(
                f"the serving loop did not take the configuration within {_LOOP_PATIENCE:g} s: a"
                " handler holds it up"
            ) from None
        except RuntimeError as error:
            raise BeeError(f"the server has just left: {error}") from error

    def _take_over(self, draft: ServerDraft) -> None:
        before = self._assembly.observers
        self._assembly.adopt(draft)
        endpoint = self._server.endpoint
        if endpoint is not None:
            endpoint.reload(draft.settings, draft.parts)
            observers = self._assembly.observers
            before.without(observers).event("service_left", {"service": draft.settings.name})
            if not endpoint.draining:
                observers.without(before).server_changed("serving")
        for listener in self._server.listeners:
            reload: Any = getattr(listener, "reload", None)
            if reload is not None:
                reload(self._assembly.listen_settings)
        if self._watches:
            self.watch()

    def _tell(self, before: Config, config: Config) -> None:
        """Say what is in use now, and what needs a restart."""
        level = logging.DEBUG if self.told_by_parent else logging.INFO
        say("reloaded", told(before, self._assembly.config), level=level)
        if self.told_by_parent:
            return
        say_faults(self._assembly.settings)
        waiting = [
            one.path
            for one in differences(self._assembly.config, config)
            if one.server == "restart"
        ]
        if waiting:
            say(
                "restart_needed",
                f"{', '.join(waiting)}: a change of this needs a restart; the value before stays"
                " in use",
                level=logging.WARNING,
                paths=waiting,
            )

    # Without a caller: what is wrong goes to the log.

    def now(self) -> bool:
        """Read the server's own file again, on this thread. Returns whether it could be used."""
        try:
            self.reload(None)
        except Exception as error:
            what = " ".join(str(error).split()) if isinstance(error, BeeError) else brief(error)
            say(
                "not_reloaded",
                f"{what}; the configuration before stays in use",
                level=logging.ERROR,
            )
            self._failed_files = getattr(error, "files", {})
            return False
        self._failed_files = {}
        return True

    def soon(self) -> None:
        """Do the same on a thread, so that the loop goes on."""
        with contextlib.suppress(RuntimeError):  # the system gives no thread
            threading.Thread(target=self.now, name="bee-reload", daemon=True).start()

    def on_hangup(
        self,
        loop: asyncio.AbstractEventLoop,
        leave: Callable[[], object],
        reload: Callable[[], object] | None = None,
    ) -> contextlib.AbstractContextManager[None]:
        """While the block runs, SIGHUP reloads the server's file, if it has one.

        Args:
            loop: The serving loop.
            leave: What to do when the terminal has gone.
            reload: Reloads; by default on a thread.
        """
        if self._assembly.config.source is None:
            return contextlib.nullcontext()
        return on_hangup(loop, reload or self.soon, leave)

    def watch(self) -> None:
        """Watch the files of the configuration on the running loop, as long as it says so."""
        self._watches = True
        if not self.wants_watch:
            self._end_watch()
        elif self._watching is None:
            watching = self.watch_files(self.now, on_thread=True)
            self._watching = asyncio.get_running_loop().create_task(watching)

    @property
    def wants_watch(self) -> bool:
        """Whether the files of the configuration are to be watched."""
        config = self._assembly.config
        return config.application.watch and config.source is not None

    def _end_watch(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def watch_files(self, reload: Callable[[], bool], *, on_thread: bool = False) -> None:
        """Watch the files of the configuration, and reload when they change.

        Args:
            reload: Reloads, and says whether that could be done.
            on_thread: Whether to call it on a thread.
        """

        async def changed() -> Mapping[str, bytes]:
            if on_thread:
                await asyncio.get_running_loop().run_in_executor(None, reload)
            else:
                reload()
            return {**self._assembly.config.files, **self._failed_files}

        await FileWatch(self._assembly.config.files, changed).run()
