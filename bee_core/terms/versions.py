"""Versions and ranges of versions: npm's grammar and npm's answers, plus the comma as *and*.

========== ======================================= ==============================================
form       example                                 means
========== ======================================= ==============================================
comparison ``>=1.2.3`` ``<2`` ``=1.2.3`` ``1.2.3`` that; a missing part is an x: ``>1.2`` is
                                                   ``>=1.3.0``
x-range    ``1.x`` ``1.2.*`` ``1.2`` ``*`` (empty) any number in place of the x
hyphen     ``1.2 - 2.3.4``                         both ends included; ``- 2.3`` takes all of 2.3
tilde      ``~1.2.3`` ``~>1.2`` ``~1``             only the patch may grow; the minor where none
                                                   is stated
caret      ``^1.2.3`` ``^0.2.3`` ``^1.x``          the first part that is not zero must stay
and        ``>=1.0, <2`` ``>=1.0 <2``              a comma or a space
or         ``1.x || >=3``                          binds weaker than *and*
========== ======================================= ==============================================

A pre-release (``1.3.0-rc.1``) is in a range only when one of the comparisons that are joined by
*and* names a pre-release of the same major.minor.patch. A range that does not ask for pre-releases
never finds one. The reference is ``semver.satisfies(version, range)`` of the npm package ``semver``
with its default options; the tests compare with it. ``docs/decisions/version-ranges.md`` says why
bee uses npm's grammar, and where bee differs.

Everything here is immutable, cached by text, and may be used from any thread.
"""

from __future__ import annotations

import re
from functools import lru_cache

import attrs
from semver import Version

from .range_grammar import (
    BUILD,
    MAX_LENGTH,
    MAX_NUMBER,
    NUMBER,
    PRERELEASE,
    Alternatives,
    Key,
    order_key,
    read_range,
    single_spaces,
    version_advice,
)

_FORM = "write numbers and dots, 1.2.3, and a pre-release as 1.2.3-rc.1"
_VERSION = re.compile(
    rf"[v= ]*(?P<major>{NUMBER})(?:\.(?P<minor>{NUMBER})(?:\.(?P<patch>{NUMBER}))?)?"
    rf"{PRERELEASE}?{BUILD}?"
)


# More than the distinct versions of the largest service. All nodes are read in turn, so a smaller
# cache would never hit.
@lru_cache(maxsize=16384)
def parse_version(text: str) -> Version:
    """Read a version loosely: ``2.0`` is 2.0.0, ``v1.2.3`` and ``=1.2.3`` are 1.2.3.

    Build metadata (``+linux``) is kept, and the order ignores it.

    Args:
        text: The version as a server or a configuration states it.

    Returns:
        The version; the same object for the same text.

    Raises:
        ValueError: It is not a version; the message quotes it and says what would be.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(
            f"version {text[:40]!r}… cannot be read: it has {len(text)} characters, at most "
            f"{MAX_LENGTH} are allowed"
        )
    match = _VERSION.fullmatch(single_spaces(text))
    if match is None:
        raise ValueError(f"version {text!r} cannot be read: {version_advice(text, _FORM)}")
    numbers = [int(match[name] or "0") for name in ("major", "minor", "patch")]
    if max(numbers) > MAX_NUMBER:
        raise ValueError(
            f"version {text!r} cannot be read: a number in it is larger than {MAX_NUMBER}"
        )
    major, minor, patch = numbers
    return Version(major, minor, patch, match["pre"], match["build"])


def precedence(version: Version) -> Key:
    """A key to sort versions by, in the order of semver.org.

    A pre-release comes before its release. Build metadata counts for nothing.
    """
    return order_key(version.major, version.minor, version.patch, version.prerelease)


@attrs.frozen
class Range:
    """A set of versions, made by :meth:`parse`. Equal when the comparisons are equal.

    Attributes:
        text: As it was written, with white space made single.
        alternatives: At least one of them must hold. Each is comparisons with whole versions, which
            must all hold.
    """

    text: str = attrs.field(eq=False)
    alternatives: Alternatives

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read a range.

        Args:
            text: See the table at the top of the module. Empty means any.

        Returns:
            The range; the same object for the same text.

        Raises:
            ValueError: It cannot be read; the message quotes the part that is at fault and says
                what would be right.
        """
        return _parse_range(text)

    def __str__(self) -> str:
        """As it was written: what a person recognizes in a message."""
        return self.text

    @property
    def canonical(self) -> str:
        """As npm writes it, in whole comparisons: ``>=1.2.0 <2.0.0-0||>=3.0.0``; ``*`` for any."""
        return (
            "||".join(" ".join(map(str, comparators)) for comparators in self.alternatives) or "*"
        )

    def matches(self, version: Version) -> bool:
        """Whether a version is in the range, by npm's rule for pre-releases.

        Takes about a microsecond.
        """
        key = precedence(version)
        for comparators in self.alternatives:
            for comparator in comparators:
                if not comparator.admits(key):
                    break
            else:
                if not version.prerelease or any(
                    comparator.names_prerelease_of(key) for comparator in comparators
                ):
                    return True
        return False


@lru_cache(maxsize=1024)
def _parse_range(text: str) -> Range:
    return Range(single_spaces(text) or "*", read_range(text))
