"""Codec ``protobuf``.

A method whose only parameter has a message class as its hint sends that message and nothing else
(form MESSAGE). A result whose hint is a message class is that message and nothing else. So a
service of a ``.proto`` speaks as the protobuf libraries of other languages do. Everything else goes
through the published messages of ``bee/v1/value.proto``:

========== =============================================================
form       body
========== =============================================================
MESSAGE    the one message
POSITIONAL ``bee.v1.Arguments`` with ``positional``
NAMED      ``bee.v1.Arguments`` with ``named``
MIXED      ``bee.v1.Arguments`` with both
(result)   the message, or ``bee.v1.Result``
========== =============================================================

Plain values arrive as they were: an int is not a float, bytes are not text, keys keep their types,
NaN is NaN. Without a type, tuples and sets arrive as lists, records as dictionaries, and dates,
decimals and UUIDs as text. A message beside plain values (a method with several parameters, a list
of messages) travels as ``google.protobuf.Any``. Nothing is ever pickled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from google.protobuf.unknown_fields import UnknownFieldSet

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import (
    MESSAGE,
    MIXED,
    NAMED,
    POSITIONAL,
    Codec,
    Form,
    MethodCodec,
    Signature,
)

from .bee.v1.value_pb2 import Arguments, Result, Value
from .invalid_argument import Misfit, check_call, decoded, invalid, undecodable, unencodable
from .parameters import VARIADIC, PerParameter, by_name, by_position, counts_by_position
from .protobuf_hints import CarriedType, is_message
from .protobuf_messages import MessageType
from .protobuf_values import read, write

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from bee_core.errors import Executed

_TAG_SIZE = len(Result(value=Value(null=0)).SerializeToString()) - 3  # type: ignore[arg-type]
"""Bytes in front of the length of a result's one field."""
_VALUE_FORMS = frozenset({POSITIONAL, NAMED, MIXED})


class ProtobufCodec:
    """The codec. Stateless, so one object serves all methods and threads."""

    def bind(self, signature: Signature) -> MethodCodec:
        """Prepare a method.

        Raises:
            TypeError: The signature has a type that cannot be carried. The message names method,
                parameter and type.
        """
        params = signature.params or ()
        if len(params) == 1 and is_message(params[0].hint) and params[0].kind not in VARIADIC:
            return _MessageMethod(signature)
        return _Method(signature)

    def json_schemas(
        self, hints: Iterable[Any]
    ) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
        """See :class:`bee_core.interfaces.Codec`."""
        from .json_schemas import json_schemas  # loaded when a service is described

        return json_schemas(hints)


class _Method:
    """A method, with a signature or with nothing but a name."""

    __slots__ = (
        "_counts",
        "_names",
        "_required",
        "_result",
        "_result_message",
        "_signature",
        "_types",
    )

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._result_message = (
            MessageType(signature.result) if is_message(signature.result) else None
        )
        self._result = CarriedType(
            Any if self._result_message else signature.result, signature, "result"
        )
        params = signature.params or ()
        self._types = PerParameter(
            params,
            {
                parameter.name: CarriedType(
                    parameter.hint, signature, f"parameter {parameter.name}"
                )
                for parameter in params
            },
        )
        # What certainly fits, so that most calls need not ask the signature.
        self._counts = counts_by_position(params)
        self._names = frozenset(parameter.name for parameter in by_name(params))
        self._required = frozenset(parameter.name for parameter in params if parameter.required)

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_args`."""
        values: Sequence[Any] = args
        if self._signature.params is not None:
            self._check(len(args), kwargs)
            values, kwargs = self._types.changed(_outgoing, args, kwargs)
        message = Arguments()
        try:
            add = message.positional.add
            for value in values:
                write(add(), value)
            for name, value in kwargs.items():
                write(message.named.add(key=name).value, value)
            form: Form = POSITIONAL if not kwargs else MIXED if args else NAMED
            return form, message.SerializeToString()
        except Exception as error:
            raise unencodable(error, self._types.labelled(values, kwargs), _encode) from error

    def decode_args(self, form: Form, body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_args`."""
        if form not in _VALUE_FORMS:
            raise invalid(
                "$",
                f"one bare message, which {self._signature} does not take: its arguments travel as"
                " bee.v1.Arguments"
                if form == MESSAGE
                else f"the codec protobuf has no form {form}",
            )
        message = _parsed(Arguments, body)
        if message is None:
            raise invalid(
                "$",
                "not the bytes of a bee.v1.Arguments: of another codec or message, cut short, with"
                " text that is not UTF-8, or nested too deeply",
            )
        positional = message.positional
        named: dict[str, Any] = {entry.key: entry.value for entry in message.named}
        if (form == POSITIONAL and named) or (form == NAMED and positional):
            raise invalid(
                "$",
                f"arguments by position and by name in a body of form {form}, which holds one kind",
            )
        if self._signature.params is not None:
            self._check(len(positional), named)
        args = []
        path = "$"
        try:  # the hot path, so no function of its own for an argument
            for index, value in enumerate(positional):
                path, type_ = self._types.at(index)
                args.append(read(value) if type_ is None else type_.incoming(read(value)))
            for name, value in named.items():
                path, type_ = f"$.{name}", self._types.called(name)
                named[name] = read(value) if type_ is None else type_.incoming(read(value))
        except Exception as error:
            raise undecodable(error, path) from error
        return tuple(args), named

    def encode_result(self, value: Any) -> bytes:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_result`."""
        if self._result_message is not None:
            return decoded(self._result_message.write, value, "$", "yes")
        value = _outgoing(self._result, value, "$", "yes")
        message = Result()
        try:
            write(message.value, value)
            return message.SerializeToString()
        except Exception as error:
            raise unencodable(error, [("$", value)], _encode, "yes") from error

    def decode_result(self, body: bytes) -> Any:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_result`."""
        if self._result_message is not None:
            return decoded(self._result_message.read, body, "$", "yes")
        message = _parsed(Result, body)
        if message is None or not _is_one_field(body):
            raise invalid(
                "$",
                "not the bytes of a bee.v1.Result; if the method gives a message, call it through"
                " an interface that says of which class",
                "yes",
            )
        return decoded(lambda value: self._result.incoming(read(value)), message.value, "$", "yes")

    def _check(self, count: int, named: Collection[str]) -> None:
        """Compare a call with the signature by count and by name."""
        if (
            (count in self._counts)
            if not named
            else (not count and self._required <= set(named) <= self._names)
        ):
            return
        check_call(self._signature, count, named)


class _MessageMethod(_Method):
    """A method of one message.

    The message is sent bare. The method also takes it as an argument of a caller that has no
    interface.
    """

    __slots__ = ("_by_position", "_message", "_name", "_path")

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        (parameter,) = signature.params or ()
        self._message = MessageType(parameter.hint)
        self._name = parameter.name
        self._path = f"$.{parameter.name}"
        self._by_position = bool(by_position([parameter]))

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_args`."""
        self._check(len(args), kwargs)
        if not args and not kwargs:
            return super().encode_args(args, kwargs)  # the handler has a default
        value = args[0] if args else kwargs[self._name]
        return MESSAGE, decoded(self._message.write, value, self._path)

    def decode_args(self, form: Form, body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_args`."""
        if form != MESSAGE:
            return super().decode_args(form, body)
        message = decoded(self._message.read, body, self._path)
        return ((message,), {}) if self._by_position else ((), {self._name: message})


def _outgoing(type_: CarriedType, value: Any, path: str, executed: Executed = "no") -> Any:
    try:
        return type_.outgoing(value)
    except (msgspec.DecodeError, Misfit) as error:
        raise undecodable(error, path, executed) from error
    except Exception as error:
        raise unencodable(error, [(path, value)], _encode, executed) from error


def _parsed(cls: Any, body: bytes) -> Any:
    """A message of ``bee.v1``, or None for bytes of something else.

    Here an unknown field means other bytes, because these messages have got no new fields yet.
    """
    try:
        message = cls.FromString(body)
    except MemoryError:
        raise
    except Exception:
        return None
    return None if len(UnknownFieldSet(message)) else message


def _is_one_field(body: bytes) -> bool:
    """Whether a ``Result`` is its one field and nothing after it.

    Protobuf itself would merge what comes twice.
    """
    size = shift = 0
    for index, byte in enumerate(body[_TAG_SIZE : _TAG_SIZE + 10], _TAG_SIZE + 1):
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return index + size == len(body)
    return False


def _encode(value: Any) -> bytes:
    message = Value()
    write(message, value)
    return message.SerializeToString()


@hookimpl
def bee_register_codecs(registry: Registrar[Codec]) -> None:
    """Offer ``protobuf``."""
    registry.add("protobuf", ProtobufCodec)
