"""Protobuf messages and their bytes, with checks that protobuf itself does not make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from .bee.v1.value_pb2 import Result
from .invalid_argument import Misfit
from .protobuf_maps import NumberedMaps

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT = 0
"""The wire type of an enum's number."""

NOT_UTF8 = "text that is not UTF-8"


class MessageType:
    """A message class, prepared to be read and written. Immutable; for any thread.

    Unknown fields are no error: protobuf keeps them, so that old and new programs understand each
    other. Three things are errors:

    - A declared field has another shape on the wire. The bytes are of another message.
    - A number is not in a closed enum (proto2). Protobuf would read it as the default.
    - Text is not UTF-8 (proto2). Protobuf finds that only when somebody looks at the text.
    """

    __slots__ = ("_declared", "_lenient", "_maps", "cls", "name")

    def __init__(self, cls: type[Message]) -> None:
        self.cls = cls
        self.name: str = cls.DESCRIPTOR.full_name
        self._declared = cls.DESCRIPTOR.fields_by_number
        self._lenient = _is_lenient(cls.DESCRIPTOR, set())
        self._maps = NumberedMaps(cls.DESCRIPTOR)

    def read(self, body: bytes) -> Message:
        """The message in a body.

        Raises:
            Misfit: It is of another type, cut short, not UTF-8 or nested too deeply; it has a
                number that a closed enum does not know, or lacks a required field; or the
                keys of a map would take too long.
        """
        try:
            self._maps.check(body)
            message = self.cls.FromString(body)
        except (MemoryError, Misfit):
            raise
        except Exception as error:
            raise Misfit(
                "",
                f"not the bytes of a {self.name}: of another type, cut short, with text that is not"
                " UTF-8, or nested more than 100 deep",
            ) from error
        unknown = UnknownFieldSet(message)
        if (
            len(unknown) == 1
            and unknown[0].field_number == Result.VALUE_FIELD_NUMBER not in self._declared
        ):
            raise Misfit(
                "",
                f"a plain value (bee.v1.Result) instead of a {self.name}: the other side has no"
                " such type for its result",
            )
        for path, problem in (
            _misread_deeply(message, "") if self._lenient else _misread(message, unknown, "")
        ):
            raise Misfit(path, problem)
        if not message.IsInitialized():
            raise Misfit(*missing(message))
        return message

    def write(self, message: Any) -> bytes:
        """The bytes of a message.

        Raises:
            Misfit: It is of another class, lacks a required field, or has text that is not Unicode.
        """
        if not isinstance(message, self.cls):
            raise Misfit("", f"expected {self.cls.__name__}, got {type(message).__name__}")
        try:
            return message.SerializeToString()
        except MemoryError:
            raise
        except Exception as error:
            if not message.IsInitialized():
                raise Misfit(*missing(message)) from error
            raise Misfit("", f"a {self.name} that cannot be written: {error}") from error


def missing(message: Message) -> tuple[str, str]:
    """Path and text about the first required field that a message lacks."""
    known: Any = message
    path = next(iter(known.FindInitializationErrors()), "")
    return f".{path}", f"required in a {message.DESCRIPTOR.full_name}, and missing"


def _misread(message: Message, unknown: Any, path: str) -> Iterator[tuple[str, str]]:
    """The fields of a message that came in another shape than declared, each with the problem."""
    declared = message.DESCRIPTOR.fields_by_number
    for field in unknown:
        expected: Any = declared.get(field.field_number)
        if expected is None:
            continue
        enum = expected.enum_type
        if enum is not None and enum.is_closed and field.wire_type == VARINT:
            problem = f"{field.data} is not in the enum {enum.full_name}"
        else:
            problem = (
                f"not as a {message.DESCRIPTOR.full_name} has it on the wire: these are the bytes"
                " of another message"
            )
        yield f"{path}.{expected.name}", problem


def _misread_deeply(message: Message, path: str) -> Iterator[tuple[str, str]]:
    """The same for a message and everything inside it, and all text that is not UTF-8."""
    yield from _misread(message, UnknownFieldSet(message), path)
    for field in message.DESCRIPTOR.fields:
        here = f"{path}.{field.name}"
        try:
            parts = list(_parts(message, field, here))
        except UnicodeError:  # the keys of a map
            yield here, NOT_UTF8
            continue
        for inner, part in parts:
            if isinstance(part, Message):
                yield from _misread_deeply(part, inner)
            elif isinstance(part, bytes):  # protobuf gives bytes for text that is not UTF-8
                yield inner, NOT_UTF8


def _parts(message: Message, field: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The messages and the texts in a field, with their paths."""
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields_by_name
        for key, item in value.items():
            if entry["key"].type == field.TYPE_STRING:
                yield path, key
            if entry["value"].type in {field.TYPE_STRING, field.TYPE_MESSAGE}:
                yield f"{path}[{key!r}]", item
    elif field.message_type is None and field.type != field.TYPE_STRING:
        return
    elif isinstance(value, (str, bytes)) or (
        isinstance(value, Message) and message.HasField(field.name)
    ):
        yield path, value
    elif not isinstance(value, Message):
        yield from ((f"{path}[{index}]", item) for index, item in enumerate(value))


def _is_lenient(descriptor: Any, seen: set[str]) -> bool:
    """Whether protobuf makes too few checks in a message or in one inside it.

    It does for numbers of closed enums and for text. Only then everything must be looked at.
    """
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    for field in descriptor.fields:
        if (field.enum_type is not None and field.enum_type.is_closed) or (
            field.type == field.TYPE_STRING and _takes_any_bytes(descriptor, field.number)
        ):
            return True
        if field.message_type is not None and _is_lenient(field.message_type, seen):
            return True
    return False


def _takes_any_bytes(descriptor: Any, number: int) -> bool:
    """Whether a field of text may hold other bytes.

    It is tried out, because descriptors say it differently from release to release.
    """
    tag = number << 3 | 2
    body = bytearray()
    while tag > 127:
        body.append(tag & 127 | 128)
        tag >>= 7
    try:
        GetMessageClass(descriptor).FromString(bytes([*body, tag, 1, 0xFF]))
    except Exception:
        return False
    return True
