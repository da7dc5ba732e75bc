"""Which errors the fallbacks ``static`` and ``function`` answer for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee_core.errors import InvalidArgument, RemoteError

if TYPE_CHECKING:
    from bee_core.errors import CallError


def answerable(error: CallError, *, application_errors: bool) -> bool:
    """Whether a fallback may answer instead of an error.

    Args:
        error: Why the call has no value.
        application_errors: Whether the application's own errors may be answered for: those are results of the call, and not failures to make it.
    """
    return application_errors or not isinstance(error, (RemoteError, InvalidArgument))
