"""The method codecs of the formats of msgspec: what lies in a body, how it is checked, and which error names what is wrong.

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

import inspect
from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.interfaces import MIXED, NAMED, POSITIONAL

from .hints import exact_calls, exact_types
from .invalid import invalid, misfit, undecodable, unencodable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bee_core.interfaces import Form, Parameter, Signature

    from .formats import Format

BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

_unset = msgspec.UNSET


class _Method:
    """The result's half, and what both kinds of methods share."""

    __slots__ = (
        "_any_result",
        "_decode_result",
        "_encode",
        "_exact_results",
        "_format",
        "_loss",
        "_signature",
    )

    def __init__(self, format_: Format, signature: Signature, result: Any) -> None:
        self._signature = signature
        self._format = format_
        self._encode = format_.encode
        self._loss = format_.loss
        self._any_result = result is Any
        self._exact_results = exact_types(result, format_.text_keys)
        self._decode_result = format_.decoder(result)

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

    def _labels(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        """Each argument with its path."""
        names = [
            parameter.name
            for parameter in self._signature.params or ()
            if parameter.kind in BY_POSITION
        ]
        for index, value in enumerate(args):
            yield (f"$.{names[index]}" if index < len(names) else f"$[{index}]"), value
        for name, value in kwargs.items():
            yield f"$.{name}", value

    def _written(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Encode arguments laid out as ``value``."""
        try:
            body = self._encode(value)
        except Exception as error:
            raise unencodable(error, self._labels(args, kwargs), self._encode) from error
        if self._loss in body:
            self._format.refuse_loss(value, self._labels(args, kwargs), "no")
        return body

    def _split(
        self, form: Form, body: bytes, decoders: tuple[Any, ...]
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """A body of any signature into positional and named arguments."""
        if form not in {POSITIONAL, NAMED, MIXED}:
            raise invalid(
                "$",
                f"the codec {self._format.name} has arguments by position, by name or both, and no form of one message",
            )
        try:
            parts = decoders[form](body)
        except Exception as error:
            raise undecodable(error, "$") from error
        if form == POSITIONAL:
            return parts, {}
        if form == NAMED:
            return (), parts
        return parts[0], parts[1]


class DynamicMethod(_Method):
    """A method of which nothing is known: whatever the format holds goes."""

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

    The common shapes are decoded by one compiled decoder. Whatever that one refuses, and the shapes that it has none for (``*args``, MIXED), goes through the general path: it
    splits the body into one piece an argument, and so knows where the fault is.
    """

    __slots__ = (
        "_by_name",
        "_by_position",
        "_decode_named",
        "_decode_positional",
        "_exact",
        "_free_counts",
        "_mergeable",
        "_names",
        "_optional_names",
        "_rest",
        "_strip",
    )

    def __init__(
        self, format_: Format, signature: Signature, result: Any, hints: Mapping[str, Any]
    ) -> None:
        super().__init__(format_, signature, result)
        params = signature.params or ()
        decoders = {name: format_.decoder(hint) for name, hint in hints.items()}
        positional = [parameter for parameter in params if parameter.kind in BY_POSITION]
        named = [parameter for parameter in params if parameter.kind in BY_NAME]
        kinds = {parameter.kind: decoders[parameter.name] for parameter in params}
        self._by_position = [(parameter.name, decoders[parameter.name]) for parameter in positional]
        self._by_name = {parameter.name: decoders[parameter.name] for parameter in named}
        self._rest = (
            kinds.get(inspect.Parameter.VAR_POSITIONAL),
            kinds.get(inspect.Parameter.VAR_KEYWORD),
        )
        self._names = tuple(parameter.name for parameter in named)
        self._mergeable = positional == named[: len(positional)] and not any(self._rest)
        self._optional_names = any(not parameter.required for parameter in named)
        self._strip = any(not parameter.required for parameter in positional)
        self._decode_positional = self._decode_named = None
        self._exact: frozenset[tuple[type, ...]] = frozenset()
        self._free_counts: frozenset[int] = frozenset()
        if not any(self._rest):
            if not any(
                parameter.required
                for parameter in params
                if parameter.kind == inspect.Parameter.KEYWORD_ONLY
            ):
                self._decode_positional = format_.decoder(_array_type(positional, hints))
                least = sum(parameter.required for parameter in positional)
                counts = range(least, len(positional) + 1)
                self._exact = exact_calls(
                    [hints[parameter.name] for parameter in positional], counts, format_.text_keys
                )
                self._free_counts = frozenset(
                    count
                    for count in counts
                    if all(hints[parameter.name] is Any for parameter in positional[:count])
                )
            if not any(
                parameter.required
                for parameter in params
                if parameter.kind == inspect.Parameter.POSITIONAL_ONLY
            ):
                self._decode_named = format_.decoder(_object_type(named, hints))

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_args`."""
        if not kwargs:
            try:  # the hot path: what `_written` does, without the call
                body = self._encode(args)
            except Exception as error:
                raise unencodable(error, self._labels(args, kwargs), self._encode) from error
            if self._loss in body:
                self._format.refuse_loss(args, self._labels(args, kwargs), "no")
            if tuple(map(type, args)) not in self._exact and len(args) not in self._free_counts:
                self.decode_args(
                    POSITIONAL, body
                )  # checks what goes out with the server's own eyes
            return POSITIONAL, body
        form: Form = NAMED
        value: Any = kwargs
        if args:
            if self._mergeable and len(args) <= len(self._names):
                value = {**dict(zip(self._names, args, strict=False)), **kwargs}
            else:
                form, value = MIXED, (args, kwargs)
            if form == MIXED or len(value) < len(args) + len(kwargs):
                mismatch = self._signature.mismatch(len(args), kwargs)
                if mismatch:
                    raise misfit(mismatch)
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
        mismatch = self._signature.mismatch(len(positional), named)
        if mismatch:
            raise misfit(mismatch)
        rest, named_rest = self._rest
        args = []
        for index, raw in enumerate(positional):
            name, decode = (
                self._by_position[index] if index < len(self._by_position) else (f"[{index}]", rest)
            )
            args.append(_value(decode, raw, f"${name}" if name.startswith("[") else f"$.{name}"))
        return args, {
            name: _value(self._by_name.get(name, named_rest), raw, f"$.{name}")
            for name, raw in named.items()
        }


def _value(decode: Any, raw: msgspec.Raw, path: str) -> Any:
    try:
        return decode(raw)
    except Exception as error:
        raise undecodable(error, path) from error


def _array_type(params: list[Parameter], hints: Mapping[str, Any]) -> Any:
    if all(parameter.required for parameter in params):
        return tuple[tuple(hints[parameter.name] for parameter in params)]  # type: ignore[misc]
    return _record_type(params, hints, array_like=True)


def _object_type(params: list[Parameter], hints: Mapping[str, Any]) -> Any:
    return _record_type(
        params,
        hints,
        kw_only=True,
        rename={f"p{index}": parameter.name for index, parameter in enumerate(params)},
    )


def _record_type(params: list[Parameter], hints: Mapping[str, Any], **options: Any) -> Any:
    # Fields are numbered, since a parameter may have a name that a class cannot give to a field. A default is the function's own to fill in: here it is only seen to be absent.
    fields = [
        (f"p{index}", hints[p.name]) if p.required else (f"p{index}", hints[p.name], _unset)
        for index, p in enumerate(params)
    ]
    return msgspec.defstruct("Arguments", fields, forbid_unknown_fields=True, **options)
