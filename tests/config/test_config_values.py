from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.config.values import (
    Text,
    read_bool,
    read_bytes,
    read_float,
    read_int,
    read_seconds,
    read_text,
    read_version,
    resolve,
    show,
)
from bee_core.options import MisfitError


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("10", 10),
        ("0.5", 0.5),
        ("500ms", 0.5),
        ("2s", 2),
        ("2 s", 2),
        ("1m", 60),
        ("1h", 3600),
        ("0", 0),
        (10, 10),
        (0.25, 0.25),
        (".5", 0.5),
    ],
)
def test_a_time_is_a_number_of_seconds_or_has_a_unit(value, seconds):
    assert read_seconds(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "-1",
        -1,
        -0.5,
        "nan",
        "inf",
        math.inf,
        math.nan,
        "1e999",
        True,
        "10 parsecs",
        "1d",
        "",
        None,
        "٣",
        "1m30s",
        10**400,
        "9" * 400,
    ],
)
def test_what_is_no_time_is_refused(value):
    with pytest.raises(MisfitError) as caught:
        read_seconds(value)
    assert caught.value.expected.startswith("a time in seconds")


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("2 m", 2 << 20),
        ("64k", 64 << 10),
        ("2MiB", 2 << 20),
        ("2mb", 2 << 20),
        ("1g", 1 << 30),
        ("100", 100),
        ("100b", 100),
        ("1.5k", 1536),
        ("2.0", 2),
        (100, 100),
    ],
)
def test_a_size_is_a_number_of_bytes_or_has_a_unit_of_powers_of_1024(value, size):
    assert read_bytes(value) == size
    assert type(read_bytes(value)) is int


@pytest.mark.parametrize(
    "value", ["2.7", 2.7, "-1", -1, True, "2 x", "m", None, "0.1k", "9" * 30, 1 << 70, "nan"]
)
def test_what_is_no_size_is_refused(value):
    with pytest.raises(MisfitError):
        read_bytes(value)


@pytest.mark.parametrize("text", ["true", "True", "YES", "on"])
def test_words_for_yes_are_true(text):
    assert read_bool(text) is True


@pytest.mark.parametrize("text", ["false", "No", "OFF"])
def test_words_for_no_are_false(text):
    assert read_bool(text) is False


@pytest.mark.parametrize("value", ["1", "0", 1, 0, "", "y", None, "truee", []])
def test_nothing_else_is_true_or_false(value):
    with pytest.raises(MisfitError):
        read_bool(value)


@pytest.mark.parametrize(("value", "number"), [("7", 7), ("-7", -7), ("+7", 7), ("007", 7), (7, 7)])
def test_a_whole_number_is_read(value, number):
    assert read_int(value) == number


@pytest.mark.parametrize(
    "value",
    ["2.7", 2.7, 2.0, True, "true", "1_000", "0x10", "", None, "1e3", "٣", " 7", "9" * 5000],
)
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(MisfitError):
        read_int(value)


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-inf", ".inf", math.nan, math.inf, True, "", "1,5", 10**400]
)
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(MisfitError):
        read_float(value)


def test_a_version_is_text_and_keeps_its_zeros():
    assert read_version(Text("1.10", 1, plain=True)) == "1.10"
    assert read_version(2.0) == "2.0"
    assert read_version(2) == "2"
    for wrong in (True, None, "", math.nan, [2]):
        with pytest.raises(MisfitError):
            read_version(wrong)


def test_text_is_what_is_written_and_numbers_from_python_are_none():
    assert read_text(Text("007", 1, plain=True)) == "007"
    assert type(read_text(Text("007"))) is str
    for wrong in (7, None, Text("", 1, plain=True), Text("~", 1, plain=True), ["a"]):
        with pytest.raises(MisfitError):
            read_text(wrong)
    assert read_text("") == ""


def test_a_key_without_a_value_is_told_to_be_filled_or_removed():
    with pytest.raises(
        MisfitError, match="no value is given here; write a whole number, or remove the key"
    ):
        read_int(Text("", 3, plain=True))


def test_plain_scalars_of_unknown_type_follow_the_core_schema_and_quoted_ones_are_text():
    plain = {
        "1.10": 1.1,
        "7": 7,
        "0x1f": 31,
        "0o17": 15,
        "true": True,
        "FALSE": False,
        "~": None,
        "": None,
        "yes": "yes",
        "1e3": 1000.0,
        "-.inf": -math.inf,
        "a b": "a b",
    }
    for text, value in plain.items():
        assert resolve(Text(text, 1, plain=True)) == value
        assert resolve(Text(text, 1)) == text
    assert math.isnan(resolve(Text(".nan", 1, plain=True)))
    assert resolve({"a": [Text("1", 1, plain=True), 2.5, "3"]}) == {"a": [1, 2.5, "3"]}
    assert resolve(Text("9" * 10000, 1, plain=True)) == "9" * 10000


def test_a_value_from_the_environment_is_shown_as_it_was_written():
    secret = Text("hunter2", 1, written="${TOKEN}")
    assert show(secret) == "'${TOKEN}'"
    with pytest.raises(MisfitError) as caught:
        read_int(secret)
    assert "hunter2" not in str(caught.value)
    assert caught.value.value == "${TOKEN}"


def test_a_text_can_be_pickled_with_its_place():
    text = pickle.loads(pickle.dumps(Text("a", 7, plain=True, written="${A}")))
    assert (text, text.line, text.plain, text.written) == ("a", 7, True, "${A}")


@given(st.integers(0, 1 << 40))
def test_every_size_is_read_back_in_every_unit(count):
    assert read_bytes(str(count)) == count
    assert read_bytes(f"{count}k") == read_bytes(f"{count} KiB") == count << 10


@given(
    st.one_of(
        st.text(max_size=20),
        st.text(alphabet="0123456789.eE+-kmgsh ", max_size=12),
        st.integers(),
        st.floats(),
        st.booleans(),
        st.none(),
    )
)
def test_every_reader_gives_its_type_or_a_misfit(value):
    readers = {
        read_bool: bool,
        read_int: int,
        read_float: float,
        read_seconds: float,
        read_bytes: int,
        read_version: str,
        read_text: str,
    }
    for read, kind in readers.items():
        try:
            result = read(value)
        except MisfitError:
            continue
        assert type(result) is kind
        if kind is float:
            assert math.isfinite(result)
