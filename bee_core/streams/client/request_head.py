"""The encoded header fields of a request's head, made once for all requests that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...terms.causes import local
from ...terms.failures import Failure
from ...wire.requests import request_fields, with_metadata

if TYPE_CHECKING:
    from ...terms.request import RequestHead

MADE = "bee"
"""The key of the fields in :attr:`bee_core.terms.request.RequestHead.made`. A connection looks
there itself, because each call does."""


def encode_head(head: RequestHead) -> bytes | Failure:
    """The fields, which are remembered in the head; a failure where they cannot be sent."""
    try:
        if head.base is None:
            fields = request_fields(head.method, head.metadata, head.baggage, oneway=head.oneway)
        else:
            before = head.base.made.get(MADE) or encode_head(head.base)
            if isinstance(before, Failure):
                return before
            fields = with_metadata(before, head.added)
    except ValueError as error:
        return local("invalid_argument", str(error))
    head.made[MADE] = fields
    return fields
