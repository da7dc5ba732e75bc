"""What a codec and a compressor implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..methods.signatures import Signature
    from ..terms.request import Form


class MethodCodec(Protocol):
    """A codec bound to one method. Built once, called for every call, from any thread."""

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
        """Turn a call's arguments into a form and a body.

        Raises:
            InvalidArgument: They do not fit the signature, or cannot be encoded. ``path`` says
                where.
        """

    def decode_args(self, form: Form, body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The inverse, at the server: validated and converted to the types of the signature.

        Raises:
            InvalidArgument: They do not fit the signature, or the body is not of this codec. No
                bytes raise another exception.
        """

    def encode_result(self, value: Any) -> bytes:
        """Turn a handler's result into a body.

        Raises:
            InvalidArgument: It does not fit the signature's result type, or cannot be encoded.
        """

    def decode_result(self, body: bytes) -> Any:
        """The inverse, at the client.

        Raises:
            InvalidArgument: It does not fit the result type. No bytes raise another exception.
        """


class Codec(Protocol):
    """Turns arguments and results into bytes.

    One object a client or server; the factory gets the options.

    A codec may also define ``json_schemas(hints)``, which says what values look like as JSON. It
    returns a list of JSON Schemas (2020-12) in the order of the hints, ``{}`` for what it cannot
    tell, and a dict of schemas by name, to which they refer as ``#/types/<name>``. Without it the
    descriptions of a server have the names of types only.
    """

    def bind(self, signature: Signature) -> MethodCodec:
        """Prepare one method: compile what can be compiled.

        A signature whose parameters are not known (``params is None``) takes anything.

        Raises:
            TypeError: The signature has a type that this codec cannot carry; the message names it.
        """


class Compressor(Protocol):
    """Makes bodies smaller. Thread-safe, stateless. The factory gets the options."""

    def compress(self, body: bytes) -> bytes:
        """The whole body, compressed."""

    def decompress(self, body: bytes, limit: int) -> bytes:
        """The inverse, bounded while it inflates.

        Raises:
            MessageTooLarge: The result would be longer than ``limit`` bytes. No more than about
                ``limit`` bytes were allocated.
            ProtocolError: The bytes are not of this format, or are cut short.
        """
