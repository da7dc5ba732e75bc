"""Which tokens a server accepts."""

from __future__ import annotations

import hmac

import pytest

from bee_core.server import tokens
from bee_core.server.tokens import Tokens


def accepting(*values):
    return Tokens([lambda: values])


def test_one_of_the_tokens_is_accepted_and_no_other():
    both = accepting("old honey", "new honey")
    assert both.accept("old honey")
    assert both.accept("new honey")
    for wrong in ("", "old", "old honey ", "OLD HONEY", "old honeyX", "new honey\0"):
        assert not both.accept(wrong)


def test_no_token_is_never_accepted():
    assert not accepting("honey").accept(None)
    assert not Tokens([]).accept("")
    assert not accepting("").accept(None)


def test_tokens_of_all_sources_count_as_they_are_at_that_moment():
    now = ["first"]
    made = Tokens([lambda: ("fixed",), lambda: tuple(now)])
    assert made.accept("first")
    now[:] = ["second"]
    assert made.accept("second")
    assert made.accept("fixed")
    assert not made.accept("first")


def test_text_of_any_script_is_compared_as_bytes():
    assert accepting("miód").accept("miód")
    assert not accepting("miód").accept("miod")


@pytest.mark.parametrize("token", ["first", "second", "third", "none of them", None])
def test_every_token_is_compared_whichever_is_right(monkeypatch, token):
    compared = []

    def compare(known, given):
        compared.append((len(known), len(given)))
        return hmac.compare_digest(known, given)

    monkeypatch.setattr(tokens, "compare_digest", compare)
    accepting("first", "second", "third").accept(token)
    assert compared == [(32, 32)] * 3, (
        "digests of one length, all of them, by the comparison that takes constant time"
    )
