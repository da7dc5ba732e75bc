"""The codecs on msgspec: what lies in a body, how it is checked, and what is wrong.

========== ================================================================
form       body
========== ================================================================
POSITIONAL ``[1, 2]``                an array of values
NAMED      ``{"a": 1, "b": 2}``      an object by parameter name
MIXED      ``[[1], {"b": 2}]``       the positional values, the named ones
(result)   ``3``                     the value itself
========== ================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import msgspec

from bee_core.interfaces import MIXED, NAMED, POSITIONAL, Form, MethodCodec, Parameter, Signature

from .invalid_argument import check_call, decoded, invalid, undecodable, unencodable
from .msgspec_hints import exact_calls, exact_types
from .parameters import (
    ANYTHING,
    VARIADIC,
    PerParameter,
    by_name,
    by_position,
    counts_by_position,
)
from .record_classes import struct_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bee_core.errors import Executed

    from .msgspec_format import Decode, Format
    from .record_classes import Write

_unset = msgspec.UNSET


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
                return DynamicMethod(self.format, signature, result, {})
            signature = attrs.evolve(signature, params=ANYTHING)
        carried = {
            parameter.name: self.format.carried(
                parameter.hint, signature, f"parameter {parameter.name}"
            )
            for parameter in signature.params or ()
        }
        hints = {name: hint for name, (hint, _) in carried.items()}
        writes = {name: write for name, (_, write) in carried.items() if write is not None}
        if writes or write_result is not None:
            return RewritingMethod(self.format, signature, result, hints, writes, write_result)
        return TypedMethod(self.format, signature, result, hints)


class _Method:
    """The half of the result, and what both kinds of methods share."""

    __slots__ = (
        "_any_result",
        "_decode_result",
        "_decoders",
        "_encode",
        "_exact_results",
        "_format",
        "_loss",
        "_signature",
    )

    def __init__(
        self, format_: Format, signature: Signature, result: Any, hints: Mapping[str, Any]
    ) -> None:
        self._signature = signature
        self._format = format_
        self._encode = format_.encode
        self._loss = format_.loss
        self._any_result = result is Any
        self._exact_results = exact_types(result, format_.text_keys)
        self._decode_result = format_.decoder(result)
        self._decoders = PerParameter(
            signature.params or (), {name: format_.decoder(hint) for name, hint in hints.items()}
        )

    def encode_result(self, value: Any) -> bytes:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_result`."""
        try:
            body = self._encode(value)
        except Exception as error:
            raise unencodable(error, [("$", value)], self._encode, "yes") from error
        if self._loss in body and value is not None:
            self._format.refuse_loss(value, [("$", value)], "yes")
        if not self._any_result and type(value) not in self._exact_results:
            self.decode_result(body)
        return body

    def decode_result(self, body: bytes) -> Any:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_result`."""
        try:
            return self._decode_result(body)
        except Exception as error:
            raise undecodable(error, "$", "yes") from error

    def _written(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """The bytes of arguments that are laid out as ``value``."""
        try:
            body = self._encode(value)
        except Exception as error:
            raise unencodable(error, self._decoders.labelled(args, kwargs), self._encode) from error
        if self._loss in body:
            self._format.refuse_loss(value, self._decoders.labelled(args, kwargs), "no")
        return body

    def _split(
        self, form: Form, body: bytes, decoders: tuple[Decode, ...]
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """A body of any signature into positional and named arguments."""
        if form not in {POSITIONAL, NAMED, MIXED}:
            raise invalid(
                "$",
                f"the codec {self._format.name} has arguments by position, by name or both, and no"
                " form of one message",
            )
        try:  # the hot path of a dynamic method: what `decoded` does, without the call
            parts = decoders[form](body)
        except Exception as error:
            raise undecodable(error, "$") from error
        if form == POSITIONAL:
            return parts, {}
        if form == NAMED:
            return (), parts
        return parts[0], parts[1]


class DynamicMethod(_Method):
    """A method of which only the name is known: it takes whatever the format holds."""

    __slots__ = ()

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_args`."""
        if not kwargs:
            return POSITIONAL, self._written(args, args, kwargs)
        if not args:
            return NAMED, self._written(kwargs, args, kwargs)
        return MIXED, self._written((args, kwargs), args, kwargs)

    def decode_args(self, form: Form, body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_args`."""
        return self._split(form, body, self._format.split)


class TypedMethod(_Method):
    """A method with a signature.

    One compiled decoder reads the common shapes. The general path reads what that decoder refuses,
    and the shapes for which there is none (``*args``, MIXED). It splits the body into one piece for
    each argument, so it knows which one is wrong.
    """

    __slots__ = (
        "_decode_named",
        "_decode_positional",
        "_exact",
        "_free_counts",
        "_mergeable",
        "_names",
        "_optional_names",
        "_strip",
    )

    def __init__(
        self, format_: Format, signature: Signature, result: Any, hints: Mapping[str, Any]
    ) -> None:
        super().__init__(format_, signature, result, hints)
        params = signature.params or ()
        positional, named = by_position(params), by_name(params)
        takes_more = any(parameter.kind in VARIADIC for parameter in params)
        self._names = tuple(parameter.name for parameter in named)
        self._mergeable = positional == named[: len(positional)] and not takes_more
        self._optional_names = any(not parameter.required for parameter in named)
        self._strip = any(not parameter.required for parameter in positional)
        self._decode_positional = self._decode_named = None
        self._exact: frozenset[tuple[type, ...]] = frozenset()
        self._free_counts: frozenset[int] = frozenset()
        counts = counts_by_position(params)
        if counts and not takes_more:
            self._decode_positional = format_.decoder(_array_type(positional, hints))
            in_order = [hints[parameter.name] for parameter in positional]
            self._exact = exact_calls(in_order, counts, format_.text_keys)
            self._free_counts = frozenset(
                count for count in counts if all(hint is Any for hint in in_order[:count])
            )
        if not takes_more and all(p in named for p in params if p.required):
            shape = _struct(named, hints, array_like=False, kw_only=True)
            self._decode_named = format_.decoder(shape)

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_args`."""
        if not kwargs:
            try:  # the hot path: what `_written` does, without the call
                body = self._encode(args)
            except Exception as error:
                raise unencodable(
                    error, self._decoders.labelled(args, kwargs), self._encode
                ) from error
            if self._loss in body:
                self._format.refuse_loss(args, self._decoders.labelled(args, kwargs), "no")
            if tuple(map(type, args)) not in self._exact and len(args) not in self._free_counts:
                self.decode_args(POSITIONAL, body)  # the same check as the server's
            return POSITIONAL, body
        form: Form = NAMED
        value: Any = kwargs
        if args:
            if self._mergeable and len(args) <= len(self._names):
                value = {**dict(zip(self._names, args, strict=False)), **kwargs}
            else:
                form, value = MIXED, (args, kwargs)
            if form == MIXED or len(value) < len(args) + len(kwargs):
                check_call(self._signature, len(args), kwargs)
        body = self._written(value, args, kwargs)
        try:
            if form == NAMED and self._decode_named is not None:
                self._decode_named(body)
                return form, body
        except Exception:  # noqa: S110 - the general path finds out where and why
            pass
        self.decode_args(form, body)
        return form, body

    def decode_args(self, form: Form, body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_args`."""
        try:
            if form == POSITIONAL and self._decode_positional is not None:
                values = self._decode_positional(body)
                if self._strip:
                    values = msgspec.structs.astuple(values)
                    while values and values[-1] is _unset:
                        values = values[:-1]
                return values, {}
            if form == NAMED and self._decode_named is not None:
                named = dict(
                    zip(self._names, msgspec.structs.astuple(self._decode_named(body)), strict=True)
                )
                return (), {
                    name: value for name, value in named.items() if value is not _unset
                } if self._optional_names else named
        except MemoryError:
            raise
        except Exception:  # noqa: S110 - the general path finds out where and why
            pass
        return self._decode_one_by_one(form, body)

    def _decode_one_by_one(
        self, form: Form, body: bytes
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        positional, named = self._split(form, body, self._format.split_raw)
        check_call(self._signature, len(positional), named)
        return self._decoders.changed(decoded, positional, named)


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
        positional, named = self._writes.changed(self._rewritten, args, kwargs)
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


def _array_type(params: list[Parameter], hints: Mapping[str, Any]) -> Any:
    if all(parameter.required for parameter in params):
        return tuple[tuple(hints[parameter.name] for parameter in params)]  # type: ignore[misc]
    return _struct(params, hints, array_like=True)


def _struct(params: list[Parameter], hints: Mapping[str, Any], **options: Any) -> Any:
    # The function itself fills in its defaults; here they are only seen to be absent.
    fields = ((p.name, hints[p.name], p.required) for p in params)
    return struct_of("Arguments", fields, forbid_unknown_fields=True, **options)
