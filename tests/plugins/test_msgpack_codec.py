from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import math
import struct
from typing import Any

import msgspec
import pytest

import bee_core
from bee_core.errors import InvalidArgument
from bee_core.interfaces import MESSAGE, MIXED, NAMED, POSITIONAL
from bee_core.methods.signatures import Signature
from bee_plugins.codecs.msgpack_codec import MsgpackCodec, bee_register_codecs
from support import codec_cases
from support.codec_cases import CodecCases, add


@dataclasses.dataclass
class Photo:
    taken: dt.datetime
    pixels: bytes


bound = functools.partial(codec_cases.bound, MsgpackCodec())
taking = functools.partial(codec_cases.taking, MsgpackCodec())
DYNAMIC = MsgpackCodec().bind(Signature.dynamic("anything"))
UTC = dt.timezone.utc
EAST = dt.timezone(dt.timedelta(hours=5, minutes=30))


def packed(hex_digits):
    return bytes.fromhex(hex_digits)


class TestMsgpack(CodecCases):
    name = "msgpack"
    register = staticmethod(bee_register_codecs)

    def make_codec(self):
        return MsgpackCodec()


# ── what lies in a body ──


@pytest.mark.parametrize("method", [DYNAMIC, bound(add)], ids=["dynamic", "typed"])
def test_arguments_lie_in_arrays_and_maps(method):
    assert method.encode_args((1, 2), {}) == (POSITIONAL, packed("92 01 02"))
    assert method.encode_args((), {"a": 1, "b": 2}) == (NAMED, packed("82 a1 61 01 a1 62 02"))
    assert method.encode_args((), {"a": 1}) == (NAMED, packed("81 a1 61 01"))


def test_both_kinds_are_an_array_of_two():
    body = packed("92 91 01 81 a1 62 02")
    assert DYNAMIC.encode_args((1,), {"b": 2}) == (MIXED, body)
    args, kwargs = bound(add).decode_args(MIXED, body)
    assert (list(args), dict(kwargs)) == ([1], {"b": 2})


def test_a_result_is_the_value_itself():
    assert bound(add).encode_result(3) == b"\x03"


def test_the_message_form_is_refused():
    for method in (DYNAMIC, bound(add)):
        with pytest.raises(
            InvalidArgument,
            match=r"^\$: the codec msgpack has arguments by position, by name or both, and no "
            r"form of one message$",
        ):
            method.decode_args(MESSAGE, b"\x90")


def test_bytes_are_bytes_with_and_without_a_type():
    assert DYNAMIC.encode_result(b"\x00\xff") == packed("c4 02 00 ff")
    assert DYNAMIC.decode_result(packed("c4 02 00 ff")) == b"\x00\xff"
    assert taking(bytes).decode_args(POSITIONAL, packed("91 c4 02 00 ff")) == ((b"\x00\xff",), {})


@pytest.mark.parametrize(
    ("hint", "body", "message"),
    [
        (bytes, "91 a2 4151", "expected bytes, got str"),
        (str, "91 c4 02 4151", "expected str, got bytes"),
    ],
)
def test_text_is_no_bytes_and_bytes_are_no_text(hint, body, message):
    with pytest.raises(InvalidArgument, match=rf"^\$\.p0: {message}$"):
        taking(hint).decode_args(POSITIONAL, packed(body))
    holder = dataclasses.make_dataclass("Holder", [("content", hint)])
    with pytest.raises(
        InvalidArgument, match=rf"^\$\.p0\.content: {message}$"
    ):  # also behind a union of classes
        taking(holder | Photo).decode_args(
            POSITIONAL,
            packed("91 82 a5 2474797065 a6 486f6c646572 a7 636f6e74656e74") + packed(body)[1:],
        )


def test_keys_of_a_dict_keep_their_types():
    for value in ({1: "a", "1": "b"}, {1.5: 1}, {b"k": 1}, {None: 1}, {True: 1}, {(1, 2): 3}):
        got = DYNAMIC.decode_result(DYNAMIC.encode_result(value))
        assert got == value
        assert [type(key) for key in got] == [type(key) for key in value]


@pytest.mark.parametrize("hint", [dict[str, Any], dict[str, Any] | None])
def test_keys_of_the_wrong_type_are_found_on_both_sides(hint):
    method = taking(hint, result=hint)
    for refused in (
        lambda: method.encode_args(({1: 2},), {}),
        lambda: method.decode_args(POSITIONAL, packed("91 81 01 02")),
    ):
        with pytest.raises(
            InvalidArgument, match=r"^\$\.p0: a key of the object: expected str, got int$"
        ):
            refused()
    with pytest.raises(InvalidArgument, match=r"^\$: a key of the object"):
        method.encode_result({1: 2})


# ── datetimes ──


@pytest.mark.parametrize(
    ("moment", "body"),
    [
        (dt.datetime(2020, 1, 1, tzinfo=UTC), "d6 ff 5e0be100"),
        (dt.datetime(2020, 1, 1, 5, 30, tzinfo=EAST), "d6 ff 5e0be100"),
        (dt.datetime(2020, 1, 1, 0, 0, 0, 5, tzinfo=UTC), "d7 ff 00004e205e0be100"),
        (dt.datetime(1, 1, 1, tzinfo=UTC), "c7 0c ff 00000000 fffffff1886e0900"),
    ],
)
def test_a_datetime_with_an_offset_is_a_timestamp_and_arrives_in_utc(moment, body):
    assert DYNAMIC.encode_result(moment) == packed(body)
    for method in (DYNAMIC, taking(result=dt.datetime)):
        got = method.decode_result(packed(body))
        assert got == moment
        assert got.utcoffset() == dt.timedelta(0)


def test_a_datetime_without_an_offset_is_text():
    moment = dt.datetime(2020, 1, 1, 0, 0, 0, 5)  # noqa: DTZ001
    assert DYNAMIC.decode_result(DYNAMIC.encode_result(moment)) == "2020-01-01T00:00:00.000005"
    assert taking(result=dt.datetime).decode_result(DYNAMIC.encode_result(moment)) == moment


def test_a_server_takes_rfc_3339_text_for_a_timestamp():
    method = taking(dt.datetime, Photo | None)
    ((moment, photo), _) = method.decode_args(
        *DYNAMIC.encode_args(
            ("2020-01-01T05:30:00+05:30", {"taken": "2020-01-01T00:00:00Z", "pixels": b"x"}), {}
        )
    )
    assert moment == photo.taken == dt.datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [
        b"\xc7\x0c\xff" + struct.pack(">Iq", 0, 2**62),
        b"\xc7\x0c\xff" + struct.pack(">Iq", 2**31, 0),
        b"\xd7\xff" + b"\xff" * 8,
        b"\xd5\xff\x00\x00",
        b"\xd6\xff\x00\x00\x00",
    ],
)
def test_a_timestamp_that_is_none_is_refused(body):
    for method in (DYNAMIC, taking(result=dt.datetime), taking(result=Photo | int)):
        with pytest.raises(InvalidArgument):
            method.decode_result(body)


def test_a_moment_that_is_out_of_range_in_utc_is_refused():
    moment = dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-2)))
    with pytest.raises(InvalidArgument, match=r"^\$\.a\[0\]: date value out of range$"):
        DYNAMIC.encode_args((), {"a": [moment]})


# ── what MessagePack has and has not ──


def test_a_nan_is_a_number_like_others():
    assert math.isnan(DYNAMIC.decode_result(DYNAMIC.encode_result(math.nan)))
    assert taking(float, result=float).decode_args(*DYNAMIC.encode_args((-math.inf,), {})) == (
        (-math.inf,),
        {},
    )
    assert DYNAMIC.decode_result(DYNAMIC.encode_result([None, 1.0])) == [None, 1.0]


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**5000], ids=int.bit_length)
def test_an_integer_of_more_than_64_bits_is_refused_with_its_path(number):
    with pytest.raises(InvalidArgument, match=r"^\$\.b: ") as caught:
        bound(add).encode_args((), {"a": 1, "b": number})
    assert caught.value.path == "$.b"
    assert DYNAMIC.decode_result(DYNAMIC.encode_result(2**64 - 1)) == 2**64 - 1


@pytest.mark.parametrize(
    "body", ["d4 05 00", "91 d4 05 00", "81 a1 61 d4 05 00", "c7 03 7f 000000"]
)
def test_an_extension_type_that_is_not_the_timestamp_is_refused(body):
    for method in (DYNAMIC, taking(result=dict[str, Any] | list[Any])):
        with pytest.raises(
            InvalidArgument,
            match=r"^\$: (extension type (5|127) of MessagePack is not known here|expected .*, "
            r"got ext)$",
        ) as caught:
            method.decode_result(packed(body))
        assert caught.value.executed == "yes"
    with pytest.raises(InvalidArgument, match=r"^\$\.p0: (extension type|expected .*, got ext)"):
        taking(Any, int).decode_args(POSITIONAL, b"\x92" + packed(body) + b"\x01")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x91",
        b"\xa3ab",
        b"\xa1\xff",
        b"\x81\xa1\xff\x01",
        b"\x81\x80\x01",
        b"\x81\x91\x80\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\x01\x01",
        b"\x01\x01",
    ],
    ids=repr,
)
def test_what_is_not_messagepack_is_an_invalid_argument(body):
    for method in (
        DYNAMIC,
        taking(result=str),
        taking(result=dict[str, Photo | int]),
        taking(result=Photo | dict),
    ):
        with pytest.raises(InvalidArgument):
            method.decode_result(body)


@pytest.mark.parametrize("body", [b"\x91" * 100_000, b"\x81\xa1a" * 100_000, b"\x81" * 100_000])
def test_values_nested_without_bound_are_refused(body):
    for method in (DYNAMIC, taking(Any, result=Any), taking(Photo | dict, result=Photo | dict)):
        with pytest.raises(InvalidArgument):
            method.decode_result(body)
        with pytest.raises(InvalidArgument):
            method.decode_args(POSITIONAL, body)


def test_of_a_key_that_stands_twice_the_last_one_counts():
    assert DYNAMIC.decode_result(packed("82 a1 61 01 a1 61 02")) == {"a": 2}
    assert bound(add).decode_args(NAMED, packed("82 a1 61 01 a1 61 02")) == ((), {"a": 2})


def test_a_record_reads_bytes_and_moments_also_inside_a_union():
    photo = Photo(dt.datetime(2020, 1, 1, tzinfo=UTC), b"\x00\xff")
    method = taking(
        Photo | msgspec.defstruct("Film", [("frames", list[bytes])]), result=list[Photo]
    )
    assert method.decode_args(*method.encode_args((photo,), {})) == ((photo,), {})
    assert method.decode_result(method.encode_result([photo])) == [photo]


# ── through a server ──


class Echo:
    def echo(self, value: Any) -> Any:
        return value

    def photo(self, photo: Photo) -> Photo:
        return photo


def test_calls_travel_in_messagepack_between_a_client_and_a_server_that_offers_two_codecs():
    server = bee_core.build_server(
        {
            "bee": {
                "rpc": {
                    "server": {
                        "name": "echo",
                        "version": "1.0",
                        "codecs": ["json", "msgpack"],
                        "address": "127.0.0.1:0",
                    }
                }
            }
        }
    )
    server.add(Echo())
    with server.in_thread():
        for codec, expected in (("msgpack", b"\x00"), ("json", "AA==")):
            with bee_core.build_client(
                {
                    "bee": {
                        "rpc": {
                            "client": {
                                "echo": {"address": server.address, "codec": codec, "timeout": 20}
                            }
                        }
                    }
                }
            ) as client:
                echo = client.service("echo")
                assert echo.echo(b"\x00") == expected
                assert (
                    client.service("echo", Echo)
                    .photo(Photo(dt.datetime(2020, 1, 1, tzinfo=UTC), b"\xff"))
                    .pixels
                    == b"\xff"
                )
                with pytest.raises(InvalidArgument) as caught:
                    echo.photo({"taken": "soon", "pixels": b""})
                assert caught.value.path == "$.photo.taken"
