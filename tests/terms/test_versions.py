"""Versions are read loosely, and ranges follow npm's grammar and its algebra.

Comparison with npm itself: test_versions_npm.py.
"""

from __future__ import annotations

import pickle
import time
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from semver import Version

from bee_core.terms.range_grammar import MAX_NUMBER
from bee_core.terms.versions import Range, parse_version, precedence


def matches(text, version):
    return Range.parse(text).matches(parse_version(version))


# ── versions ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3", "1.2.3"),
        ("2.0", "2.0.0"),
        ("2", "2.0.0"),
        ("v1.2.3", "1.2.3"),
        ("=1.2.3", "1.2.3"),
        ("= v1.2", "1.2.0"),
        ("  1.2.3\n", "1.2.3"),
        ("1.2.3-rc.1", "1.2.3-rc.1"),
        ("1.2-rc.1", "1.2.0-rc.1"),
        ("1.2.3+linux.7", "1.2.3+linux.7"),
        (f"{MAX_NUMBER}.0.0", f"{MAX_NUMBER}.0.0"),
    ],
)
def test_a_version_is_read_loosely(text, expected):
    assert str(parse_version(text)) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("abc", "version 'abc' cannot be read: write numbers and dots"),
        ("", "version '' cannot be read"),
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3rc1", "a pre-release stands behind a hyphen, 1.2.3-rc.1"),
        ("1.2.dev0", "a pre-release stands behind a hyphen"),
        ("2024.01.5", "a number has no leading zero"),
        ("1.2.3-01", "'1.2.3-01'"),
        ("1.2.٣", "'1.2.٣'"),
        (f"{MAX_NUMBER + 1}.0.0", f"larger than {MAX_NUMBER}"),
        ("1." + "0" * 300, "302 characters"),
    ],
)
def test_what_is_not_a_version_is_refused_with_a_sentence_that_helps(text, says):
    with pytest.raises(ValueError, match="cannot be read") as caught:
        parse_version(text)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_version_is_read_once_for_each_text():
    assert parse_version("7.8.9") is parse_version("7.8.9")


def test_build_metadata_is_kept_and_does_not_order():
    one, other = parse_version("1.2.3+a"), parse_version("1.2.3+b")
    assert (one.build, other.build) == ("a", "b")
    assert precedence(one) == precedence(other)
    assert matches("1.2.3", "1.2.3+a")
    assert matches("1.2.3+b", "1.2.3+a")


numbers = st.one_of(st.integers(0, 3), st.integers(0, MAX_NUMBER - 1))
identifiers = st.one_of(st.integers(0, 20).map(str), st.from_regex(r"\A[a-z-][0-9a-z-]{0,3}\Z"))
prereleases = st.lists(identifiers, min_size=1, max_size=3).map(".".join)
releases = st.builds(Version, numbers, numbers, numbers)
versions = st.one_of(releases, st.builds(Version, numbers, numbers, numbers, prereleases))


@given(versions)
def test_a_version_survives_being_written_and_read(version):
    assert parse_version(str(version)) == version


@given(versions, versions)
def test_precedence_is_the_order_of_semver(one, other):
    assert (precedence(one) < precedence(other)) == (one < other)
    assert (precedence(one) == precedence(other)) == (one == other)


# ── ranges: the forms ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", "*"),
        ("*", "*"),
        ("x", "*"),
        (">=0.0.0", "*"),
        ("1.2.3", "1.2.3"),
        ("=v1.2.3", "1.2.3"),
        ("1", ">=1.0.0 <2.0.0-0"),
        ("1.2", ">=1.2.0 <1.3.0-0"),
        ("1.x", ">=1.0.0 <2.0.0-0"),
        ("1.2.*", ">=1.2.0 <1.3.0-0"),
        (">1.2", ">=1.3.0"),
        (">1", ">=2.0.0"),
        (">=1.2", ">=1.2.0"),
        ("<1.2", "<1.2.0-0"),
        ("<=1.2", "<1.3.0-0"),
        ("<=1", "<2.0.0-0"),
        (">*", "<0.0.0-0"),
        ("1.2 - 2.3.4", ">=1.2.0 <=2.3.4"),
        ("1.2.3 - 2.3", ">=1.2.3 <2.4.0-0"),
        ("1.2.3 - 2", ">=1.2.3 <3.0.0-0"),
        ("* - 2.3.4-b", "<=2.3.4-b"),
        ("1.2 - x", ">=1.2.0"),
        ("1 - 2 +build", ">=1.0.0 <3.0.0-0"),
        ("~1.2.3", ">=1.2.3 <1.3.0-0"),
        ("~1.2", ">=1.2.0 <1.3.0-0"),
        ("~1", ">=1.0.0 <2.0.0-0"),
        ("~> 1.2.3", ">=1.2.3 <1.3.0-0"),
        ("~1.2.3-b.2", ">=1.2.3-b.2 <1.3.0-0"),
        ("^1.2.3", ">=1.2.3 <2.0.0-0"),
        ("^0.2.3", ">=0.2.3 <0.3.0-0"),
        ("^0.0.3", ">=0.0.3 <0.0.4-0"),
        ("^1.x", ">=1.0.0 <2.0.0-0"),
        ("^0.x", "<1.0.0-0"),
        ("^0.0", "<0.1.0-0"),
        ("^1.2.3-b.2", ">=1.2.3-b.2 <2.0.0-0"),
        ("> 1.2.3  <  2", ">1.2.3 <2.0.0-0"),
        (">=1.0, <2", ">=1.0.0 <2.0.0-0"),
        (">=1.0,<2", ">=1.0.0 <2.0.0-0"),
        (">=1.0 ,<2,<3", ">=1.0.0 <2.0.0-0 <3.0.0-0"),
        ("1 - 3, <2.5", ">=1.0.0 <4.0.0-0 <2.5.0-0"),
        ("1.x || >=3, <4 || 2.5.0", ">=1.0.0 <2.0.0-0||>=3.0.0 <4.0.0-0||2.5.0"),
        ("1.x || *", "*"),
        (">* || 1.x", ">=1.0.0 <2.0.0-0"),
        ("^1.2.x-b", ">=1.2.0 <2.0.0-0"),
        ("1.2.3*", "1.2.3"),
    ],
)
def test_each_form_says_comparisons_with_whole_versions(text, canonical):
    assert Range.parse(text).canonical == canonical


@pytest.mark.parametrize(
    ("text", "version", "expected"),
    [
        (">=1.0, <2", "2.0.0", False),
        (">=1.0, <2", "2.0.0-rc.1", False),
        (">=1.0, <2", "1.9.9", True),
        ("^1.2.3-b.2", "1.2.3-b.4", True),
        ("^1.2.3-b.2", "1.2.3-b.10", True),
        ("^1.2.3-b.2", "1.2.3-b.1", False),
        ("^1.2.3-b.2", "1.2.4-b.2", False),
        ("*", "1.0.0-rc.1", False),
        (">=1.0.0-a, <2", "1.0.0-b", True),
        ("<2, >=1.0.0-a", "1.0.0-b", True),
        ("<2 || >=1.0.0-a", "1.0.0-b", True),
        ("<2.0.0-rc.2", "2.0.0-rc.1", True),
        ("<2", "2.0.0-rc.1", False),
    ],
)
def test_a_pre_release_fits_only_where_one_of_its_release_is_named(text, version, expected):
    assert matches(text, version) is expected


@pytest.mark.parametrize(
    ("text", "part", "says"),
    [
        (">=1.0 foo || 2", "'foo'", "write a comparison such as >=1.2.3"),
        ("==1.2.3", "'==1.2.3'", "write = once"),
        (">=1, !=1.3", "'!=1.3'", "there is no 'not'"),
        (">=1.02", "'>=1.02'", "no leading zero"),
        ("<1.2.3rc1", "'<1.2.3rc1'", "behind a hyphen"),
        (">=1.0,", "'>=1.0,'", "a comma with nothing beside it"),
        ("1, ,2 || 3", "'1, ,2'", "a comma with nothing beside it"),
        ("> ", "'>'", "write a comparison"),
        ("> = 1.2.3", "'>='", "write a comparison"),
        ("1 - 2 - 3", "'-'", "write a comparison"),
        ("foo - 1.2", "'foo'", "write a comparison"),
        ("1.x.3", "'1.x.3'", "write a comparison"),
        (f">={MAX_NUMBER + 1}.0.0", f"'>={MAX_NUMBER + 1}.0.0'", "too large for a version"),
        (f"^{MAX_NUMBER}.0.0", f"'^{MAX_NUMBER}.0.0'", "too large for a version"),
        ("1.0.0 || " * 40 + "1", "1.0.0 || 1.0.0", "361 characters"),
    ],
)
def test_a_range_that_cannot_be_read_is_refused_and_its_part_is_named(text, part, says):
    with pytest.raises(ValueError, match="version range") as caught:
        Range.parse(text)
    assert part in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "unit", ["= ", "~ ", "> ", " v", "1 ", "+a", "||", "-", "1.2.3-", "a.", "9", "*", "x.", "1 - "]
)
def test_hostile_text_takes_milliseconds(unit):
    text = (unit * 256)[:256]
    begun = time.process_time()
    with suppress(ValueError):
        Range.parse(text)
    with suppress(ValueError):
        parse_version(text)
    assert time.process_time() - begun < 0.2


def test_a_range_shows_itself_as_it_was_written_with_single_spaces():
    assert str(Range.parse("  >=1.0,   <2 ")) == ">=1.0, <2"
    assert str(Range.parse("")) == "*"


def test_ranges_are_values():
    one = Range.parse(">=1.0, <2")
    assert one is Range.parse(">=1.0, <2")
    assert one == Range.parse(">=1.0.0 <2.0.0-0")
    assert len({one, Range.parse(">=1.0   <2"), Range.parse("^1")}) == 1
    assert one != Range.parse("1.1")
    with pytest.raises(AttributeError):
        one.text = "2"
    copy = pickle.loads(pickle.dumps(one))
    assert copy == one
    assert copy.matches(parse_version("1.5"))


# ── ranges: the algebra ───────────────────────────────────────────────────────────────────────────

partials = st.builds(
    lambda parts, pre: ".".join(parts) + (f"-{pre}" if pre and len(parts) == 3 else ""),
    st.lists(st.one_of(st.integers(0, 3).map(str), st.just("x")), min_size=1, max_size=3).filter(
        lambda parts: all(left != "x" or right == "x" for left, right in pairwise(parts))
    ),
    st.one_of(st.none(), prereleases),
)
words = st.builds(
    lambda sign, partial: sign + partial,
    st.sampled_from(["", "<", "<=", ">", ">=", "~", "^"]),
    partials,
)
conjunctions = st.one_of(
    words, st.builds("{}, {}".format, words, words), st.builds("{} - {}".format, partials, partials)
)
small_numbers = st.integers(0, 4)
small_releases = st.builds(Version, small_numbers, small_numbers, small_numbers)
small_versions = st.one_of(
    small_releases, st.builds(Version, small_numbers, small_numbers, small_numbers, prereleases)
)


@given(conjunctions, conjunctions, small_releases)
def test_a_comma_is_the_intersection_of_releases(left, right, version):
    both = Range.parse(f"{left}, {right}").matches(version)
    assert both == (Range.parse(left).matches(version) and Range.parse(right).matches(version))


@given(conjunctions, conjunctions, small_versions)
def test_a_comma_never_drops_what_both_sides_have(left, right, version):
    if Range.parse(left).matches(version) and Range.parse(right).matches(version):
        assert Range.parse(f"{left}, {right}").matches(version)


@given(conjunctions, conjunctions, small_versions)
def test_the_sides_of_a_comma_can_change_places(left, right, version):
    assert Range.parse(f"{left}, {right}").matches(version) == Range.parse(
        f"{right}, {left}"
    ).matches(version)


@given(words, words, small_versions)
def test_a_comma_is_a_space(left, right, version):
    assert Range.parse(f"{left},{right}").matches(version) == Range.parse(
        f"{left} {right}"
    ).matches(version)


@given(conjunctions, conjunctions, small_releases)
def test_double_bar_is_the_union_of_releases(left, right, version):
    either = Range.parse(f"{left} || {right}").matches(version)
    assert either == (Range.parse(left).matches(version) or Range.parse(right).matches(version))


@given(conjunctions, conjunctions, small_versions)
def test_double_bar_adds_nothing_that_neither_side_has(left, right, version):
    if Range.parse(f"{left} || {right}").matches(version):
        assert Range.parse(left).matches(version) or Range.parse(right).matches(version)


@given(small_versions, small_versions)
def test_what_a_tilde_takes_a_caret_above_zero_takes_and_both_start_at_their_version(base, version):
    tilde, caret = Range.parse(f"~{base}"), Range.parse(f"^{base}")
    assert tilde.matches(base)
    assert caret.matches(base)
    if base.major > 0 and tilde.matches(version):
        assert caret.matches(version)
    if base.major == 0 and caret.matches(version):
        assert tilde.matches(version)
    if caret.matches(version):
        assert version >= base
        assert version.major == base.major


@given(small_versions, small_releases, small_releases)
def test_what_is_above_something_that_is_at_least_enough_is_enough(base, lower, higher):
    lower, higher = sorted([lower, higher])
    if Range.parse(f">={base}").matches(lower):
        assert Range.parse(f">={base}").matches(higher)
    if Range.parse(f"<={base}").matches(higher):
        assert Range.parse(f"<={base}").matches(lower)


@given(small_versions, small_releases)
def test_the_six_comparisons_agree_with_the_order(base, version):
    answers = [
        Range.parse(sign + str(base)).matches(version) for sign in ("<", "<=", "", "=", ">=", ">")
    ]
    assert answers == [
        version < base,
        version <= base,
        version == base,
        version == base,
        version >= base,
        version > base,
    ]


@given(conjunctions, conjunctions, small_versions)
def test_the_canonical_form_is_a_range_with_the_same_answers(left, right, version):
    one = Range.parse(f"{left} || {right}")
    again = Range.parse(one.canonical)
    assert again.canonical == one.canonical
    assert again.matches(version) == one.matches(version)


@given(st.text(alphabet="0123x*.-+~^<>=| v,a", max_size=30))
def test_any_text_is_a_range_or_a_value_error(text):
    with suppress(ValueError):
        assert isinstance(Range.parse(text), Range)


@pytest.mark.parametrize(
    "text", ["==1", "==1.2", "==1.2.3", "== 1.2", ">=1, ==1.2", "===1.2", "~==1"]
)
def test_two_equal_signs_are_refused_everywhere(text: str) -> None:
    with pytest.raises(ValueError, match="write = once, or the version alone"):
        Range.parse(text)


@pytest.mark.parametrize("text", ["1!2.0", "1.0.0==1", "1.2.3.4", "1.0.0.RELEASE"])
def test_advice_about_a_version_is_not_about_ranges(text: str) -> None:
    with pytest.raises(ValueError, match="write numbers and dots") as caught:
        parse_version(text)
    assert "range" not in str(caught.value)
