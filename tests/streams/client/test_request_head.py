"""The encoded fields of a head are made once, and what is added to it stands behind them."""

from __future__ import annotations

from bee_core.streams.client.request_head import MADE, encode_head
from bee_core.terms.request import RequestHead
from bee_core.wire.requests import RequestParser


def test_the_fields_are_remembered_in_the_head():
    head = RequestHead("calc", "add", {"tenant": "a"}, {"user": "u"}, oneway=True)
    fields = encode_head(head)
    assert head.made[MADE] is fields
    said = RequestParser().parse(fields)
    assert (said.method, said.metadata, said.baggage, said.oneway) == (
        "add",
        {"tenant": "a"},
        {"user": "u"},
        True,
    )


def test_what_was_added_stands_behind_the_fields_of_the_base():
    base = RequestHead("calc", "add", {"tenant": "a"}, {"user": "u"})
    first, second = (base.adding("id", str(number)).adding("raw", b"r") for number in (1, 2))
    fields = encode_head(first)
    assert fields.startswith(base.made[MADE])
    base.made[MADE] = made = bytes(bytearray(base.made[MADE]))
    assert RequestParser().parse(fields).metadata == first.metadata
    assert RequestParser().parse(encode_head(second)).metadata == second.metadata
    assert base.made[MADE] is made, "they are used again"


def test_what_replaces_a_value_is_sent_once():
    base = RequestHead("calc", "add", {"id": b"old"})
    assert RequestParser().parse(encode_head(base.adding("id", "new"))).metadata == {"id": "new"}


def test_too_much_metadata_is_refused_before_it_is_sent():
    base = RequestHead("calc", "add", {"blob": "a" * 65_000})
    assert encode_head(base.adding("more", "b" * 600)).kind == "invalid_argument"
    large = RequestHead("calc", "add", {"blob": "a" * 70_000})
    failure = encode_head(large.adding("id", "1"))
    assert failure.kind == "invalid_argument"
    assert MADE not in large.made
