"""The methods of a service: what a server was told to expose, bound to each of its codecs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import BeeError
from ..methods.declared_errors import DETAILS
from ..methods.signatures import Signature
from ..terms.request import DESCRIBE
from .handlers import BoundHandler, collect, streaming_methods
from .meant_errors import MeantErrors
from .self_description import SIGNATURE, SelfDescription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..config.server_model import ServerConfig
    from ..contracts.codec import MethodCodec
    from ..contracts.endpoint import ServedMethod
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

    @property
    def methods(self) -> list[ServedMethod]:
        """What each method is to people and tools, in the order of their names."""
        return [self.described[name] for name in self.names]

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
        self.described.update((name, handler.served(name)) for name, handler in handlers.items())
        self.streams.update(streaming_methods(interface, name))

    def describe_itself(
        self, settings: Callable[[], ServerConfig], codecs: Mapping[str, object]
    ) -> None:
        """Answer the reserved method, or say why it is not answered. Before the server starts.

        Args:
            settings: Gives the server section, as it is now.
            codecs: The codecs that are offered, by name.
        """
        if not settings().describe:
            self.streams[DESCRIBE] = (
                f"the service {self._service} does not describe itself:"
                " bee.rpc.server.describe is false there"
            )
            return
        own = SelfDescription(settings, codecs, lambda: self.methods)
        for codec, table in self.tables.items():
            # A codec of one's own that carries some types only has no place for a description.
            with suppress(TypeError, BeeError):
                bound = self._bind(codec, SIGNATURE)
                errors = self._errors(codec, DESCRIBE, ())
                table[DESCRIBE] = BoundHandler(own.describe, "threaded", bound, errors)

    def _errors(self, codec: str, method: str, errors: Iterable[DeclaredError]) -> MeantErrors:
        """What encodes the errors that a method means, for one codec."""
        details = self._details.get(codec)
        if details is None:
            details = self._details[codec] = self._bind(codec, Signature.dynamic(DETAILS))
        return MeantErrors(
            details,
            {error.cls: (error, self._bind(codec, error.signature(method))) for error in errors},
        )
