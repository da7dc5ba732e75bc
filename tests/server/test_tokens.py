"""Which tokens a server accepts."""

from __future__ import annotations

import hmac

import pytest

from bee_core.server import endpoint
from bee_core.server.endpoint import entry_of


class Entry:
    """An entry of ``tokens``: what it stands for now."""

    def __init__(self, *values, identity=None):
        self.now = list(values)
        self.identity = identity

    def values(self):
        return tuple(self.now)


def accepts(entries, token):
    return entry_of(entries, token) is not None


def accepting(*values):
    entry = Entry(*values)
    return lambda token: accepts([entry], token)


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
    changing = Entry("first")
    entries = [Entry("fixed"), changing]
    assert accepts(entries, "first")
    changing.now = ["second"]
    assert accepts(entries, "second")
    assert accepts(entries, "fixed")
    assert not accepts(entries, "first")


def test_a_token_belongs_to_the_first_entry_that_has_it():
    entries = [Entry("a"), Entry("b", "old b", identity="b"), Entry("b", identity="never")]
    assert entry_of(entries, "a").identity is None
    assert entry_of(entries, "b").identity == entry_of(entries, "old b").identity == "b"
    assert entry_of(entries, "c") is None


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
