"""The type-length-value fields.

What is written is read again, and whatever is read gives values or a ProtocolError.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.errors import ProtocolError
from bee_core.wire import fields

TYPES = st.integers(0, 255)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = ANY_TEXT.filter(lambda key: 0 < len(key.encode()) <= 255)


def single(kind, encoded):
    return fields.parse(encoded, frozenset({kind}))


@given(st.dictionaries(TYPES, st.binary(max_size=100)))
def test_fields_that_are_written_are_read_again_in_any_order(values):
    block = b"".join(fields.field(kind, value) for kind, value in values.items())
    assert fields.parse(block, frozenset(values)) == {
        kind: [value] for kind, value in values.items()
    }


@given(ANY_TEXT)
def test_text_is_read_as_it_was_written(value):
    assert (
        fields.get_text(single(fields.METHOD, fields.text(fields.METHOD, value)), fields.METHOD)
        == value
    )


@given(
    st.integers(1, 8).flatmap(
        lambda size: st.tuples(st.just(size), st.integers(0, (1 << 8 * size) - 1))
    )
)
def test_numbers_are_read_as_they_were_written(case):
    size, value = case
    assert (
        fields.get_number(
            single(fields.LAST_ID, fields.number(fields.LAST_ID, value, size)), fields.LAST_ID, size
        )
        == value
    )


@given(st.dictionaries(KEYS, ANY_TEXT | st.binary()))
def test_pairs_are_read_as_they_were_written(items):
    block = fields.pairs(fields.METADATA, fields.METADATA_BYTES, items)
    found = fields.parse(block, frozenset({fields.METADATA, fields.METADATA_BYTES}))
    assert fields.get_pairs(found, fields.METADATA, fields.METADATA_BYTES) == items


@given(st.binary(max_size=300), st.frozensets(TYPES))
def test_parse_is_total(block, known):
    try:
        found = fields.parse(block, known)
    except ProtocolError:
        return
    assert set(found) <= known
    for kind in found:
        for read in (
            fields.get_text,
            fields.get_number,
            lambda found, kind: fields.get_pairs(found, kind, fields.METADATA),
        ):
            with suppress(ProtocolError):
                read(found, kind)


@given(st.lists(st.tuples(TYPES, st.binary(max_size=20)), min_size=1), st.data())
def test_a_block_that_is_cut_inside_a_field_is_refused(items, data):
    parts = [fields.field(kind, value) for kind, value in items]
    cut = data.draw(st.integers(1, len(parts[-1]) - 1))
    with pytest.raises(ProtocolError, match=r"cut short|longer than its frame|there twice"):
        fields.parse(b"".join(parts)[:-cut], frozenset(range(256)))


@given(st.integers(0, 0x7F), st.binary(max_size=20))
def test_an_unknown_field_below_0x80_is_passed_over(kind, value):
    assert fields.parse(
        fields.field(kind, value) + fields.text(fields.METHOD, "add"),
        frozenset({fields.METHOD}) - {kind},
    ).keys() <= {fields.METHOD}


@given(st.integers(0x80, 0xFF), st.binary(max_size=20))
def test_an_unknown_field_from_0x80_on_is_refused(kind, value):
    with pytest.raises(ProtocolError, match="critical field 0x"):
        fields.parse(fields.field(kind, value), frozenset({fields.METHOD}))


def test_a_critical_field_that_is_known_is_read():
    assert fields.parse(fields.field(0x90, b"x"), frozenset({0x90})) == {0x90: [b"x"]}


@pytest.mark.parametrize("kind", sorted(set(fields.NAMES) - fields.REPEATABLE))
def test_a_field_that_stands_twice_is_refused_by_name(kind):
    with pytest.raises(ProtocolError, match=f"{fields.NAMES[kind]} is there twice"):
        fields.parse(fields.field(kind, b"") * 2, frozenset(fields.NAMES))


@pytest.mark.parametrize("kind", sorted(fields.REPEATABLE))
def test_pairs_may_repeat(kind):
    assert fields.parse(fields.field(kind, b"a") + fields.field(kind, b"b"), frozenset({kind})) == {
        kind: [b"a", b"b"]
    }


def test_every_name_is_that_of_a_field():
    assert all(0 < kind <= 0xFF for kind in fields.NAMES)
    critical = [name for kind, name in fields.NAMES.items() if kind >= fields.CRITICAL]
    assert critical == ["oneway", "repetition"]
    assert fields.NAMES[fields.METHOD] == "method"


def test_text_that_utf_8_cannot_carry_is_sent_with_replacements():
    assert fields.text(fields.METHOD, "a\ud800b")[3:] == b"a?b"


def test_text_that_is_not_utf_8_is_refused():
    with pytest.raises(ProtocolError, match="the field method is not UTF-8"):
        fields.get_text(single(fields.METHOD, fields.field(fields.METHOD, b"\xff")), fields.METHOD)


def test_a_number_of_another_width_is_refused():
    with pytest.raises(ProtocolError, match="the field time_left has 3 bytes, not 4"):
        fields.get_number(
            single(fields.TIME_LEFT, fields.field(fields.TIME_LEFT, b"\0\0\1")), fields.TIME_LEFT
        )


def test_what_is_absent_is_the_default():
    assert fields.get_text({}, fields.METHOD, "?") == "?"
    assert fields.get_number({}, fields.TIME_LEFT) is None


@pytest.mark.parametrize(
    ("value", "sent"), [(-1, 0), (0xFFFF_FFFF, 0xFFFF_FFFF), (1 << 40, 0xFFFF_FFFF)]
)
def test_a_number_that_does_not_fit_is_sent_as_the_nearest(value, sent):
    assert (
        fields.get_number(
            single(fields.MAX_BODY, fields.number(fields.MAX_BODY, value)), fields.MAX_BODY
        )
        == sent
    )


def test_the_longest_value_fits_and_one_byte_more_does_not():
    assert len(fields.field(fields.TOKEN, bytes(fields.MAX_VALUE))) == 3 + fields.MAX_VALUE
    with pytest.raises(ValueError, match="the field token has 65536 bytes"):
        fields.field(fields.TOKEN, bytes(fields.MAX_VALUE + 1))


@pytest.mark.parametrize("key", ["", "k" * 256, "é" * 128])
def test_a_key_of_a_pair_must_have_1_to_255_bytes(key):
    with pytest.raises(ValueError, match="must have 1 to 255 bytes"):
        fields.pairs(fields.METADATA, fields.METADATA_BYTES, {key: "v"})


@pytest.mark.parametrize("kind", [fields.METADATA, fields.METADATA_BYTES])
@pytest.mark.parametrize("value", [b"", b"\0", b"\0value", b"\x01", b"\x05abc"])
def test_a_pair_whose_key_length_does_not_fit_is_refused(value, kind):
    with pytest.raises(ProtocolError, match="key length that does not fit"):
        fields.get_pairs({kind: [value]}, fields.METADATA, fields.METADATA_BYTES)


@given(ANY_TEXT, st.integers(3, 50))
def test_clipped_text_is_within_its_limit_and_a_prefix_in_whole_characters(value, limit):
    raw = fields.clipped(fields.MESSAGE, value, limit)[3:]
    assert len(raw) <= limit
    shown = raw.decode()
    if len(value.encode()) <= limit:
        assert shown == value
    else:
        assert shown.endswith("...")
        assert value.startswith(shown[:-3])
