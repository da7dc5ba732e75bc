"""A format that msgspec writes and reads, as the methods of a codec need it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from .hint_translator import Translator
from .msgspec_hints import check, read_custom, refused
from .plain_classes import plain_value
from .pydantic_models import dumped, is_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bee_core.errors import Executed
    from bee_core.interfaces import Signature

    from .record_structs import Write

    Decode = Callable[[Any], Any]
    WithoutLoss = Callable[..., bytes]
    RefuseLoss = Callable[[Any, Iterable[tuple[str, Any]], Executed], None]


@attrs.frozen(eq=False)
class Format:
    """JSON or MessagePack. Immutable; for any thread.

    Attributes:
        name: The codec's name, for messages.
        encode: Writes a value.
        new_decoder: Makes the function that reads values of a type; takes ``dec_hook``.
        conversion: Options of ``msgspec.convert`` that make typed values of the format's plain
            values.
        loss: Bytes that are in every body in which a value was lost.
        refuse_loss: Called for a body that has these bytes, with the value, its parts by path, and
            ``executed``. Raises InvalidArgument if something was lost.
        text_keys: Whether the format makes text of every key of a dict.
        bounded: Puts a check in front of a decoder: see :mod:`~.bounded_decoding`.
        without_loss: Makes the body anew, or refuses the value, if its plain values or its moments
            lost something else; see :func:`.json_losses.without_loss`.
        suspect: Bytes that are in every body that ``without_loss`` has to see.
        is_plain: Says of nearly every value that neither ``refuse_loss`` nor ``without_loss`` has
            to see it, for less than it costs to look for those bytes; None where nobody can.
        split: By form of arguments: reads plain arguments.
        split_raw: By form of arguments: cuts the body into undecoded pieces.
    """

    name: str
    encode: Callable[[Any], bytes]
    new_decoder: Callable[..., Decode]
    conversion: Mapping[str, Any]
    loss: bytes
    refuse_loss: RefuseLoss
    text_keys: bool
    bounded: Callable[[Any, Decode, Callable[..., Any]], Decode]
    without_loss: WithoutLoss | None = None
    suspect: bytes = b""
    is_plain: Callable[[Any], bool] | None = None
    split: tuple[Decode, ...] = attrs.field(
        init=False, default=attrs.Factory(lambda self: self.splitters(Any), takes_self=True)
    )
    split_raw: tuple[Decode, ...] = attrs.field(
        init=False, default=attrs.Factory(lambda self: self.splitters(msgspec.Raw), takes_self=True)
    )

    def splitters(self, part: Any) -> tuple[Decode, ...]:
        """By form of arguments: reads a body into arguments of one type."""
        return tuple(
            map(self.decoder, (list[part], dict[str, part], tuple[list[part], dict[str, part]]))
        )

    def decoder(self, hint: Any) -> Decode:
        """The function that reads values of a translated hint."""
        return self.decoders(hint)[1]

    def decoders(self, hint: Any) -> tuple[Decode, Decode]:
        """As :meth:`decoder`: one for bodies below ``SMALL`` bytes, and one for any body."""
        convert = functools.partial(msgspec.convert, dec_hook=read_custom, **self.conversion)
        plain = self.new_decoder(hint, dec_hook=read_custom)
        return plain, self.bounded(hint, plain, convert)

    def carried(self, hint: Any, signature: Signature, what: str) -> tuple[Any, Write | None]:
        """The hint for :meth:`decoder`, and the function for values before they are encoded.

        The function is None if values need none.

        Args:
            hint: A resolved type hint.
            signature: The method, for the message.
            what: ``parameter order`` or ``result``, for the message.

        Raises:
            TypeError: It holds a type that cannot be carried. The message names method, parameter
                and type.
        """
        try:
            translated, write = Translator(self.conversion, self._check).translate(hint)
            self._check(translated)
        except Exception as error:
            # A forward reference inside a record, a union that cannot be told apart.
            raise refused(hint, signature, what, error) from error
        return translated, write

    def _check(self, hint: Any) -> None:
        check(hint, self.decoder)


def plain_subclass(value: Any) -> Any:
    """The ``enc_hook``: what carries a value of a class that msgspec does not know.

    A subclass of text or of a number goes as its base class. msgspec asks only about what it does
    not know.

    Raises:
        TypeError: It is something else.
        ValueError: It is a model of pydantic that holds what has no JSON form.
    """
    for kind in (str, int, float):
        # A bool comes here only as a key. It is not the number 1.
        if isinstance(value, kind) and not isinstance(value, bool):
            return getattr(kind, f"__{kind.__name__}__")(value)
    plain = plain_value(value)
    if plain is not None:
        return plain
    if is_model(type(value)):
        return dumped(value)
    raise TypeError(f"a value of type {type(value).__qualname__} cannot be encoded")
