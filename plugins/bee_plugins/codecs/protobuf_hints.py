"""Types of parameters and results as the codec ``protobuf`` carries them.

Values are checked on the way out, and converted on the way in.
"""

from __future__ import annotations

import functools
import typing
from typing import TYPE_CHECKING, Any

import msgspec
from google.protobuf.message import Message

from .dataclass_defaults import completion
from .hint_translator import Translator
from .invalid_argument import Misfit
from .msgspec_hints import (
    UNIONS,
    check,
    exact_types,
    read_custom,
    refused,
    with_parts,
    without_alias,
)
from .protobuf_values import BYTES, plain
from .what_changes import Comparison

if TYPE_CHECKING:
    from bee_core.interfaces import Signature


class CarriedType:
    """One type, compiled. Immutable; for any thread.

    Args:
        hint: A resolved type hint.
        signature: The method, for the message.
        what: ``parameter order`` or ``result``, for the message.

    Raises:
        TypeError: It cannot be carried. The message names method, parameter and type.
    """

    __slots__ = ("_change", "_complete", "_convert", "_exact", "_hint", "_write")

    def __init__(self, hint: Any, signature: Signature, what: str) -> None:
        messages: dict[type, type] = {}
        try:
            translated, self._write = Translator({"builtin_types": BYTES}, check).translate(
                _with_stand_ins(hint, messages)
            )
            check(translated)
        except Exception as error:
            # A forward reference inside a record, a union that cannot be told apart.
            raise refused(hint, signature, what, error) from error
        self._change = Comparison().of(hint)
        self._hint = _with_messages(translated, messages) if messages else translated
        self._exact = exact_types(self._hint, text_keys=False)
        self._complete = completion(hint)
        self._convert = functools.partial(
            msgspec.convert, type=self._hint, builtin_types=BYTES, dec_hook=read_custom
        )

    def outgoing(self, value: Any) -> Any:
        """A value, ready to be written, after the check that the other side makes.

        Raises:
            msgspec.ValidationError: It does not fit.
            Misfit: It would arrive as something else.
            Exception: It holds what cannot be written.
        """
        if self._hint is Any or type(value) in self._exact:
            return value
        written = value if self._write is None else self._write(value)
        result = plain(written)
        # The reader of a custom type takes the tags out of its dicts, so it gets its own copy.
        arrived = self._convert(result if self._write is None else plain(written))
        change = self._change and self._change(value, arrived)
        if change:
            raise Misfit(*change)
        return result

    def incoming(self, value: Any) -> Any:
        """A value that was read, as the type wants it.

        Raises:
            msgspec.ValidationError: It does not fit.
            Exception: A record's own check.
        """
        if self._hint is Any or type(value) in self._exact:
            return value
        arrived = self._convert(value)
        if self._complete is not None:
            self._complete(arrived)
        return arrived


def is_message(hint: Any) -> bool:
    """Whether a hint is the class of one kind of message, which travels with nothing around it."""
    return (
        isinstance(hint, type)
        and issubclass(hint, Message)
        and getattr(hint, "DESCRIPTOR", None) is not None
    )


def _with_stand_ins(hint: Any, messages: dict[type, type]) -> Any:
    """The hint with a record of no fields for each message class, or for all those of a union.

    msgspec knows nothing of messages. Only outside of records: a record that holds a message is
    refused like one that holds any other class.

    Args:
        hint: A type hint.
        messages: Filled with the message class of each stand-in.

    Raises:
        TypeError: A message is in a union with something else.
    """
    hint = without_alias(hint)
    if isinstance(hint, type) and issubclass(hint, Message):
        return _stand_in(hint, messages)
    if typing.get_origin(hint) in UNIONS:
        args = typing.get_args(hint)
        classes = tuple(
            part for part in args if isinstance(part, type) and issubclass(part, Message)
        )
        others = tuple(part for part in args if part not in classes)
        if classes and any(part is not type(None) for part in others):
            raise TypeError("only messages and None can be in a union with a message")
        if classes:
            members = (_stand_in(_any_of(classes), messages), *others)
            return typing.Union[members]
    return with_parts(hint, lambda part: _with_stand_ins(part, messages))


def _stand_in(cls: type, messages: dict[type, type]) -> Any:
    stand_in = msgspec.defstruct(cls.__name__, [])
    messages[stand_in] = cls
    return stand_in


def _with_messages(hint: Any, messages: dict[type, type]) -> Any:
    """The inverse of :func:`_with_stand_ins`."""
    if isinstance(hint, type) and hint in messages:
        return messages[hint]
    return with_parts(hint, lambda part: _with_messages(part, messages))


def _any_of(classes: tuple[type, ...]) -> type:
    """One class for a union of messages, which msgspec would refuse.

    A message itself says of which class it is.
    """
    if len(classes) == 1:
        return classes[0]

    class _AnyOf(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, classes)

    return _AnyOf(" | ".join(cls.__name__ for cls in classes), (), {})
