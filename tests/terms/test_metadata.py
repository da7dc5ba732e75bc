"""The metadata that a handler sends along with its answer."""

import pytest

from bee_core.terms.metadata import MAX_REPLY, ReplyMetadata


def test_what_was_written_can_be_read_changed_and_taken_back():
    written = ReplyMetadata()
    written["a"], written["raw"] = "1", b"\xff"
    written["a"] = "2"
    del written["raw"]
    assert dict(written) == written.taken() == {"a": "2"}
    assert len(written) == 1


@pytest.mark.parametrize(
    ("name", "value"), [(1, "x"), (b"a", "x"), ("a", 1), ("a", None), ("a", bytearray(b"x"))]
)
def test_only_text_and_bytes_go_out(name, value):
    written = ReplyMetadata()
    with pytest.raises(TypeError, match="text or bytes"):
        written[name] = value
    assert not written


@pytest.mark.parametrize("name", ["", "n" * 256, "é" * 128])
def test_a_name_has_a_length(name):
    with pytest.raises(ValueError, match="1 to 255 bytes"):
        ReplyMetadata()[name] = "x"


def test_all_together_are_bounded_and_an_error_says_by_what():
    written = ReplyMetadata()
    written["a"] = "x" * (MAX_REPLY // 2)
    with pytest.raises(ValueError, match=f"at most {MAX_REPLY}"):
        written["b"] = b"x" * (MAX_REPLY // 2)
    written["a"] = "short"  # what is replaced no longer counts
    written["b"] = b"x" * (MAX_REPLY // 2)
    del written["b"]
    written["c"] = "x" * (MAX_REPLY - 4 - 1 - 4 - 1 - len("short"))
    assert list(written) == ["a", "c"]


def test_a_copy_does_not_change_with_what_is_written_later():
    written = ReplyMetadata()
    written["a"] = "1"
    taken = written.taken()
    written["a"] = "2"
    assert taken == {"a": "1"}


def test_values_are_not_shown():
    written = ReplyMetadata()
    written["token"] = "s3cret"
    assert "s3cret" not in repr(written)
