"""Types of parameters and results as the codec ``protobuf`` carries them: checked on the way out, converted on the way in."""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any

import msgspec
from google.protobuf.message import Message

from .hints import check, exact_types, refused, without_alias
from .places import read_place
from .protobuf_values import BYTES, plain
from .translator import Translator

if TYPE_CHECKING:
    from bee_core.interfaces import Signature

_UNIONS = (typing.Union, types.UnionType)
_ANY_KEYS = (dict, dict[Any, Any], typing.Dict)  # noqa: UP006


class CarriedType:
    """One type, compiled. Immutable; for any thread.

    Args:
        hint: A resolved type hint.
        signature: The method, for the message.
        what: ``parameter order`` or ``result``, for the message.

    Raises:
        TypeError: It cannot be carried. The message names method, parameter and type.
    """

    __slots__ = ("_exact", "_hint", "_write")

    def __init__(self, hint: Any, signature: Signature, what: str) -> None:
        places: dict[type, type] = {}
        try:
            translated, self._write = Translator({"builtin_types": BYTES}, check).translate(
                _with_places(hint, places)
            )
            check(translated)
        except (
            Exception
        ) as error:  # a forward reference inside a record, a union that cannot be told apart
            raise refused(hint, signature, what, error) from error
        if places:
            translated = _with_messages(translated, places)
        self._hint = translated
        self._exact = _exact(translated)

    def outgoing(self, value: Any) -> Any:
        """A value, ready to be written, after it was looked at with the eyes of the other side.

        Raises:
            msgspec.ValidationError: It does not fit.
            Exception: It holds what cannot be written.
        """
        if self._hint is Any or type(value) in self._exact:
            return value
        if self._write is not None:
            value = self._write(value)
        result = plain(value)
        # Who reads a place takes the tags out of the dicts that it is given.
        msgspec.convert(
            result if self._write is None else plain(value),
            self._hint,
            builtin_types=BYTES,
            dec_hook=read_place,
        )
        return result

    def incoming(self, value: Any) -> Any:
        """A value that was read, as the type wants it.

        Raises:
            msgspec.ValidationError: It does not fit.
            Exception: A record's own check.
        """
        if self._hint is Any or type(value) in self._exact:
            return value
        return msgspec.convert(value, self._hint, builtin_types=BYTES, dec_hook=read_place)


def is_message(hint: Any) -> bool:
    """Whether a hint is the class of one kind of message: such a value travels with nothing around it."""
    return (
        isinstance(hint, type)
        and issubclass(hint, Message)
        and getattr(hint, "DESCRIPTOR", None) is not None
    )


def _exact(hint: Any) -> frozenset[type]:
    """The classes whose own instances always fit. A dict only where its keys may be anything: here keys keep their types."""
    exact = exact_types(hint)
    return exact if hint in _ANY_KEYS else exact - {dict}


def _with_places(hint: Any, places: dict[type, type]) -> Any:
    """The hint with a record of no fields in the place of each message class, or of all those in a union: msgspec knows nothing of messages.

    Only outside of records: a record that holds a message is refused as one that holds any other class.

    Raises:
        TypeError: A message is in a union with something else.
    """
    hint = without_alias(hint)
    if isinstance(hint, type) and issubclass(hint, Message):
        return _place(hint, places)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        parts = (_with_places(args[0], places), *args[1:])
        return typing.Annotated[parts]
    if origin in _UNIONS:
        messages = tuple(
            part for part in args if isinstance(part, type) and issubclass(part, Message)
        )
        others = tuple(_with_places(part, places) for part in args if part not in messages)
        if messages and any(part is not type(None) for part in others):
            raise TypeError("only messages and None can be in a union with a message")
        if messages:
            members = (_place(_any_of(messages), places), *others)
            return typing.Union[members]
        return hint if others == args else typing.Union[others]
    if origin is None or not args or origin is typing.Literal:
        return hint
    replaced = tuple(_with_places(part, places) for part in args)
    return hint if replaced == args else origin[replaced]


def _place(cls: type, places: dict[type, type]) -> Any:
    place = msgspec.defstruct(cls.__name__, [])
    places[place] = cls
    return place


def _with_messages(hint: Any, places: dict[type, type]) -> Any:
    """The inverse of :func:`_with_places`."""
    if isinstance(hint, type) and hint in places:
        return places[hint]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is None or not args or origin is typing.Literal:
        return hint
    if origin is typing.Annotated:
        parts = (_with_messages(args[0], places), *args[1:])
        return typing.Annotated[parts]
    replaced = tuple(_with_messages(part, places) for part in args)
    return typing.Union[replaced] if origin in _UNIONS else origin[replaced]


def _any_of(classes: tuple[type, ...]) -> type:
    """One class for a union of messages, which msgspec would refuse: a message says itself of which class it is."""
    if len(classes) == 1:
        return classes[0]

    class _AnyOf(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, classes)

    return _AnyOf(" | ".join(cls.__name__ for cls in classes), (), {})
