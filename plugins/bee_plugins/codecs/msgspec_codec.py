"""The codecs on msgspec: they bind methods, and rewrite values that msgspec would write wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from .invalid_argument import unencodable
from .msgspec_methods import DynamicMethod, TypedMethod
from .parameters import ANYTHING, PerParameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bee_core.errors import Executed
    from bee_core.interfaces import Form, MethodCodec, Signature

    from .msgspec_format import Format
    from .record_classes import Write


class MsgspecCodec:
    """A codec in one of the formats. Stateless, so one object serves all methods and threads."""

    format: ClassVar[Format]

    def bind(self, signature: Signature) -> MethodCodec:
        """Compile a method's decoders.

        Raises:
            TypeError: The signature has a type that cannot be carried. The message names method,
                parameter and type.
        """
        result, write_result = self.format.carried(signature.result, signature, "result")
        if signature.params is None:
            if write_result is None:
                return DynamicMethod(self.format, signature, result)
            signature = attrs.evolve(signature, params=ANYTHING)
        hints, writes = {}, {}
        for parameter in signature.params or ():
            hint, write = self.format.carried(
                parameter.hint, signature, f"parameter {parameter.name}"
            )
            hints[parameter.name] = hint
            if write is not None:
                writes[parameter.name] = write
        if writes or write_result is not None:
            return RewritingMethod(self.format, signature, result, hints, writes, write_result)
        return TypedMethod(self.format, signature, result, hints)


class RewritingMethod(TypedMethod):
    """A typed method whose values are brought into another shape before they are encoded."""

    __slots__ = ("_write_result", "_writes")

    def __init__(
        self,
        format_: Format,
        signature: Signature,
        result: Any,
        hints: Mapping[str, Any],
        writes: Mapping[str, Write],
        write_result: Write | None,
    ) -> None:
        super().__init__(format_, signature, result, hints)
        self._write_result = write_result
        self._writes = PerParameter(signature.params or (), writes)

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_args`."""
        positional = []
        for index, value in enumerate(args):
            path, write = self._writes.at(index)
            positional.append(self._rewritten(write, value, path))
        named = {
            name: self._rewritten(self._writes.called(name), value, f"$.{name}")
            for name, value in kwargs.items()
        }
        return super().encode_args(tuple(positional), named)

    def encode_result(self, value: Any) -> bytes:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_result`."""
        return super().encode_result(self._rewritten(self._write_result, value, "$", "yes"))

    def _rewritten(
        self, write: Write | None, value: Any, path: str, executed: Executed = "no"
    ) -> Any:
        """A value in the shape in which it is encoded."""
        if write is None:
            return value
        try:
            return write(value)
        except Exception as error:
            raise unencodable(error, [(path, value)], self._encode, executed) from error
