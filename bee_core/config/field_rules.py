"""What the fields of the configuration classes say about themselves, and which of their values are impossible.

The reference page is generated from these remarks, so a default and its reason stand in one place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs

from ..terms.addresses import parse
from ..terms.versions import Range, parse_version
from .scalars import MisfitError

if TYPE_CHECKING:
    from collections.abc import Callable

    Validator = Callable[[Any, attrs.Attribute[Any], Any], None]


@attrs.frozen
class About:
    """Remarks on a field.

    Attributes:
        doc: What it does.
        why: Why its default is what it is, with the precedent. Empty for a field that has none.
        unit: ``seconds``, ``bytes`` or empty.
        key: Where it is written, from the section that holds it; empty for the field's own name, ``-`` for a field that is not written at all.
        aliases: Other spellings of the key.
    """

    doc: str
    why: str = ""
    unit: str = ""
    key: str = ""
    aliases: tuple[str, ...] = ()


NOT_WRITTEN = "-"
_METADATA_KEY = "bee"


def about(
    doc: str, why: str = "", *, unit: str = "", key: str = "", aliases: tuple[str, ...] = ()
) -> dict[str, About]:
    """Remarks as the ``metadata`` of an attrs field."""
    return {_METADATA_KEY: About(doc, why, unit, key, aliases)}


def remarks(attribute: attrs.Attribute[Any]) -> About:
    """The remarks on a field; empty ones for a field of a class that has none, such as a plugin's options."""
    found = attribute.metadata.get(_METADATA_KEY)
    return found if isinstance(found, About) else About("")


def written_at(attribute: attrs.Attribute[Any]) -> str:
    """The key under which a field is written, dotted from its section."""
    return remarks(attribute).key or attribute.name


def keys_of(cls: type) -> tuple[str, ...]:
    """All keys that a section may have, with their other spellings."""
    keys: list[str] = []
    for attribute in attrs.fields(cls):
        key = written_at(attribute)
        if attribute.init and key != NOT_WRITTEN and "." not in key:
            keys += [key, *remarks(attribute).aliases]
    return tuple(keys)


def _optional(check: Callable[[Any], str]) -> Validator:
    """A validator from a function that says what would have been right when a value is wrong; None always passes."""

    def validate(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is None:
            return
        try:
            expected = check(value)
        except ValueError as error:
            raise MisfitError(str(error), value=value, expected="something else") from None
        except TypeError:
            raise MisfitError(
                f"{attribute.name} cannot be {value!r}",
                value=value,
                expected="a value of the right type",
            ) from None
        if expected:
            raise MisfitError(
                f"{value!r} is impossible here; write {expected}", value=value, expected=expected
            )

    return validate


def at_least(minimum: int) -> Validator:
    """Not below ``minimum``, and finite."""
    return _optional(
        lambda value: "" if value >= minimum and math.isfinite(value) else f"{minimum} or more"
    )


def between(minimum: int, maximum: int, words: str) -> Validator:
    """From ``minimum`` to ``maximum``, which ``words`` say for people."""
    return _optional(lambda value: "" if minimum <= value <= maximum else words)


positive = _optional(lambda value: "" if value > 0 and math.isfinite(value) else "more than 0")
some_text = _optional(lambda value: "" if value.strip() else "a text that is not empty")


def _is_version(value: str) -> str:
    parse_version(value)
    return ""


def _is_range(value: str) -> str:
    Range.parse(value)
    return ""


def _can_be_dialled(value: str) -> str:
    return (
        ""
        if parse(value).port != 0
        else "the port that the server listens on; 0 is for servers alone"
    )


def _is_not_wildcard(value: str) -> str:
    return (
        "an address that clients can reach; this one means every interface of the server"
        if parse(value).is_wildcard
        else ""
    )


version = _optional(_is_version)
version_range = _optional(_is_range)
dialled = _optional(_can_be_dialled)
not_wildcard = _optional(_is_not_wildcard)
some = _optional(lambda value: "" if value else "at least one")


def names_not_empty(_: Any, __: attrs.Attribute[Any], value: Any) -> None:
    """Every key and, in a set, every entry has at least one character."""
    if any(not name.strip() for name in value):
        raise MisfitError(
            "one of the names is empty", value=list(value), expected="names that are not empty"
        )


def canonical_url(text: str) -> str:
    """The canonical form of a url; raises ValueError for what is none."""
    return parse(text).url


def canonical_urls(texts: Any) -> tuple[str, ...]:
    """The canonical form of urls."""
    return tuple(parse(text).url for text in texts)
