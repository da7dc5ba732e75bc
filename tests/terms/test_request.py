"""What is added to the metadata of one request is in no other, and goes last."""

from __future__ import annotations

from bee_core.terms.request import POSITIONAL, Request, RequestHead


def request(head):
    return Request(head, POSITIONAL, b"[]", False, 30.0, 5.0, 10.0, 10.0)


def test_what_is_added_is_in_this_request_alone():
    head = RequestHead("calc", "add", {"tenant": "a"}, {"user": "u"}, idempotent=True, oneway=True)
    one, other = request(head), request(head)
    one.add_metadata("id", "1")
    one.add_metadata("trace", b"t")
    assert list(one.metadata.items()) == [("tenant", "a"), ("id", "1"), ("trace", b"t")]
    assert (one.baggage, one.idempotent, one.head.oneway) == ({"user": "u"}, True, True)
    assert other.metadata == {"tenant": "a"}
    assert head.metadata == {"tenant": "a"}


def test_the_head_says_what_was_added_to_which_head():
    head = RequestHead("calc", "add", {"tenant": "a"})
    one = request(head)
    one.add_metadata("id", "1")
    one.add_metadata("id", "2")
    one.add_metadata("trace", "t")
    assert one.head.base is head
    assert one.head.added == {"id": "2", "trace": "t"}
    assert one.metadata == {"tenant": "a", "id": "2", "trace": "t"}


def test_what_replaces_a_value_stands_in_its_place():
    head = RequestHead("calc", "add", {"tenant": "a", "trace": "old"})
    one = request(head)
    one.add_metadata("id", "1")
    one.add_metadata("trace", "new")
    assert one.metadata == {"tenant": "a", "trace": "new", "id": "1"}
    assert one.head.base is None


def test_baggage_makes_a_head_of_its_own():
    one = request(RequestHead("calc", "add"))
    one.add_metadata("id", "1")
    one.add_baggage("user", "u")
    one.add_metadata("trace", "t")
    assert (one.metadata, one.baggage) == ({"id": "1", "trace": "t"}, {"user": "u"})
    assert one.head.added == {"trace": "t"}
    assert one.head.base.metadata == {"id": "1"}
