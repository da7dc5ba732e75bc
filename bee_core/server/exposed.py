"""The methods of a service: what a server was told to expose, bound to each of its codecs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..contracts.transport import ServedMethod
from ..methods.declared_errors import DETAILS
from ..methods.signatures import Signature
from .handlers import BoundHandler, collect, streaming_methods
from .meant_errors import MeantErrors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..contracts.codec import MethodCodec
    from ..methods.declared_errors import DeclaredError


class Exposed:
    """The methods by name. Not thread-safe.

    Args:
        service: The service's name, for messages.
        codecs: The names of the codecs that are offered.
        bind: Makes what a codec needs for a signature.

    Attributes:
        tables: For each codec's name, the bound handlers by method name.
        described: What each method is to people and tools.
        streams: By name, why a method that an interface declares cannot be called: it would stream.
    """

    __slots__ = ("_bind", "_details", "_service", "described", "streams", "tables")

    def __init__(
        self,
        service: str,
        codecs: Iterable[str],
        bind: Callable[[str, Signature], MethodCodec],
    ) -> None:
        self._service = service
        self._bind = bind
        self._details: dict[str, MethodCodec] = {}
        self.tables: dict[str, dict[str, BoundHandler]] = {name: {} for name in codecs}
        self.described: dict[str, ServedMethod] = {}
        self.streams: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all methods, sorted."""
        return tuple(sorted(self.described))

    def add(self, target: Any, name: str | None, interface: Any) -> None:
        """Expose an object or a function; see :meth:`.server.Server.add`."""
        handlers = collect(target, name, interface)
        taken = sorted(handlers.keys() & self.described.keys())
        if taken:
            raise ValueError(
                f"the service {self._service} has the method {taken[0]!r} already; "
                "give the second object a name: add(obj, name='…')"
            )
        bound = {
            codec_name: {
                method: BoundHandler(
                    handler.function,
                    handler.kind,
                    self._bind(codec_name, handler.signature),
                    self._errors(codec_name, method, handler.errors),
                )
                for method, handler in handlers.items()
            }
            for codec_name in self.tables
        }
        # Only now: a codec that cannot carry one of the types leaves the server as it was.
        for codec_name, table in bound.items():
            self.tables[codec_name].update(table)
        self.described.update(
            (
                name,
                ServedMethod(name, handler.signature, handler.doc, handler.proto, handler.errors),
            )
            for name, handler in handlers.items()
        )
        self.streams.update(streaming_methods(interface, name))

    def _errors(self, codec: str, method: str, errors: Iterable[DeclaredError]) -> MeantErrors:
        """What encodes the errors that a method means, for one codec."""
        details = self._details.get(codec)
        if details is None:
            details = self._details[codec] = self._bind(codec, Signature.dynamic(DETAILS))
        return MeantErrors(
            details,
            {error.cls: (error, self._bind(codec, error.signature(method))) for error in errors},
        )
