"""Decorators that say something about a method, on handlers and on interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., Any])

NONBLOCKING = "__bee_nonblocking__"
IDEMPOTENT = "__bee_idempotent__"
ONEWAY = "__bee_oneway__"
RAISES = "__bee_raises__"
PROTO_NAME = "__bee_proto_name__"
STREAMS = "__bee_streams__"
"""Why a method of a ``.proto`` cannot be called: it would stream."""


def nonblocking(function: F) -> F:
    """Mark a ``def`` handler that never blocks: it runs on the event loop, not in a thread.

    If it does block, it holds up every other call of its process.
    """
    setattr(function, NONBLOCKING, True)
    return function


def idempotent(function: F) -> F:
    """Mark a method that may run twice: it is retried even when it is unknown whether it ran.

    The configuration can override the mark for a method (``methods: {name: {idempotent: false}}``).
    """
    setattr(function, IDEMPOTENT, True)
    return function


def oneway(function: F) -> F:
    """Mark a method of an interface whose calls do not wait for an answer.

    Such a call returns None once the system has the request. The method must declare no result. The
    configuration can override the mark for a method (``methods: {name: {oneway: false}}``), and
    ``with_options(oneway=False)`` for a call. On a handler it has no effect: the caller decides.
    """
    setattr(function, ONEWAY, True)
    return function
