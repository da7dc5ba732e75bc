"""``bee.rpc.server.deduplicate`` as a frozen class: keys, defaults and reasons."""

from __future__ import annotations

from typing import Union

import attrs

from ..options import Bytes, Seconds, at_least, positive
from .fields import setting


@attrs.frozen(kw_only=True)
class DeduplicationConfig:
    """What a server remembers of its answers, so that clients may ask again for a lost one.

    Attributes:
        window: How long an answer is remembered, in seconds.
        count: Calls that are remembered at most; the oldest is forgotten first.
        bytes: What all remembered answers may take. One larger than an eighth of it is not kept.
    """

    window: Seconds = setting(
        60.0,
        "How long an answer is remembered. A client repeats a call no later than that.",
        "Longer than the deadlines of most calls: a repetition lies within the deadline.",
        check=positive,
        unit="seconds",
    )
    count: int = setting(
        10_000,
        "Calls that are remembered at most; the oldest is forgotten first. A repetition of a call "
        "that may be among the forgotten ones is refused.",
        "About 5 MB of keys. At 1,000 calls a second it reaches 10 s back, and a lost answer is "
        "asked for again within one.",
        check=at_least(1),
    )
    bytes: Bytes = setting(
        16 << 20,
        "What all remembered answers may take, in each process. An answer that is larger than an "
        "eighth of it is not kept, and of the others the oldest is dropped first: a repetition "
        "then learns that the call ran, without its answer.",
        "Answers of 1.6 kB each at the default of `count`, and 3 % of `max_buffered`.",
        check=at_least(1024),
        unit="bytes",
    )


Deduplicate = Union[DeduplicationConfig, bool]
"""The type of the key: ``False``, or what is remembered. It is never ``True``."""
