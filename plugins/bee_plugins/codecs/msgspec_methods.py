"""Methods bound to a format of msgspec: what all have in common, and those without a signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bee_core.interfaces import MIXED, NAMED, POSITIONAL, Form, Signature

from .bounded_decoding import SMALL
from .invalid_argument import invalid, undecodable, unencodable
from .msgspec_hints import exact_types
from .parameters import PerParameter
from .what_changes import Comparison, refuse_change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .msgspec_format import Decode, Format


class Method:
    """The half of the result, and what both kinds of methods share."""

    __slots__ = (
        "_any_keys",
        "_any_result",
        "_changes",
        "_compares",
        "_decode_any_result",
        "_decode_small_result",
        "_decoders",
        "_encode",
        "_exact_results",
        "_format",
        "_is_plain",
        "_loss",
        "_result_change",
        "_signature",
        "_suspect",
        "_without_loss",
    )

    def __init__(
        self, format_: Format, signature: Signature, result: Any, hints: Mapping[str, Any]
    ) -> None:
        self._signature = signature
        self._format = format_
        self._encode = format_.encode
        self._loss = format_.loss
        self._is_plain = format_.is_plain
        self._any_result = result is Any
        self._exact_results = exact_types(result, format_.text_keys)
        self._decode_small_result, self._decode_any_result = format_.decoders(result)
        self._decoders = PerParameter(
            signature.params or (), {name: format_.decoder(hint) for name, hint in hints.items()}
        )
        comparison = Comparison()
        params = signature.params or ()
        changes = {part.name: comparison.of(part.hint) for part in params}
        self._changes = PerParameter(params, changes)
        self._compares = any(changes.values())
        self._result_change = comparison.of(signature.result)
        self._any_keys = comparison.has_any or signature.params is None
        looks = self._any_keys or comparison.has_moments
        self._without_loss = format_.without_loss if looks else None
        self._suspect = format_.loss if self._without_loss is None else format_.suspect

    def encode_result(self, value: Any) -> bytes:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_result`."""
        try:  # the hot path: what `_encoded_result` does, without the call
            body = self._encode(value)
        except Exception as error:
            raise unencodable(error, [("$", value)], self._encode, "yes") from error
        is_plain = self._is_plain
        if is_plain is not None and is_plain(value):
            if self._any_result or type(value) in self._exact_results:
                return body
        # `in` is slower: bytes try the right side as a number first, by an exception.
        elif self._any_result and body.find(self._loss) < 0 and body.find(self._suspect) < 0:
            return body
        return self._kept_result(value, value, body)

    def _encoded_result(self, value: Any, given: Any) -> bytes:
        """The body of a result.

        Args:
            value: The result, in the shape in which it is encoded.
            given: The result as the handler gave it.
        """
        try:
            body = self._encode(value)
        except Exception as error:
            raise unencodable(error, [("$", given)], self._encode, "yes") from error
        return self._kept_result(value, given, body)

    def _kept_result(self, value: Any, given: Any, body: bytes) -> bytes:
        """The body in which nothing is lost; or a result of which something would be, refused."""
        if value is not None and body.find(self._loss) >= 0:
            self._format.refuse_loss(value, [("$", given)], "yes")
        if self._without_loss is not None and body.find(self._suspect) >= 0:
            body = self._without_loss(
                value, body, lambda: [("$", given)], "yes", any_keys=self._any_keys
            )
        if not self._any_result and type(given) not in self._exact_results:
            arrived = self.decode_result(body)
            refuse_change(self._result_change, given, arrived, "$", "yes")
        return body

    def decode_result(self, body: bytes) -> Any:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_result`."""
        try:
            if len(body) < SMALL:
                return self._decode_small_result(body)
            return self._decode_any_result(body)
        except Exception as error:
            raise undecodable(error, "$", "yes") from error

    def _written(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """The bytes of arguments that are laid out as ``value``."""
        try:
            body = self._encode(value)
        except Exception as error:
            raise unencodable(error, self._decoders.labelled(args, kwargs), self._encode) from error
        if self._loss in body or self._suspect in body:
            return self._kept(value, body, args, kwargs)
        return body

    def _kept(
        self, value: Any, body: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes:
        """The body in which nothing is lost; or arguments of which something would be, refused."""
        if body.find(self._loss) >= 0:
            self._format.refuse_loss(value, self._decoders.labelled(args, kwargs), "no")
        if self._without_loss is None or body.find(self._suspect) < 0:
            return body
        return self._without_loss(
            value,
            body,
            lambda: self._decoders.labelled(args, kwargs),
            "no",
            any_keys=self._any_keys,
        )

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


class DynamicMethod(Method):
    """A method of which only the name is known: it takes whatever the format holds."""

    __slots__ = ()

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
        """See :meth:`bee_core.interfaces.MethodCodec.encode_args`."""
        if not kwargs:
            try:  # the hot path: what `_written` does, without the call
                body = self._encode(args)
            except Exception as error:
                named = self._decoders.labelled(args, kwargs)
                raise unencodable(error, named, self._encode) from error
            is_plain = self._is_plain
            if (is_plain is None or not is_plain(args)) and (
                body.find(self._loss) >= 0 or body.find(self._suspect) >= 0
            ):
                body = self._kept(args, body, args, kwargs)
            return POSITIONAL, body
        if not args:
            return NAMED, self._written(kwargs, args, kwargs)
        return MIXED, self._written((args, kwargs), args, kwargs)

    def decode_args(self, form: Form, body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_args`."""
        return self._split(form, body, self._format.split)
