"""The codecs that msgspec makes: binds methods, and puts what msgspec does not write by itself into another shape before it is encoded."""

from __future__ import annotations

import inspect
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from bee_core.interfaces import Parameter

from .class_unions import TagInDictError
from .invalid import invalid, place_of, unencodable
from .method_codecs import BY_NAME, BY_POSITION, DynamicMethod, TypedMethod

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bee_core.errors import Executed
    from bee_core.interfaces import Form, MethodCodec, Signature

    from .formats import Format

    Write = Callable[[Any], Any]

_ANYTHING = (
    Parameter("args", inspect.Parameter.VAR_POSITIONAL, required=False),
    Parameter("kwargs", inspect.Parameter.VAR_KEYWORD, required=False),
)


class MsgspecCodec:
    """A codec in one of the formats. Stateless, so one object serves all methods and threads."""

    format: ClassVar[Format]

    def bind(self, signature: Signature) -> MethodCodec:
        """Compile a method's decoders.

        Raises:
            TypeError: The signature has a type that cannot be carried; the message names method, parameter and type.
        """
        return _bind(self.format, signature)


def _bind(format_: Format, signature: Signature) -> MethodCodec:
    result, write_result = format_.carried(signature.result, signature, "result")
    if signature.params is None:
        if write_result is None:
            return DynamicMethod(format_, signature, result)
        signature = attrs.evolve(signature, params=_ANYTHING)
    types = {
        parameter.name: format_.carried(parameter.hint, signature, f"parameter {parameter.name}")
        for parameter in signature.params or ()
    }
    hints = {name: hint for name, (hint, _) in types.items()}
    writes = {name: write for name, (_, write) in types.items() if write is not None}
    if writes or write_result is not None:
        return RewritingMethod(format_, signature, result, hints, writes, write_result)
    return TypedMethod(format_, signature, result, hints)


class RewritingMethod(TypedMethod):
    """A typed method of which values are brought into another shape before they are encoded."""

    __slots__ = ("_write_named", "_write_positional", "_write_rest", "_write_result")

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
        params = signature.params or ()
        rest = {parameter.kind: writes.get(parameter.name) for parameter in params}
        self._write_positional = [
            writes.get(parameter.name) for parameter in params if parameter.kind in BY_POSITION
        ]
        self._write_named = {
            parameter.name: writes.get(parameter.name)
            for parameter in params
            if parameter.kind in BY_NAME
        }
        self._write_rest = (
            rest.get(inspect.Parameter.VAR_POSITIONAL),
            rest.get(inspect.Parameter.VAR_KEYWORD),
        )

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_args`."""
        writes = chain(self._write_positional, repeat(self._write_rest[0]))
        labelled = list(self._labels(args, kwargs))
        parts = [
            value if write is None else self._rewritten(write, value, path)
            for write, (path, value) in zip(writes, labelled[: len(args)], strict=False)
        ]
        named = {}
        for path, (name, value) in zip(
            (path for path, _ in labelled[len(args) :]), kwargs.items(), strict=True
        ):
            write = self._write_named.get(name, self._write_rest[1])
            named[name] = value if write is None else self._rewritten(write, value, path)
        return super().encode_args(tuple(parts), named)

    def encode_result(self, value: Any) -> bytes:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_result`."""
        return super().encode_result(
            value
            if self._write_result is None
            else self._rewritten(self._write_result, value, "$", "yes")
        )

    def _rewritten(self, write: Write, value: Any, path: str, executed: Executed = "no") -> Any:
        """A value in the shape in which it is encoded."""
        try:
            return write(value)
        except TagInDictError as error:
            raise invalid(place_of(error.value, value, path), str(error), executed) from error
        except Exception as error:
            raise unencodable(error, [(path, value)], self._encode, executed) from error
