"""Where an exception was raised, and its traceback without lines of foreign text."""

from __future__ import annotations

import json
import sys

import pytest

from bee_core.terms.tracebacks import raised_at, traceback_of


def caught(function, *args):
    try:
        function(*args)
    except BaseException as error:
        return error
    raise AssertionError


class Hostile(Exception):
    def __str__(self):
        raise SystemExit("no text")


def fail(error, cause=None):
    raise error from cause


def test_the_line_is_the_one_in_the_file_even_where_a_library_raised():
    error = caught(json.loads, "{")
    here = caught.__code__.co_firstlineno + 2
    assert raised_at(error, __file__) == f"{__file__}:{here}"
    assert "json" in raised_at(error)
    assert raised_at(ValueError("never raised")) == ""


def test_a_traceback_has_stack_and_text():
    text = traceback_of(caught(fail, KeyError("a")))
    assert text.startswith("Traceback (most recent call last):\n")
    assert "raise error from cause" in text
    assert text.endswith("KeyError: 'a'")


def test_a_cause_stands_before_what_it_caused():
    text = traceback_of(caught(fail, KeyError("outer"), ValueError("inner")))
    first, second = text.split("\n\nThe above exception was the direct cause")
    assert first.endswith("ValueError: inner")
    assert second.endswith("KeyError: 'outer'")


@pytest.mark.parametrize("place", ["text", "note", "cause"])
def test_foreign_text_has_no_lines_of_its_own(place):
    foreign = "a\nINFO admin logged in\x1b[2J"
    error = ValueError(foreign if place == "text" else "b")
    if place == "note":
        if sys.version_info < (3, 11):
            pytest.skip("exceptions have notes since Python 3.11")
        error.add_note(foreign)
    text = traceback_of(caught(fail, error, KeyError(foreign) if place == "cause" else None))
    assert "admin logged in" in text
    assert not any(line.lstrip().startswith("INFO") for line in text.splitlines())
    assert "\x1b" not in text


def test_an_exception_without_a_text_has_a_traceback():
    text = traceback_of(caught(fail, Hostile()))
    assert "Hostile" in text
    assert raised_at(caught(fail, Hostile())) in text or "raise error from cause" in text
