"""Which tokens a server accepts."""

from __future__ import annotations

import hmac
from functools import partial

import pytest

from bee_core.server import endpoint
from bee_core.server.endpoint import accepts


def accepting(*values):
    return partial(accepts, [lambda: values])


def test_one_of_the_tokens_is_accepted_and_no_other():
    both = accepting("old honey", "new honey")
    assert both("old honey")
    assert both("new honey")
    for wrong in ("", "old", "old honey ", "OLD HONEY", "old honeyX", "new honey\0"):
        assert not both(wrong)


def test_no_token_is_never_accepted():
    assert not accepting("honey")(None)
    assert not accepts([], "")
    assert not accepting("")(None)


def test_tokens_of_all_sources_count_as_they_are_at_that_moment():
    now = ["first"]
    made = partial(accepts, [lambda: ("fixed",), lambda: tuple(now)])
    assert made("first")
    now[:] = ["second"]
    assert made("second")
    assert made("fixed")
    assert not made("first")


def test_text_of_any_script_is_compared_as_bytes():
    assert accepting("miód")("miód")
    assert not accepting("miód")("miod")


@pytest.mark.parametrize("token", ["first", "second", "third", "none of them", None])
def test_every_token_is_compared_whichever_is_right(monkeypatch, token):
    compared = []

    def compare(known, given):
        compared.append((len(known), len(given)))
        return hmac.compare_digest(known, given)

    monkeypatch.setattr(endpoint, "compare_digest", compare)
    accepting("first", "second", "third")(token)
    assert compared == [(32, 32)] * 3, (
        "digests of one length, all of them, by the comparison that takes constant time"
    )
