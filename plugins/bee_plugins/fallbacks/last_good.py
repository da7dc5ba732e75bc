"""Fallback ``last-good``: the last result of the same call, for as long as it is not too old.

It is for reads. A write that may have run must not look as if an earlier, equal one were its
result: nobody would learn that its outcome is unknown. So a call that may have run is answered only
if it is idempotent, whatever ``when`` says.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import chain
from sys import getsizeof
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.options import Bytes, Plugin, Seconds, at_least, positive

from .static import ERRORS, PASSING, names_of_errors

if TYPE_CHECKING:
    from bee_core.errors import CallError
    from bee_core.interfaces import Fallback, PastResult, Request

ENTRY = 400
"""Bytes of memory that an entry takes beside the result, about: key, numbers, places in a dict."""

ITEM = 120
"""Bytes of memory that a name with its value takes in a key beside the two texts, about."""

SHORT = 1024
"""Bytes of encoded arguments up to which they are the key themselves. Longer ones are hashed, which
costs more than to compare them."""


@attrs.frozen
class LastGoodOptions:
    """Options of ``last-good``.

    Attributes:
        max_age: Seconds after which a result is too old to answer with. The default is one hour:
            an outage is over by then, or somebody must know of it.
        max_entries: Results that are kept at most; the oldest one goes first. The default is 1000.
        max_bytes: Bytes of memory for them at most. The default is 16 MiB, eight of the largest
            bodies that ``max_size`` lets through by default.
        when: As for ``static``. Of these errors, those of calls that may have run (``executed`` is
            not ``no``) and are not idempotent are raised all the same.
        ignore: Names of metadata that differ from call to call and say nothing of the answer. All
            other metadata and baggage is part of the key, because a handler may answer each tenant
            differently. The default are the names of W3C Trace Context.
        otherwise: A fallback to ask where no result is kept.
    """

    max_age: Seconds = attrs.field(default=3600.0, validator=positive)
    max_entries: int = attrs.field(default=1000, validator=at_least(1))
    max_bytes: Bytes = attrs.field(default=16 << 20, validator=at_least(1024))
    when: tuple[str, ...] = attrs.field(default=PASSING, validator=names_of_errors)
    ignore: tuple[str, ...] = ("traceparent", "tracestate")
    otherwise: Annotated[Any, Plugin("fallback")] | None = None


class LastGood:
    """Keeps the last good result by method, arguments and metadata. Thread-safe.

    The key has the *encoded* arguments: each value can be a key in this way, lists too, and ``1``,
    ``1.0`` and ``True`` are three. A result is kept as the bytes that came from the node, so no
    copy is made in a call that succeeds, and nobody can change what is kept.
    """

    def __init__(self, options: LastGoodOptions) -> None:
        self._options = options
        self._errors = tuple(ERRORS[name] for name in options.when)
        self._ignored = frozenset(options.ignore)
        self._name = f"last-good {sorted(self._ignored)}"
        self.lock = Lock()
        # By key, the oldest result first: its size, and the result.
        self._kept: dict[Any, tuple[int, PastResult]] = {}
        self._bytes = 0

    def learn(self, request: Request, result: PastResult) -> None:
        """See :class:`bee_core.interfaces.Fallback`."""
        (key, said), options = self._key(request), self._options
        size = ENTRY + said + len(result.body) + len(key[2])
        kept = self._kept
        with self.lock:
            old = kept.pop(key, None)  # the newest stands last
            if old is not None:
                self._bytes -= old[0]
            if size > options.max_bytes:
                return
            kept[key] = size, result
            self._bytes += size
            while self._bytes > options.max_bytes or len(kept) > options.max_entries:
                self._drop(next(iter(kept)))

    def recall(self, request: Request, error: CallError) -> PastResult | None:
        """See :class:`bee_core.interfaces.Fallback`."""
        if not isinstance(error, self._errors):
            return None
        if error.executed != "no" and not request.idempotent:
            return None  # a write whose outcome is unknown
        key, _ = self._key(request)
        with self.lock:
            _, result = self._kept.get(key, (0, None))
            if result is not None and result.age() > self._options.max_age:
                self._drop(key)
                result = None
        return result

    def answer(
        self,
        service: str,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        error: CallError,
    ) -> Any:
        """See :meth:`bee_core.interfaces.Fallback.answer`. No kept result may be the answer."""
        otherwise = self._options.otherwise
        if otherwise is None:
            raise error
        return otherwise.answer(service, method, args, kwargs, error)

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`. The results are kept.

        A thread of the parent may have been about to change them, so the size is counted anew.
        """
        self.lock = Lock()
        self._kept = dict(self._kept)
        self._bytes = sum(size for size, _ in self._kept.values())
        after_fork = getattr(self._options.otherwise, "after_fork", None)
        if after_fork is not None:
            after_fork()

    @property
    def kept(self) -> tuple[int, int]:
        """How many results are kept, and the bytes that they take."""
        with self.lock:
            return len(self._kept), self._bytes

    def _drop(self, key: Any) -> None:
        size, _ = self._kept.pop(key, (0, None))
        self._bytes -= size

    def _key(self, request: Request) -> tuple[Any, int]:
        """The key of a call, and the bytes of its metadata and baggage."""
        head, body = request.head, request.body
        # A head is the same for many calls, so what is made of it is kept with it.
        scope = head.made.get(self._name)
        if scope is None:
            told = tuple(
                frozenset(item for item in metadata.items() if item[0] not in self._ignored)
                for metadata in (head.metadata, head.baggage)
            )
            said = sum(getsizeof(name) + getsizeof(value) + ITEM for name, value in chain(*told))
            scope = head.made[self._name] = (head.method, *told), said
        if len(body) > SHORT:
            body = blake2b(body, digest_size=32).digest()
        return (scope[0], request.form, body), scope[1]


@hookimpl
def bee_register_fallbacks(registry: Registrar[Fallback]) -> None:
    """Offer ``last-good``."""
    registry.add("last-good", LastGood, options=LastGoodOptions)
