"""Exceptions as failures: what a caller is told, and what the log says of it.

What a handler raises is answered as ``remote_error``. Whatever a plugin raises beside the errors of
its contract is the server's fault: it is said in the log, and answered as ``plugin_fault``.
"""

from __future__ import annotations

import asyncio
from signal import SIGINT, default_int_handler, getsignal
from threading import current_thread, main_thread
from typing import TYPE_CHECKING

from ..errors import CallCancelled, CallError
from ..terms.failures import Failure
from ..terms.printable import name_of, text_of
from ..terms.tracebacks import traceback_of
from .failure_lines import FailureLines
from .in_flight import LATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contracts.endpoint import InboundCall
    from ..contracts.plugin_origin import Blame
    from ..errors import Executed
    from .meant_errors import MeantErrors


class Faults:
    """Makes failures of exceptions. From any thread; never raises, whatever the exception is.

    Args:
        on_loop: Calls a function back on the loop, from any thread.
        loop: The serving loop.
        blame: Says where a plugin comes from.
        send_tracebacks: Whether errors carry the server's traceback.

    Attributes:
        lines: What the log says of them.
    """

    __slots__ = ("_blame", "_loop", "_on_loop", "_send_tracebacks", "lines")

    def __init__(
        self,
        on_loop: Callable[..., None],
        loop: asyncio.AbstractEventLoop,
        blame: Blame,
        *,
        send_tracebacks: bool,
    ) -> None:
        self._on_loop = on_loop
        self._loop = loop
        self._blame = blame
        self._send_tracebacks = send_tracebacks
        self.lines = FailureLines(self._later)

    def _later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._on_loop(self._loop.call_later, seconds, callback)

    def failure_of(self, error: BaseException, call: InboundCall, errors: MeantErrors) -> Failure:
        """What a handler's exception is to the caller; said in the log if nobody meant it.

        Args:
            error: The exception.
            call: The call.
            errors: Those that the handler means.
        """
        if call.cancelled and isinstance(error, (asyncio.CancelledError, CallCancelled)):
            return Failure("cancelled", "the handler was cancelled", "maybe", "never", "none")
        if isinstance(error, CallCancelled) and call.deadline is not None and not call.time_left:
            # The handler has seen it before the loop did.
            return Failure("deadline_exceeded", LATE, "maybe", "never", "none")
        meant = self.meant(error, call, errors, "yes")
        if meant is not None:
            return meant
        # An error of a call that the handler made, or one that it raised for its caller.
        if isinstance(error, CallError):
            if call.oneway:
                self.lines.nobody_hears(call, error)
        else:
            self.lines.handler_raised(call, error)
            self._pass_on(error)
        return Failure(
            "remote_error",
            text_of(error),
            "yes",
            "never",
            "none",
            error_type=name_of(error),
            traceback=traceback_of(error) if self._send_tracebacks else None,
        )

    def meant(
        self, error: BaseException, call: InboundCall, errors: MeantErrors, executed: Executed
    ) -> Failure | None:
        """What an error that was meant is to the caller, or None for another one.

        It is no line of the log, except where nobody hears of it or its details cannot be encoded.
        """
        found = errors.failure_of(error, executed, call.caller.max_body)
        if found is None:
            return None
        failure, problem = found
        if problem is not None:
            self.lines.handler_raised(call, problem)
            self._pass_on(problem)
        elif call.oneway:
            self.lines.nobody_hears(call, error)
        if self._send_tracebacks:
            failure.traceback = traceback_of(error)
        return failure

    def fault(
        self,
        plugin: object,
        doing: str,
        call: InboundCall,
        error: BaseException,
        executed: Executed,
    ) -> Failure:
        """The failure for a plugin that broke its contract, said in the log.

        Args:
            plugin: What has the bug; None for bee itself.
            doing: The method that raised.
            call: The call that it costs.
            error: What was raised.
            executed: Whether the call's handler ran.
        """
        origin = None if plugin is None else self._blame(plugin)
        self.lines.plugin_raised(origin, doing, call, error, executed)
        self._pass_on(error)
        return plugin_failure("" if origin is None else origin.title, error, executed)

    def _pass_on(self, error: BaseException) -> None:
        """Let the user's Ctrl-C end the loop, once the call that it hit is answered."""
        if _may_be_a_signal(error):
            self._loop.call_soon(_raise, error)


def plugin_failure(title: str, error: BaseException, executed: Executed) -> Failure:
    """The failure for a bug of a plugin, or (no title) of bee itself. Its text stays here."""
    who = f"{title} of the server" if title else "the server"
    return Failure(
        "plugin_fault",
        f"{who} has failed ({name_of(error)}); the server's log says more",
        executed,
        "other" if executed == "no" else "never",
        "none",
        error_type=title,
    )


def _may_be_a_signal(error: BaseException) -> bool:
    """Whether Ctrl-C may have raised it, and not the code at hand.

    Python raises KeyboardInterrupt anywhere in the main thread while its own handler of SIGINT is
    set. ``Server.run()`` sets another, so there it is always the handler's word.
    """
    return (
        isinstance(error, KeyboardInterrupt)
        and current_thread() is main_thread()
        and getsignal(SIGINT) is default_int_handler
    )


def _raise(error: BaseException) -> None:
    raise error
