"""The call that a handler works on; the calls that the handler makes inherit it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, overload

from ..errors import CallCancelled
from .criticality import criticality_of
from .metadata import ReplyMetadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .criticality import Criticality
    from .metadata import Metadata

_MISSING: Any = object()


class CurrentCall:
    """What a handler can know of the call it works on. Read from any thread.

    Attributes:
        service: The server's service.
        method: The method's full name.
        deadline: When the caller gives up, in seconds on ``time.monotonic()``, or None when it set
            no bound.
        baggage: The metadata that bee also sends with the calls that this handler makes.
        peer: The caller's address.
        dedupe_key: Bytes that all attempts of one call share, where the caller sent any.
        cancelled: True once the caller gave up or the deadline passed. A ``def`` handler that works
            long should look at it.
    """

    __slots__ = (
        "_clock",
        "_metadata",
        "_reply_metadata",
        "baggage",
        "cancelled",
        "deadline",
        "dedupe_key",
        "method",
        "peer",
        "service",
    )

    def __init__(
        self,
        service: str,
        method: str,
        deadline: float | None,
        metadata: Metadata,
        baggage: Metadata,
        peer: str,
        dedupe_key: bytes | None,
        clock: Callable[[], float],
    ) -> None:
        self.service = service
        self.method = method
        self.deadline = deadline
        self._metadata = metadata
        self._reply_metadata: ReplyMetadata | None = None
        self.baggage = baggage
        self.peer = peer
        self.dedupe_key = dedupe_key
        self.cancelled = False
        self._clock = clock

    @property
    def metadata(self) -> Metadata:
        """What the caller sent along, baggage included: texts and bytes by name."""
        return {**self._metadata, **self.baggage} if self.baggage else self._metadata

    @property
    def criticality(self) -> Criticality:
        """How important the caller says that the call is; ``critical`` where it says nothing.

        The calls that this handler makes inherit it.
        """
        return criticality_of(self.baggage)

    @property
    def reply_metadata(self) -> ReplyMetadata:
        """What goes back with the answer, an error too: texts and bytes by name, 16 KiB at most.

        A caller reads it with :func:`bee_core.detailed`, or from the error's ``metadata``. Written
        by the handler until it returns.
        """
        if self._reply_metadata is None:
            self._reply_metadata = ReplyMetadata()
        return self._reply_metadata

    @property
    def peer_certificate(self) -> Mapping[str, Any] | None:
        """The caller's verified TLS certificate, or None where it showed none.

        In the form of ``ssl.SSLSocket.getpeercert()``: ``subject``, ``subjectAltName``, …
        """
        return None

    @property
    def peer_identity(self) -> str | None:
        """Whom the caller's token stands for, as the server's ``tokens`` say, or None."""
        return None

    @property
    def time_left(self) -> float | None:
        """Seconds until the deadline, not below 0, or None when the caller set no bound."""
        return None if self.deadline is None else max(0.0, self.deadline - self._clock())

    def raise_if_cancelled(self) -> None:
        """Raise if the caller has given up.

        Raises:
            CallCancelled: The caller gave up, or the deadline passed.
        """
        if self.cancelled or (self.deadline is not None and self._clock() >= self.deadline):
            raise CallCancelled(
                "the caller has given up",
                service=self.service,
                method=self.method,
                executed="maybe",
            )


_current: ContextVar[CurrentCall | None] = ContextVar("bee_current_call", default=None)

get_current = _current.get
set_current = _current.set
reset_current = _current.reset


@overload
def current_call() -> CurrentCall: ...
@overload
def current_call(default: None) -> CurrentCall | None: ...
def current_call(default: Any = _MISSING) -> CurrentCall | None:
    """The call that the running handler works on.

    Args:
        default: What to return outside of a handler.

    Raises:
        LookupError: No handler is running here, and no default was given.
    """
    call = _current.get()
    if call is None and default is _MISSING:
        raise LookupError(
            "no call is being handled here; current_call(None) gives None instead of this error"
        )
    return call
