"""Codes of errors, and what each is to HTTP and gRPC.

The codes of gRPC are those of ``google/rpc/code.proto``, and so are their HTTP status codes. The
table is for doors that speak these protocols, and for people who read a log.

========================================== ==================== ====
error                                      gRPC                 HTTP
========================================== ==================== ====
``remote_error`` with a code of gRPC       that code            its
``remote_error`` with another code         FAILED_PRECONDITION  400
``remote_error`` without a code            UNKNOWN              500
any other kind                             :data:`KINDS`
========================================== ==================== ====

An application's own code is no fault of the server: proxies count 5xx against a node, so it is 400.
"""

from __future__ import annotations

from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, final

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CODE = 64
"""Characters of an error's code."""


@final
class Status(NamedTuple):
    """What an error is to other protocols.

    Attributes:
        name: The name of gRPC's code, ``NOT_FOUND``.
        number: Its number, 5.
        http: The status code of HTTP, 404.
    """

    name: str
    number: int
    http: int


GRPC: Mapping[str, Status] = MappingProxyType(
    {
        name: Status(name, number, http)
        for number, (name, http) in enumerate(
            (
                ("CANCELLED", 499),
                ("UNKNOWN", 500),
                ("INVALID_ARGUMENT", 400),
                ("DEADLINE_EXCEEDED", 504),
                ("NOT_FOUND", 404),
                ("ALREADY_EXISTS", 409),
                ("PERMISSION_DENIED", 403),
                ("RESOURCE_EXHAUSTED", 429),
                ("FAILED_PRECONDITION", 400),
                ("ABORTED", 409),
                ("OUT_OF_RANGE", 400),
                ("UNIMPLEMENTED", 501),
                ("INTERNAL", 500),
                ("UNAVAILABLE", 503),
                ("DATA_LOSS", 500),
                ("UNAUTHENTICATED", 401),
            ),
            start=1,
        )
    }
)
"""gRPC's codes of errors, by name."""

_BUG = GRPC["INTERNAL"]
KINDS: Mapping[str, Status] = MappingProxyType(
    {
        "call_error": GRPC["UNKNOWN"],
        "remote_error": GRPC["UNKNOWN"],
        "plugin_fault": _BUG,
        "method_not_found": GRPC["UNIMPLEMENTED"]._replace(http=404),
        "invalid_argument": GRPC["INVALID_ARGUMENT"],
        "unavailable": GRPC["UNAVAILABLE"],
        "deadline_exceeded": GRPC["DEADLINE_EXCEEDED"],
        "circuit_open": GRPC["UNAVAILABLE"],
        "overloaded": GRPC["RESOURCE_EXHAUSTED"],
        "message_too_large": GRPC["RESOURCE_EXHAUSTED"]._replace(http=413),
        "cancelled": GRPC["CANCELLED"],
        "unauthenticated": GRPC["UNAUTHENTICATED"],
        "protocol_error": _BUG,
    }
)
"""bee's own errors, by their ``kind``."""

RAN: Mapping[str, Status] = MappingProxyType(
    {
        "invalid_argument": _BUG,
        "message_too_large": GRPC["RESOURCE_EXHAUSTED"]._replace(http=500),
    }
)
"""Those that mean something else once the handler ran: its result does not fit."""


class Classed(Protocol):
    """A ``CallError`` or a ``Failure``."""

    @property
    def kind(self) -> str:
        """The kind of the error."""

    @property
    def executed(self) -> str:
        """Whether the handler ran."""


def status_of(error: Classed) -> Status:
    """What an error of a call is to gRPC and HTTP.

    Args:
        error: A ``CallError`` or a ``Failure``.
    """
    code = getattr(error, "code", "")
    if error.kind == "remote_error" and code:
        return GRPC.get(code, GRPC["FAILED_PRECONDITION"])
    if error.executed == "yes" and error.kind in RAN:
        return RAN[error.kind]
    return KINDS.get(error.kind, GRPC["UNKNOWN"])


def is_code(value: Any) -> bool:
    """Whether it can be the code of an error: 1 to 64 printable characters, and not ``OK``."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_CODE
        and value.isprintable()
        and value not in {"OK", " " * len(value)}
    )


def checked_meaning(code: Any, retry_after: Any) -> None:
    """Refuse what a ``ServiceError`` cannot have.

    Raises:
        TypeError: ``retry_after`` is no number.
        ValueError: The code is none, or ``retry_after`` is negative or no finite number.
    """
    if not is_code(code):
        raise ValueError(
            f"the code of a ServiceError has 1 to {MAX_CODE} printable characters and is not OK: "
            f"OUT_OF_STOCK, or one of gRPC's such as NOT_FOUND; got {code!r:.100}"
        )
    if retry_after is None:
        return
    if isinstance(retry_after, bool) or not isinstance(retry_after, (int, float)):
        kind = type(retry_after).__name__
        raise TypeError(f"retry_after is a number of seconds or None, not a {kind}")
    if not (isfinite(retry_after) and retry_after >= 0):
        raise ValueError(f"retry_after is a number of seconds from 0 on, not {retry_after}")
