"""Tells what interrupted a call from what a plugin did wrong.

A handler of signals may raise in the middle of any line, also inside of a plugin: Ctrl-C, the soft
time limit of a task queue, ``signal.alarm()``. Nothing of it may be taken for the plugin's. See
``docs/decisions/interruptions.md``.
"""

from __future__ import annotations

import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from ..terms.loggers import let_through

if TYPE_CHECKING:
    from types import CodeType


def is_interruption(error: BaseException) -> bool:
    """Whether a handler of signals has raised an exception, and no plugin.

    Its traceback then goes through a function that is installed as a handler now. Any thread; only
    the main thread runs such handlers. It looks at each signal, which takes some microseconds.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    trace = error.__traceback__
    handlers = None if trace is None else _handlers()
    while handlers and trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _handlers() -> set[CodeType]:
    """The code of the functions that are installed."""
    found = (_code_of(signal.getsignal(number)) for number in signal.valid_signals())
    return {code for code in found if code is not None}


def _code_of(handler: Any) -> CodeType | None:
    """The code of a function, a method, a partial or an object that can be called."""
    while isinstance(handler, partial):
        handler = handler.func
    function = getattr(handler, "__func__", handler)
    if not hasattr(function, "__code__"):
        function = vars(type(handler)).get("__call__")
    return getattr(function, "__code__", None)


let_through(is_interruption)
