"""A format in which msgspec writes and reads, as a method codec needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from . import hints
from .places import read_place
from .translator import Translator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bee_core.errors import Executed
    from bee_core.interfaces import Signature

    Decode = Callable[[Any], Any]
    Write = Callable[[Any], Any]
    RefuseLoss = Callable[[Any, Iterable[tuple[str, Any]], Executed], None]


@attrs.frozen(eq=False)
class Format:
    """JSON or MessagePack. Immutable; for any thread.

    Attributes:
        name: The codec's name, for messages.
        encode: Writes a value.
        new_decoder: Makes the function that reads values of a type; takes ``dec_hook``.
        conversion: Options of ``msgspec.convert`` with which plain values of the format become typed ones.
        loss: Bytes that stand in a body where a value may have been lost.
        refuse_loss: Called with the value, its parts by path, and ``executed`` where they do: raises InvalidArgument where something was lost.
        text_keys: Whether it makes text of every key of a dict.
        split: By form of arguments: reads plain arguments.
        split_raw: By form of arguments: cuts them into undecoded pieces.
    """

    name: str
    encode: Callable[[Any], bytes]
    new_decoder: Callable[..., Decode]
    conversion: Mapping[str, Any]
    loss: bytes
    refuse_loss: RefuseLoss
    text_keys: bool
    split: tuple[Decode, ...] = attrs.field(init=False)
    split_raw: tuple[Decode, ...] = attrs.field(init=False)

    @split.default
    def _split(self) -> tuple[Decode, ...]:
        return self._splitters(Any)

    @split_raw.default
    def _split_raw(self) -> tuple[Decode, ...]:
        return self._splitters(msgspec.Raw)

    def _splitters(self, part: Any) -> tuple[Decode, ...]:
        return tuple(
            map(self.decoder, (list[part], dict[str, part], tuple[list[part], dict[str, part]]))
        )

    def decoder(self, hint: Any) -> Decode:
        """The function that reads values of a translated hint."""
        return self.new_decoder(hint, dec_hook=read_place)

    def carried(self, hint: Any, signature: Signature, what: str) -> tuple[Any, Write | None]:
        """The hint for :meth:`decoder`, and what values are put through before they are encoded, or None.

        Args:
            hint: A resolved type hint.
            signature: The method, for the message.
            what: ``parameter order`` or ``result``, for the message.

        Raises:
            TypeError: It holds a type that cannot be carried. The message names method, parameter and type.
        """
        try:
            translated, write = Translator(self.conversion, self._check).translate(hint)
            self._check(translated)
        except (
            Exception
        ) as error:  # a forward reference inside a record, a union that cannot be told apart
            raise hints.refused(hint, signature, what, error) from error
        return translated, write

    def _check(self, hint: Any) -> None:
        hints.check(hint, self.decoder)


def plain_subclass(value: Any) -> Any:
    """The ``enc_hook``: a subclass of text or of a number goes as what it is at heart; msgspec asks only about what it does not know.

    Raises:
        TypeError: It is something else.
    """
    for kind in (str, int, float):
        if isinstance(value, kind) and not isinstance(
            value, bool
        ):  # a bool comes here as a key only; it is no 1
            return getattr(kind, f"__{kind.__name__}__")(value)
    raise TypeError(f"a value of type {type(value).__qualname__} cannot be encoded")
