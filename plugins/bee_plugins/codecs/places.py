"""Places in a type hint where msgspec cannot read the value by itself, and bee does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .invalid import Misfit, located

if TYPE_CHECKING:
    from collections.abc import Callable


class Place(type):
    """The type of classes that stand in a hint for what msgspec does not know. They are filled after they were made, since a type may hold itself.

    Attributes:
        read: Makes the value of what a decoder found: None, bool, int, float, str, bytes, datetime, list or dict. Raises what msgspec and a record's own check raise.
        write: Brings a value into the shape in which it is encoded. What does not fit passes through.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]

    def __instancecheck__(cls, value: object) -> bool:
        """Whatever ``read`` gave is right: msgspec asks."""
        return True


def read_place(place: Any, value: Any) -> Any:
    """The ``dec_hook`` of decoders whose hints have places. Other classes, of which only ``object`` comes here, take the value as it is.

    Raises:
        Misfit: The value does not fit. msgspec makes a ``ValidationError`` of it that adds the path down to the value.
    """
    if not isinstance(place, Place):
        return value
    try:
        return place.read(value)
    except msgspec.ValidationError as error:
        raise Misfit(*located(error)) from error
