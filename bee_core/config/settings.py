"""What clients and servers share: the reference to a plugin, and the bounds of bodies."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  cattrs reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import attrs

from .field_rules import about, between, some_text
from .scalars import OPTIONS

if TYPE_CHECKING:
    from .field_rules import Validator


@attrs.frozen
class PluginRef:
    """A plugin as the configuration names it: ``key: name`` or ``key: {name: …, options: {…}}``.

    Attributes:
        name: The plugin's name, as it is written; aliases are the plugin hub's business.
        options: As they are written, for the plugin's own class to check. Not shown by ``repr``: they may hold secrets.
        path: The dotted key that names the plugin; empty for a default.
    """

    name: str = attrs.field(validator=some_text, metadata=about("The plugin's name."))
    options: Annotated[Mapping[str, Any], OPTIONS] = attrs.field(
        factory=dict, repr=False, metadata=about("The plugin's options; it checks them itself.")
    )
    path: str = attrs.field(default="", eq=False)


@attrs.frozen
class Bound:
    """A bound of bodies, in bytes, that both sides have."""

    default: int
    validator: Validator
    doc: str
    why: str


# A frame's length has 32 bits; a body of more than 1 GiB belongs into a stream or a store, not into one message.
_LARGEST = 1 << 30

MAX_SIZE = Bound(
    2 << 20,
    between(1 << 10, _LARGEST, "a size from 1k to 1g"),
    "A body above this is compressed; one that is still above is refused before anything is sent.",
    "2 MiB, as in the example configuration: more in one message holds up the others behind it.",
)
MAX_INFLATED = Bound(
    64 << 20,
    between(1 << 10, _LARGEST, "a size from 1k to 1g"),
    "What a compressed body may become; more is refused while it is inflated.",
    "32 times `max_size`: JSON shrinks to about a tenth, a gzip bomb to a thousandth.",
)
