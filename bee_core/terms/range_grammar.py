"""Reading the text of a version range into comparisons: npm's grammar, plus the comma as *and*.

A range is alternatives joined by ``||``. An alternative is parts joined by commas. A part is words
joined by spaces, or one hyphen range. A word is a comparison, an x-range, a tilde or a caret. Each
word becomes at most two comparisons with a whole version: ``^1.2`` is ``>=1.2.0 <2.0.0-0``.

The table of forms is in :mod:`bee_core.terms.versions`, which the rest of bee uses.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_LENGTH = 256
"""Characters that a version or a range may have; npm's bound for versions."""
MAX_NUMBER = 2**53 - 1
"""The largest number in a version: npm's, since its numbers are doubles."""

Operator = Literal["", "<", "<=", ">", ">="]
Key = tuple[int, int, int, tuple[object, ...]]

# Every expression here is tried on at most MAX_LENGTH characters, and none repeats a group that can
# match the same text in two ways.
NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = rf"(?:[0-9]*[A-Za-z-][0-9A-Za-z-]*|{NUMBER})"
PRERELEASE = rf"(?:-(?P<pre>{_IDENTIFIER}(?:\.{_IDENTIFIER})*))"
BUILD = r"(?:\+(?P<build>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))"
_WILD = rf"(?:{NUMBER}|[xX*])"
_PARTIAL = rf"(?P<major>{_WILD})(?:\.(?P<minor>{_WILD})(?:\.(?P<patch>{_WILD}){PRERELEASE}?)?)?"

_COMPARISON = re.compile(
    rf"(?P<op>[<>]?=?)v?(?P<major>{NUMBER})\.(?P<minor>{NUMBER})\.(?P<patch>{NUMBER})"
    rf"{PRERELEASE}?{BUILD}?"
)
_X_RANGE = re.compile(rf"(?P<op>[<>]?=?)[v=]*{_PARTIAL}")
_TILDE_OR_CARET = re.compile(rf"(?P<op>~>?|\^)[v=]*{_PARTIAL}")
_HYPHEN_END = re.compile(rf"[v= ]*{_PARTIAL}")
_BUILD = re.compile(BUILD)
_STAR = re.compile(r"[<>]?=?\*")
# A sign, the space behind it, and then to the end of the version, so that a "v" or "=" is never
# taken from the version before.
_SPACE_AFTER_COMPARISON = re.compile(r"( ?[<>]?=?) ?([v= ]*[0-9xX*][0-9A-Za-z.*-]*)")
_SPACE_AFTER_TILDE = re.compile(r"~>? ")
_SPACE_AFTER_CARET = re.compile(r"\^ ")

# The white space of JavaScript, which differs from Python's in rare characters.
_SPACES = re.compile("[\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]+")

_LEADING_ZERO = re.compile(r"(?:^|[^0-9A-Za-z-])0[0-9]")
_JOINED_PRERELEASE = re.compile(r"[0-9]\.?(?:a|alpha|b|beta|c|rc|dev|post|pre)\.?[0-9]*$")

_COMPARE: dict[Operator, Callable[[Key, Key], bool]] = {
    "": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPERATORS: dict[str, Operator] = {"": "", "=": "", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def order_key(major: int, minor: int, patch: int, prerelease: str | None) -> Key:
    """A key to sort versions by, in the order of semver.org.

    Pre-releases come before their release. In them numbers go by value and come before words.
    """
    if not prerelease:
        return major, minor, patch, (1,)
    return (
        major,
        minor,
        patch,
        (0, *((0, int(part)) if part.isdecimal() else (1, part) for part in prerelease.split("."))),
    )


def _within_bounds(_: object, __: object, number: int) -> None:
    if number > MAX_NUMBER:
        raise ValueError(f"{number} is too large for a version: at most {MAX_NUMBER}")


@attrs.frozen
class Comparator:
    """One comparison with a whole version; ``operator`` is empty for *is*.

    Raises:
        ValueError: A number is over :data:`MAX_NUMBER`.
    """

    operator: Operator
    major: int = attrs.field(validator=_within_bounds)
    minor: int = attrs.field(validator=_within_bounds)
    patch: int = attrs.field(validator=_within_bounds)
    prerelease: str | None = None
    _key: Key = attrs.field(
        init=False,
        eq=False,
        repr=False,
        default=attrs.Factory(
            lambda self: order_key(self.major, self.minor, self.patch, self.prerelease),
            takes_self=True,
        ),
    )

    def __str__(self) -> str:
        """As npm writes it: ``>=1.2.3-rc.1``."""
        prerelease = f"-{self.prerelease}" if self.prerelease else ""
        return f"{self.operator}{self.major}.{self.minor}.{self.patch}{prerelease}"

    def admits(self, key: Key) -> bool:
        """Whether a version with this :func:`order_key` passes, by its place in the order alone."""
        return _COMPARE[self.operator](key, self._key)

    def names_prerelease_of(self, key: Key) -> bool:
        """Whether this comparison asks for pre-releases of that very major.minor.patch."""
        return self.prerelease is not None and self._key[:3] == key[:3]


Alternatives = tuple[tuple[Comparator, ...], ...]
"""One of which must hold; each is comparisons that must all hold.

An empty one holds for every release.
"""

_NOTHING = Comparator("<", 0, 0, 0, "0")
"""Below the lowest version there is. What ``>*`` means."""


def read_range(text: str) -> Alternatives:
    """Read a range.

    Args:
        text: As written; empty means any.

    Raises:
        ValueError: It cannot be read; the message quotes the part that is at fault and says what
            would be right.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(
            f"the version range {text[:40]!r}… cannot be read: it has {len(text)} characters, "
            f"at most {MAX_LENGTH} are allowed"
        )
    alternatives = [
        _conjunction(alternative, text) for alternative in single_spaces(text).split("||")
    ]
    satisfiable = [
        comparators for comparators in alternatives if comparators != (_NOTHING,)
    ] or alternatives[:1]
    # npm takes "* || 1.0.0-a" for "*", which has no pre-release in it.
    return ((),) if () in satisfiable else tuple(satisfiable)


def single_spaces(text: str) -> str:
    """The text with each run of white space as one space, and none at the ends."""
    return _SPACES.sub(" ", text).strip(" ")


def advice(text: str, otherwise: str) -> str:
    """What is probably wrong with a text that is not of the grammar."""
    if "!" in text:
        return "there is no 'not'; join the ranges on both sides by '||'"
    if "==" in text:
        return "write = once, or the version alone"
    return version_advice(text, otherwise)


def version_advice(text: str, otherwise: str) -> str:
    """The same for a single version."""
    if _LEADING_ZERO.search(text):
        return "a number has no leading zero"
    if _JOINED_PRERELEASE.search(text):
        return "a pre-release stands behind a hyphen, 1.2.3-rc.1"
    return otherwise


def _conjunction(alternative: str, whole: str) -> tuple[Comparator, ...]:
    """The comparisons of one side of ``||``, each once."""
    parts = alternative.split(",")
    if len(parts) > 1 and not all(part.strip(" ") for part in parts):
        raise ValueError(
            f"{alternative.strip(' ')!r} in the version range {whole!r} has a comma with "
            "nothing beside it: write >=1.0, <2"
        )
    found = dict.fromkeys(
        comparator
        for part in parts
        for word in _words(part)
        for comparator in _read_word(word, whole)
    )
    return (_NOTHING,) if _NOTHING in found else tuple(found)


def _read_word(word: str, whole: str) -> list[Comparator]:
    try:
        return list(_comparators(word))
    except ValueError as error:
        raise ValueError(
            f"{word!r} in the version range {whole!r} cannot be read: {error}"
        ) from None


def _words(part: str) -> list[str]:
    """The words of one part.

    Before the split, build metadata is dropped, a hyphen range becomes comparisons, and an operator
    is joined with the version behind it.
    """
    part = _hyphen_range(_BUILD.sub("", part.strip(" ")))
    part = _SPACE_AFTER_COMPARISON.sub(r"\1\2", part)
    part = _SPACE_AFTER_TILDE.sub("~", part)
    part = _SPACE_AFTER_CARET.sub("^", part)
    return [word for word in part.split(" ") if word]


def _hyphen_range(part: str) -> str:
    """``1.2 - 2.3`` as ``>=1.2.0 <2.4.0-0``; anything else as it is."""
    ends = part.split(" - ")
    if len(ends) != 2:
        return part
    low, high = (_HYPHEN_END.fullmatch(end) for end in (ends[0], ends[1].removesuffix(" ")))
    if low is None or high is None:
        return part
    major, minor, patch = _numbers(low)
    if major is None:
        lower = ""
    elif minor is None or patch is None:
        lower = f">={major}.{minor or 0}.0"
    else:
        lower = f">={low[0]}"
    major, minor, patch = _numbers(high)
    if major is None:
        upper = ""
    elif minor is None:
        upper = f"<{major + 1}.0.0-0"
    elif patch is None:
        upper = f"<{major}.{minor + 1}.0-0"
    elif high["pre"]:
        upper = f"<={major}.{minor}.{patch}-{high['pre']}"
    else:
        upper = f"<={high[0]}"
    return f"{lower} {upper}"


def _comparators(word: str) -> Iterator[Comparator]:
    """What one word of a range says, in whole comparisons; none for any."""
    if "==" in word:  # npm takes it before some versions and not before others
        raise ValueError(advice(word, ""))
    match = _TILDE_OR_CARET.fullmatch(word)
    if match is not None:
        yield from _tilde_or_caret(match)
        return
    match = _X_RANGE.fullmatch(word)
    if match is not None:
        major, minor, patch = _numbers(match)
        gap = (major is None and minor is not None) or (minor is None and patch is not None)
        if not gap and (minor is None or patch is None):
            yield from _x_range(match["op"], major, minor)
            return
    # npm drops one star, wherever it stands.
    whole = _STAR.sub("", word, count=1)
    if whole in {"", ">=0.0.0"}:
        return
    match = _COMPARISON.fullmatch(whole)
    if match is None:
        raise ValueError(
            advice(
                word,
                "write a comparison such as >=1.2.3, or ^1.2, ~1.2, 1.x, 1.2 - 2.3, and join "
                "them by ',' (and) or '||' (or)",
            )
        )
    yield Comparator(
        _OPERATORS[match["op"]],
        int(match["major"]),
        int(match["minor"]),
        int(match["patch"]),
        match["pre"],
    )


def _tilde_or_caret(match: re.Match[str]) -> Iterator[Comparator]:
    major, minor, patch = _numbers(match)
    if major is None:
        return
    if minor is None:
        yield from _at_least(major, 0, 0)
        yield _below(major + 1, 0, 0)
        return
    yield from _at_least(major, minor, patch or 0, None if patch is None else match["pre"])
    if match["op"] == "^" and major > 0:
        yield _below(major + 1, 0, 0)
    elif match["op"] == "^" and minor == 0 and patch is not None:
        yield _below(0, 0, patch + 1)
    else:
        yield _below(major, minor + 1, 0)


def _x_range(sign: str, major: int | None, minor: int | None) -> Iterator[Comparator]:
    """A comparison with a version whose last parts are missing or x."""
    if major is None:
        if sign in {"<", ">"}:
            yield _NOTHING
        return
    after = (major + 1, 0, 0) if minor is None else (major, minor + 1, 0)
    if sign == ">":
        yield from _at_least(*after)
    elif sign == "<":
        yield _below(major, minor or 0, 0)
    elif sign == "<=":
        yield _below(*after)
    else:
        yield from _at_least(major, minor or 0, 0)
        if sign != ">=":
            yield _below(*after)


def _at_least(major: int, minor: int, patch: int, pre: str | None = None) -> Iterator[Comparator]:
    if major or minor or patch or pre:  # at least 0.0.0 is any
        yield Comparator(">=", major, minor, patch, pre)


def _below(major: int, minor: int, patch: int) -> Comparator:
    """Below a version and below its pre-releases."""
    return Comparator("<", major, minor, patch, "0")


def _numbers(match: re.Match[str]) -> tuple[int | None, int | None, int | None]:
    """Major, minor and patch; None where missing or x."""
    major, minor, patch = (
        int(part) if part and part not in "xX*" else None
        for part in (match["major"], match["minor"], match["patch"])
    )
    return major, minor, patch
