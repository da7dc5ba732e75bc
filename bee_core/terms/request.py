"""A request on its way to a node, and the forms in which a body carries arguments."""

from __future__ import annotations

POSITIONAL = 0
"""Form of arguments: a list of values, in the order of the signature."""
NAMED = 1
"""Form of arguments: values by parameter name."""
MIXED = 2
"""Form of arguments: a list of two, the positional values and the named ones."""
MESSAGE = 3
"""Form of arguments: one message, with no envelope around it."""


Form = int
"""How the arguments lie in a body: POSITIONAL, NAMED, MIXED or MESSAGE.

Travels in the frame's header.
"""


class Request:
    """One request on its way to a node. The timeouts belong to one attempt, the rest to the call.

    Attributes:
        method: ``add`` or ``Stats.mean``.
        form: How the arguments lie in ``body``.
        body: The encoded arguments, compressed when ``compressed``.
        compressed: Whether the connection's compressor was used.
        fields: The encoded header fields that do not change between calls of a method (method name,
            metadata, baggage), ready to send.
        deadline: When the whole call ends, seconds on the client's monotonic clock.
        dedupe_key: The same bytes for every attempt of a call, or None.
        connect_timeout, write_timeout, read_timeout: Seconds, the bounds of this attempt. None
            reaches beyond the deadline.
        oneway: No answer will come; ``fields`` say so to the server. The attempt is a success as
            soon as the request has been handed to the system.
    """

    __slots__ = (
        "body",
        "compressed",
        "connect_timeout",
        "deadline",
        "dedupe_key",
        "fields",
        "form",
        "method",
        "oneway",
        "read_timeout",
        "write_timeout",
    )

    def __init__(
        self,
        method: str,
        form: Form,
        body: bytes,
        compressed: bool,
        fields: bytes,
        deadline: float,
        connect_timeout: float,
        write_timeout: float,
        read_timeout: float,
        dedupe_key: bytes | None = None,
        oneway: bool = False,
    ) -> None:
        self.method = method
        self.form = form
        self.body = body
        self.compressed = compressed
        self.fields = fields
        self.deadline = deadline
        self.connect_timeout = connect_timeout
        self.write_timeout = write_timeout
        self.read_timeout = read_timeout
        self.dedupe_key = dedupe_key
        self.oneway = oneway
