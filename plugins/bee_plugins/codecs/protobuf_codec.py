"""Codec ``protobuf``.

A method whose only parameter is hinted with a message class sends that message and nothing else (form MESSAGE), and a result hinted with one is that message and nothing else:
a service of a ``.proto`` speaks what the protobuf libraries of other languages speak. Everything else goes through the published messages of ``bee/v1/value.proto``:

========== =============================================================
form       body
========== =============================================================
MESSAGE    the one message
POSITIONAL ``bee.v1.Arguments`` with ``positional``
NAMED      ``bee.v1.Arguments`` with ``named``
MIXED      ``bee.v1.Arguments`` with both
(result)   the message, or ``bee.v1.Result``
========== =============================================================

Plain values arrive as they were: an int is no float, bytes are no text, keys keep their types, NaN is NaN. Tuples and sets arrive as lists, records as dictionaries and dates, decimals
and UUIDs as text where no type says what to make of them. Where a message stands beside plain values (a method with several parameters, a list of messages) it travels as
``google.protobuf.Any``. Nothing is ever pickled.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
from google.protobuf.unknown_fields import UnknownFieldSet

from bee_core.hookspecs import hookimpl
from bee_core.interfaces import MESSAGE, MIXED, NAMED, POSITIONAL

from .bee.v1.value_pb2 import Arguments, Result, Value
from .class_unions import TagInDictError
from .invalid import invalid, misfit, place_of, undecodable, unencodable
from .protobuf_hints import CarriedType, is_message
from .protobuf_messages import Fault, MessageType
from .protobuf_values import read, write

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bee_core.errors import Executed, InvalidArgument
    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Codec, Form, MethodCodec, Signature

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class ProtobufCodec:
    """The codec. Stateless, so one object serves all methods and threads."""

    def bind(self, signature: Signature) -> MethodCodec:
        """Prepare a method.

        Raises:
            TypeError: The signature has a type that cannot be carried; the message names method, parameter and type.
        """
        if signature.params is None:
            return _Method(signature)
        if (
            len(signature.params) == 1
            and is_message(signature.params[0].hint)
            and signature.params[0].kind not in _VARIADIC
        ):
            return _MessageMethod(signature)
        return _TypedMethod(signature)


class _Method:
    """A method of which nothing is known, and what all kinds of methods share."""

    __slots__ = ("_result", "_result_message", "_signature")

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._result_message = (
            MessageType(signature.result) if is_message(signature.result) else None
        )
        self._result = CarriedType(
            Any if self._result_message else signature.result, signature, "result"
        )

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_args`."""
        message = Arguments()
        try:
            add = message.positional.add
            for value in args:
                write(add(), value)
            for name, value in kwargs.items():
                write(message.named.add(key=name).value, value)
            body = message.SerializeToString()
        except Exception as error:
            raise _unsendable(error, self._labels(args, kwargs)) from error
        return (POSITIONAL if not kwargs else MIXED if args else NAMED), body

    def decode_args(self, form: Form, body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_args`."""
        positional, named = self._split(form, body)
        return tuple(
            self._read(value, self._place(index)) for index, value in enumerate(positional)
        ), {name: self._read(value, f"$.{name}") for name, value in named.items()}

    def encode_result(self, value: Any) -> bytes:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_result`."""
        if self._result_message is not None:
            try:
                return self._result_message.write(value)
            except Fault as fault:
                _refuse(fault, "$", "yes")
        value = _outgoing(self._result, value, "$", "yes")
        message = Result()
        try:
            write(message.value, value)
            return message.SerializeToString()
        except Exception as error:
            raise _unsendable(error, [("$", value)], "yes") from error

    def decode_result(self, body: bytes) -> Any:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_result`."""
        if self._result_message is not None:
            try:
                return self._result_message.read(body)
            except Fault as fault:
                _refuse(fault, "$", "yes")
        message = _parsed(Result, body)
        if message is None or not message.HasField("value"):
            raise invalid(
                "$",
                "not the bytes of a bee.v1.Result; if the method gives a message, call it through an interface that says of which class",
                "yes",
            )
        return _incoming(self._result, self._read(message.value, "$", "yes"), "$", "yes")

    def _split(self, form: Form, body: bytes) -> tuple[Sequence[Value], Mapping[str, Value]]:
        """A body into positional and named arguments."""
        if form == MESSAGE:
            raise invalid(
                "$",
                f"one bare message, which {self._signature} does not take: its arguments travel as bee.v1.Arguments",
            )
        if form not in {POSITIONAL, NAMED, MIXED}:
            raise invalid("$", f"the codec protobuf has no form {form}")
        message = _parsed(Arguments, body)
        if message is None:
            raise invalid(
                "$",
                "not the bytes of a bee.v1.Arguments: of another codec or message, cut short, with text that is not UTF-8, or nested too deeply",
            )
        if (form == POSITIONAL and message.named) or (form == NAMED and message.positional):
            raise invalid(
                "$",
                f"arguments by position and by name in a body of form {form}, which holds one kind",
            )
        return message.positional, {entry.key: entry.value for entry in message.named}

    def _read(self, value: Value, path: str, executed: Executed = "no") -> Any:
        try:
            return read(value)
        except Fault as fault:
            _refuse(fault, path, executed)

    def _place(self, index: int) -> str:
        """The path of an argument by position."""
        return f"$[{index}]"

    def _labels(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Each argument with its path."""
        return [
            *((self._place(index), value) for index, value in enumerate(args)),
            *((f"$.{name}", value) for name, value in kwargs.items()),
        ]


class _TypedMethod(_Method):
    """A method with a signature."""

    __slots__ = ("_by_name", "_by_position", "_counts", "_names", "_required", "_rest")

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        params = signature.params or ()
        kinds = {
            parameter.name: CarriedType(parameter.hint, signature, f"parameter {parameter.name}")
            for parameter in params
        }
        positional = [parameter for parameter in params if parameter.kind in _BY_POSITION]
        self._by_position = [
            (f"$.{parameter.name}", kinds[parameter.name]) for parameter in positional
        ]
        self._by_name = {
            parameter.name: kinds[parameter.name]
            for parameter in params
            if parameter.kind in _BY_NAME
        }
        variadic = {parameter.kind: kinds[parameter.name] for parameter in params}
        self._rest = (
            variadic.get(inspect.Parameter.VAR_POSITIONAL),
            variadic.get(inspect.Parameter.VAR_KEYWORD),
        )
        # What fits beyond doubt, so that most calls need not ask the signature.
        needs_name = any(
            parameter.required
            for parameter in params
            if parameter.kind == inspect.Parameter.KEYWORD_ONLY
        )
        self._counts = (
            range(0)
            if needs_name
            else range(sum(parameter.required for parameter in positional), len(positional) + 1)
        )
        self._names = frozenset(self._by_name)
        self._required = frozenset(parameter.name for parameter in params if parameter.required)

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_args`."""
        self._check(len(args), kwargs)
        checked = []
        for index, value in enumerate(args):
            path, kind = self._at(index)
            checked.append(_outgoing(kind, value, path))
        named = {
            name: _outgoing(self._called(name), value, f"$.{name}")
            for name, value in kwargs.items()
        }
        return super().encode_args(tuple(checked), named)

    def decode_args(self, form: Form, body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_args`."""
        positional, named = self._split(form, body)
        self._check(len(positional), named)
        args = []
        for index, value in enumerate(positional):
            path, kind = self._at(index)
            args.append(_incoming(kind, self._read(value, path), path))
        return tuple(args), {
            name: _incoming(self._called(name), self._read(value, f"$.{name}"), f"$.{name}")
            for name, value in named.items()
        }

    def _check(self, count: int, named: Collection[str]) -> None:
        """Compare a call with the signature by count and by name."""
        if (
            (count in self._counts)
            if not named
            else (not count and self._required <= set(named) <= self._names)
        ):
            return
        mismatch = self._signature.mismatch(count, named)
        if mismatch:
            raise misfit(mismatch)

    def _at(self, index: int) -> tuple[str, CarriedType]:
        if index < len(self._by_position):
            return self._by_position[index]
        rest, _ = self._rest
        assert rest is not None  # noqa: S101  # _check saw to it
        return f"$[{index}]", rest

    def _called(self, name: str) -> CarriedType:
        kind = self._by_name.get(name) or self._rest[1]
        assert kind is not None  # noqa: S101  # _check saw to it
        return kind

    def _place(self, index: int) -> str:
        return self._at(index)[0]


class _MessageMethod(_TypedMethod):
    """A method of one message. It is sent bare, and understood also as the argument of a caller that has no interface."""

    __slots__ = ("_message", "_name", "_path")

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        (parameter,) = signature.params or ()
        self._message = MessageType(parameter.hint)
        self._name = parameter.name
        self._path = f"$.{parameter.name}"

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_args`."""
        self._check(len(args), kwargs)
        if not args and not kwargs:
            return super().encode_args(args, kwargs)  # the handler has a default
        try:
            return MESSAGE, self._message.write(args[0] if args else kwargs[self._name])
        except Fault as fault:
            _refuse(fault, self._path)

    def decode_args(self, form: Form, body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_args`."""
        if form != MESSAGE:
            return super().decode_args(form, body)
        try:
            message = self._message.read(body)
        except Fault as fault:
            _refuse(fault, self._path)
        return ((message,), {}) if self._by_position else ((), {self._name: message})


def _outgoing(kind: CarriedType, value: Any, path: str, executed: Executed = "no") -> Any:
    try:
        return kind.outgoing(value)
    except msgspec.DecodeError as error:
        raise undecodable(error, path, executed) from error
    except TagInDictError as error:
        raise invalid(place_of(error.value, value, path), str(error), executed) from error
    except Exception as error:
        raise _unsendable(error, [(path, value)], executed) from error


def _incoming(kind: CarriedType, value: Any, path: str, executed: Executed = "no") -> Any:
    try:
        return kind.incoming(value)
    except Exception as error:
        raise undecodable(error, path, executed) from error


def _parsed(cls: Any, body: bytes) -> Any:
    """A message of ``bee.v1``, or None for bytes of something else: here a field that nobody knows is a sign of that, since these messages have grown no fields yet."""
    try:
        message = cls.FromString(body)
    except MemoryError:
        raise
    except Exception:
        return None
    return None if len(UnknownFieldSet(message)) else message


def _unsendable(
    error: Exception, named: Sequence[tuple[str, Any]], executed: Executed = "no"
) -> InvalidArgument:
    """What was raised while writing values, with the path of the one at fault."""
    found = unencodable(error, named, _encode, executed)
    if found.path != "$":
        return found
    # No part of a value is at fault by itself: a record that holds a message.
    return next(
        (
            invalid(path, str(error), executed)
            for path, value in named
            if path != "$" and not _is_sendable(value)
        ),
        found,
    )


def _is_sendable(value: Any) -> bool:
    try:
        _encode(value)
    except Exception:
        return False
    return True


def _encode(value: Any) -> bytes:
    message = Value()
    write(message, value)
    return message.SerializeToString()


def _refuse(fault: Fault, path: str, executed: Executed = "no") -> NoReturn:
    raise invalid(path + fault.path, fault.message, executed) from fault


@hookimpl
def bee_register_codecs(registry: Registrar[Codec]) -> None:
    """Offer ``protobuf``."""
    registry.add("protobuf", ProtobufCodec)
