"""The codecs on msgspec: what lies in a body, how it is checked, and what is wrong.

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

from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from .dataclass_defaults import completing
from .msgspec_methods import DynamicMethod
from .msgspec_typed_methods import RewritingMethod, TypedMethod
from .parameters import ANYTHING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bee_core.interfaces import MethodCodec, Signature

    from .msgspec_format import Format


class MsgspecCodec:
    """A codec in one of the formats. Stateless, so one object serves all methods and threads."""

    format: ClassVar[Format]

    def bind(self, signature: Signature) -> MethodCodec:
        """Compile a method's decoders.

        Raises:
            TypeError: The signature has a type that cannot be carried. The message names method,
                parameter and type.
        """
        result, write_result = self.format.carried(signature.result, signature, "result")
        if signature.params is None:
            if write_result is None:
                dynamic = DynamicMethod(self.format, signature, result, {})
                return completing(dynamic, signature)
            signature = attrs.evolve(signature, params=ANYTHING)
        carried = {
            parameter.name: self.format.carried(
                parameter.hint, signature, f"parameter {parameter.name}"
            )
            for parameter in signature.params or ()
        }
        hints = {name: hint for name, (hint, _) in carried.items()}
        writes = {name: write for name, (_, write) in carried.items() if write is not None}
        if writes or write_result is not None:
            typed: TypedMethod = RewritingMethod(
                self.format, signature, result, hints, writes, write_result
            )
        else:
            typed = TypedMethod(self.format, signature, result, hints)
        return completing(typed, signature)

    def json_schemas(
        self, hints: Iterable[Any]
    ) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
        """See :class:`bee_core.interfaces.Codec`."""
        from .json_schemas import json_schemas  # loaded when a service is described

        return json_schemas(hints)
