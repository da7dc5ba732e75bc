"""Metadata: named texts and bytes that travel with a call, and with its answer."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from collections.abc import Iterator

Value = Union[str, bytes]
"""One value. What goes out as text comes in as text, and bytes come in as bytes."""
Metadata = Mapping[str, Value]
"""Values by name."""

NOTHING: Metadata = MappingProxyType({})
"""No metadata; shared, so that its absence costs nothing."""

MAX_NAME = 255
"""Bytes of a name in UTF-8."""
MAX_REPLY = 16 * 1024
"""Bytes of a reply's metadata: names and values, and four bytes for each pair.

It fits into the header of an error frame beside the longest message and traceback. What is larger
belongs into the result."""
_PAIR = 4


class ReplyMetadata(MutableMapping[str, Value]):
    """The metadata of an answer, as a handler writes it. Bounded by :data:`MAX_REPLY`.

    For the handler's thread or task; one that goes on after its deadline disturbs nobody.
    """

    __slots__ = ("_items", "_size")

    def __init__(self) -> None:
        self._items: dict[str, Value] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes that the values take."""
        return self._size

    def taken(self) -> Metadata:
        """The values of this moment; from any thread."""
        return self._items.copy()

    def __getitem__(self, name: str) -> Value:
        """The value of a name."""
        return self._items[name]

    def __setitem__(self, name: str, value: Value) -> None:
        """Send a value with the answer.

        Raises:
            TypeError: The name is not text, or the value is neither text nor bytes.
            ValueError: The name is empty or longer than 255 bytes, or all together would be larger
                than 16 KiB.
        """
        check_item("reply metadata", name, value)
        before = self._items.get(name)
        size = self._size + _size(name, value) - (0 if before is None else _size(name, before))
        if size > MAX_REPLY:
            raise ValueError(
                f"reply metadata would have {size} bytes with {name!r:.80}, at most {MAX_REPLY} are"
                " sent; return large values in the result"
            )
        self._items[name] = value
        self._size = size

    def __delitem__(self, name: str) -> None:
        """Take a value back."""
        self._size -= _size(name, self._items.pop(name))

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._items)

    def __len__(self) -> int:
        """How many values there are."""
        return len(self._items)

    def __repr__(self) -> str:
        """The names; values may be secrets."""
        return f"<reply metadata {sorted(self._items)}>"


def check_item(what: str, name: object, value: object) -> None:
    """Refuse what cannot be sent as one value.

    Raises:
        TypeError: The name is not text, or the value is neither text nor bytes.
        ValueError: The name is empty or longer than 255 bytes.
    """
    if not isinstance(name, str) or not isinstance(value, (str, bytes)):
        raise TypeError(
            f"{what} has text for a name and text or bytes for a value, not"
            f" {type(name).__name__} and {type(value).__name__}"
        )
    if not 0 < len(_raw(name)) <= MAX_NAME:
        raise ValueError(f"a name of {what} has 1 to {MAX_NAME} bytes, not {name!r:.80}")


def is_metadata(value: object) -> bool:
    """Whether it is a mapping of texts to texts and bytes."""
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(item, (str, bytes)) for name, item in value.items()
    )


def _size(name: str, value: Value) -> int:
    return _PAIR + len(_raw(name)) + len(_raw(value))


def _raw(value: Value) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "replace")
