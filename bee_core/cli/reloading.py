"""``bee serve --reload``: serve in another process, and replace it when a file changes.

This process imports nothing of the application. It holds the listening sockets, watches files, and
keeps waiting when what it reads cannot be served: a file with a syntax error leaves the server as
it is, and a server that ends by itself is started again with the next change.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import load_config
from ..errors import BeeError, ConfigError
from ..plugins.hub import PluginHub
from ..server.event_loop import has_terminal, patience
from ..server.log_lines import say
from ..server.transports import make_transports
from ..terms.addresses import parse
from .command_group import FAILED, UnusableCommandError, one_line
from .handed_over import VARIABLE, hand_over
from .shared_options import at_address

try:
    import watchfiles
except ImportError:
    watchfiles = None  # type: ignore[assignment]  # said by Reloading

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence
    from types import FrameType

    from ..config import ServerConfig

_COUNTS = (".py", ".yml", ".yaml")
_LOOK = 300
"""Milliseconds between two looks at whether the server has ended by itself."""
_PATIENCE = 30.0
"""Seconds that a server may take to leave whose configuration this process does not know."""


class Reloading:
    """Serves in a process of its own, again and again. Used once, on the main thread.

    Args:
        words: Of the command that serves, without ``--reload``.
        targets: The TARGETs; the folders of files are watched too.
        config_path: The configuration, which is watched.
        address: Of ``--address``, or None.

    Raises:
        UnusableCommandError: watchfiles is not installed, or an address is none.
        ConfigError: The configuration cannot be used.
    """

    def __init__(
        self, words: Sequence[str], targets: Iterable[str], config_path: str, address: str | None
    ) -> None:
        if watchfiles is None:
            raise UnusableCommandError(
                "--reload needs the package watchfiles: pip install 'bee-rpc[dev]',"
                " or pip install watchfiles"
            )
        # No bytecode: its stamp has whole seconds, and two changes may come in one.
        self._command = [sys.executable, "-B", "-m", "bee_core", *words]
        self._config_path = Path(config_path)
        self._address = address
        files = [Path(text.rpartition("=")[2].rpartition(":")[0]) for text in targets]
        folders = [Path.cwd(), *(file.parent for file in files if file.suffix == ".py")]
        if self._config_path.is_file():
            folders.append(self._config_path.parent)
        self._folders = sorted({folder.resolve() for folder in folders})
        self._broken: dict[str, str] = {}
        self._sockets: dict[str, socket.socket] = {}
        self._held: dict[str, object] = {}
        self._settings: ServerConfig | None = None
        self._life = os.pipe()
        self._server: subprocess.Popen[bytes] | None = None
        self._asked = False
        self._again = False
        self._attached = has_terminal()
        self._stopping = threading.Event()

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT. Returns the exit code of the last server.

        SIGHUP starts it again. Where the terminal has gone, it ends it.
        """
        handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]] = {
            signal.SIGTERM: self._on_signal,
            signal.SIGINT: self._on_signal,
        }
        if hasattr(signal, "SIGHUP"):  # not on Windows
            handlers[signal.SIGHUP] = self._on_hangup
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            self._bind()
            self._start()
            self._watch()
            return self._leave()
        finally:
            self._end_server()
            for number, handler in before.items():
                signal.signal(number, handler)
            for url in tuple(self._sockets):
                self._release(url)
            for end in self._life:
                os.close(end)

    def _watch(self) -> None:
        say("watching", f"watching {', '.join(map(str, self._folders))} for changes")
        counts = watchfiles.DefaultFilter()
        for changes in watchfiles.watch(
            *self._folders,
            watch_filter=lambda change, path: path.endswith(_COUNTS) and counts(change, path),
            stop_event=self._stopping,
            rust_timeout=_LOOK,
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            if self._stopping.is_set():
                return
            if changes or self._again:
                self._again = False
                self._changed(sorted({path for _, path in changes}))
            else:
                self._look_at_server()

    # What was changed.

    def _changed(self, paths: Sequence[str]) -> None:
        names = ", ".join(os.path.relpath(path) for path in paths)
        why = f"{names} changed" if names else "SIGHUP"
        for path in {*paths, *self._broken}:
            self._broken.pop(path, None)
            if problem := syntax_error(path):
                self._broken[path] = problem
        problem = next(iter(self._broken.values()), "") or self._rebound()
        if problem:
            say("not_reloaded", f"not reloaded: {problem}; waiting for a change", files=names)
            return
        say("reloading", f"{why}: starting again", files=names)
        self._end_server()
        if not self._stopping.is_set():
            self._start()

    def _rebound(self) -> str:
        """Listen where the configuration says now; why that cannot be, or nothing."""
        try:
            self._bind()
        except (BeeError, OSError) as error:
            return one_line(error)
        return ""

    def _bind(self) -> None:
        """Hold a socket for each address of the configuration, and no other.

        A server that brings its own configuration listens by itself, where this one has none.
        """
        try:
            config = at_address(load_config(self._config_path), self._address)
        except ConfigError as error:
            if isinstance(error.__context__, FileNotFoundError):
                return  # the server says so, if it needs one
            raise
        self._settings = settings = config.server
        if settings is None:
            return
        transports = make_transports(config, settings, PluginHub())
        for url in set(self._sockets) - set(settings.address):
            self._release(url)
        for url in settings.address:
            transport = transports[parse(url).scheme]
            if url not in self._sockets and hasattr(transport, "bind"):
                self._sockets[url] = transport.bind(url, settings.backlog)
                self._held[url] = transport

    def _release(self, url: str) -> None:
        transport: object = self._held.pop(url)
        transport.release(self._sockets.pop(url))  # type: ignore[attr-defined]  # it has bind

    # The process that serves.

    def _start(self) -> None:
        kept = [self._life[0], *(sock.fileno() for sock in self._sockets.values())]
        self._server = subprocess.Popen(  # noqa: S603  # this very program
            self._command,
            pass_fds=kept,
            env={**os.environ, VARIABLE: hand_over(self._sockets, self._life[0])},
        )

    def _look_at_server(self) -> None:
        if self._server is not None and self._server.poll() is not None:
            code, self._server = self._server.returncode, None
            say("ended", f"the server has ended with code {code}; waiting for a change", code=code)

    def _end_server(self) -> int:
        """Let the server drain and leave. Returns its exit code, 0 where there was none."""
        server, self._server = self._server, None
        if server is None:
            return 0
        if server.poll() is None and not self._asked:
            server.terminate()
        seconds = _PATIENCE if self._settings is None else patience(self._settings) + 1.0
        try:
            server.wait(seconds)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        code = server.returncode
        return 128 - code if code < 0 else code

    def _leave(self) -> int:
        code = self._end_server()
        return FAILED if code and not self._asked else code

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        server = self._server
        # The first Ctrl-C of a terminal reaches the server as well. A second signal ends it.
        if server is not None and (self._asked or not _of_terminal(number)):
            with contextlib.suppress(ProcessLookupError):
                server.send_signal(signal.SIGTERM)
        self._asked = True
        self._stopping.set()

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        if self._attached and not has_terminal():
            self._stopping.set()  # not _asked: perhaps the server has not got the signal
        else:
            self._again = True


def _of_terminal(number: int) -> bool:
    """Whether a signal was probably typed, so that each process of the terminal has got it."""
    try:
        return number == signal.SIGINT and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # standard input is no terminal
        return False


def syntax_error(path: str) -> str:
    """What is wrong with the syntax of a file; nothing for one that has gone or is not Python."""
    if not path.endswith(".py"):
        return ""
    try:
        compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
    except OSError:
        return ""
    except SyntaxError as error:
        return f"{os.path.relpath(path)}:{error.lineno}: {error.msg}"
    except ValueError as error:  # a null byte
        return f"{os.path.relpath(path)}: {error}"
    return ""
