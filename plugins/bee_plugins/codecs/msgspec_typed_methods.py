"""Methods with a signature, bound to a format of msgspec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.interfaces import MIXED, NAMED, POSITIONAL, Form, Parameter, Signature

from .bounded_decoding import SMALL
from .invalid_argument import check_call, decoded, unencodable
from .msgspec_hints import exact_calls
from .msgspec_methods import Method
from .parameters import (
    VARIADIC,
    PerParameter,
    by_name,
    by_position,
    counts_by_position,
)
from .record_structs import struct_of
from .what_changes import refuse_change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bee_core.errors import Executed

    from .msgspec_format import Format
    from .record_structs import Write

_unset = msgspec.UNSET


class TypedMethod(Method):
    """A method with a signature.

    One compiled decoder reads the common shapes. The general path reads what that decoder refuses,
    and the shapes for which there is none (``*args``, MIXED). It splits the body into one piece for
    each argument, so it knows which one is wrong.
    """

    __slots__ = (
        "_decode_named",
        "_decode_positional",
        "_decode_small",
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
        self._decode_small = self._decode_positional = self._decode_named = None
        self._exact: frozenset[tuple[type, ...]] = frozenset()
        self._free_counts: frozenset[int] = frozenset()
        counts = counts_by_position(params)
        if counts and not takes_more:
            by_count = format_.decoders(_array_type(positional, hints))
            self._decode_small, self._decode_positional = by_count
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
            is_plain = self._is_plain
            if (is_plain is None or not is_plain(args)) and (
                body.find(self._loss) >= 0 or body.find(self._suspect) >= 0
            ):
                body = self._kept(args, body, args, kwargs)
            if tuple(map(type, args)) not in self._exact and len(args) not in self._free_counts:
                # The same check as the server's, and whether all arrives as it is.
                self._compare(POSITIONAL, body, args, kwargs)
            return POSITIONAL, body
        return self._encoded_args(args, kwargs, args, kwargs)

    def _encoded_args(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        given: tuple[Any, ...],
        given_named: dict[str, Any],
    ) -> tuple[Form, bytes]:
        """The form and the body of arguments.

        Args:
            args: The arguments, in the shape in which they are encoded.
            kwargs: Likewise.
            given: The arguments as the caller gave them.
            given_named: Likewise.
        """
        form: Form = POSITIONAL if not kwargs else NAMED
        value: Any = kwargs or args
        if args and kwargs:
            if self._mergeable and len(args) <= len(self._names):
                value = {**dict(zip(self._names, args, strict=False)), **kwargs}
            else:
                form, value = MIXED, (args, kwargs)
            if form == MIXED or len(value) < len(args) + len(kwargs):
                check_call(self._signature, len(args), kwargs)
        body = self._written(value, args, kwargs)
        self._compare(form, body, given, given_named)
        return form, body

    def _compare(
        self, form: Form, body: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Refuse arguments that do not fit, or that would arrive as something else."""
        positional, named = self.decode_args(form, body)
        if not self._compares:
            return
        for index, value in enumerate(args):
            path, find = self._changes.at(index)
            if find is not None:
                arrived = positional[index] if positional else named[self._names[index]]
                refuse_change(find, value, arrived, path, "no")
        for name, value in kwargs.items():
            refuse_change(self._changes.called(name), value, named[name], f"$.{name}", "no")

    def decode_args(self, form: Form, body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_args`."""
        try:
            decode = self._decode_small if len(body) < SMALL else self._decode_positional
            if form == POSITIONAL and decode is not None:
                values = decode(body)
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
        return self._encoded_args(tuple(positional), named, args, kwargs)

    def encode_result(self, value: Any) -> bytes:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_result`."""
        return self._encoded_result(self._rewritten(self._write_result, value, "$", "yes"), value)

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
