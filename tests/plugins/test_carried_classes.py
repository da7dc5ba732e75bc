"""Classes of the standard library and of pydantic: as hints, as values, in each other."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import pathlib
import subprocess
import sys
import typing
from collections import Counter, OrderedDict, defaultdict, deque
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Generic, NoReturn, TypeVar

import attrs
import pydantic
import pydantic.dataclasses
import pytest

from bee_core.interfaces import Signature
from support.typed_codecs import check_round_trip, refusal, sent, taking, with_all_codecs

T = TypeVar("T")
V4, V6 = IPv4Address("10.0.0.1"), IPv6Address("fe80::1")


@dataclasses.dataclass
class Host:
    address: IPv4Address | IPv6Address
    home: pathlib.PurePosixPath
    log: deque[int] = dataclasses.field(default_factory=deque)
    peers: dict[IPv4Address, list[IPv6Network]] | None = None


HOST = Host(V6, pathlib.PurePosixPath("/home/ann"), deque([1, 2]), {V4: [IPv6Network("fe80::/10")]})


@attrs.frozen
class Cat:
    name: str


@with_all_codecs
@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (IPv4Address, V4),
        (IPv6Address, V6),
        (IPv4Network, IPv4Network("10.0.0.0/8")),
        (IPv4Interface, IPv4Interface("10.0.0.1/8")),
        (IPv4Address | None, None),
        (IPv4Address | None, V4),
        (IPv4Address | IPv6Address, V6),
        (IPv4Address | IPv4Network | int | None, IPv4Network("10.0.0.0/8")),
        (IPv4Address | IPv4Network | int | None, 7),
        (list[IPv4Address | list[int]], [V4, [1]]),
        (dict[IPv4Address, int], {V4: 1}),
        (dict[IPv4Address | IPv6Address, int], {V4: 1, V6: 2}),
        (set[IPv4Address], {V4}),
        (pathlib.Path, pathlib.Path("/tmp/a b")),
        (pathlib.PureWindowsPath, pathlib.PureWindowsPath("C:/a")),
        (dict[pathlib.Path, pathlib.Path], {pathlib.Path("a"): pathlib.Path("b")}),
        (deque[int], deque([1, 2])),
        (deque, deque([1, "x"])),
        (deque[Cat | Host] | None, deque([Cat("Tom"), HOST])),
        (defaultdict[str, list[int]], defaultdict(list, a=[1])),
        (defaultdict[int, Cat], defaultdict(None, {1: Cat("Tom")})),
        (OrderedDict[str, int], OrderedDict(b=1, a=2)),
        (OrderedDict[IPv4Address, Cat] | int, OrderedDict({V4: Cat("Tom")})),
        (Counter[str], Counter("hello")),
        (Host, HOST),
        (Host | Cat, HOST),
        (tuple[Host, IPv4Address], (HOST, V4)),
    ],
    ids=lambda part: str(part)[:50],
)
def test_a_value_comes_back_as_it_was(codec, hint, value):
    check_round_trip(codec, hint, value)


@with_all_codecs
def test_a_defaultdict_makes_what_its_values_are(codec):
    method = taking(codec, Any, defaultdict[str, list[int]])
    arrived = method.decode_result(method.encode_result(defaultdict(list, a=[1])))
    arrived["new"].append(2)
    assert arrived == {"a": [1], "new": [2]}


@with_all_codecs
@pytest.mark.parametrize(
    ("hint", "value", "problem"),
    [
        (IPv4Address, "nowhere", "$.p: not the text of a IPv4Address: "),
        (IPv4Address, 5, "$.p: expected IPv4Address, got int"),
        (IPv4Network, "10.0.0.1/8", "$.p: not the text of a IPv4Network: "),
        (pathlib.Path, 5, "$.p: expected Path, got int"),
        (deque[int], [1, "x"], "$.p[1]: expected int, got str"),
        (dict[IPv4Address, int], {"x": 1}, "$.p: not the text of a IPv4Address: "),
        (OrderedDict[str, int], {"a": "x"}, "$.p['a']"),
        (IPv4Address | int, "x", "$.p: not the text"),
        (NoReturn, 1, "$.p: expected nothing, because the method never returns, got 1"),
    ],
    ids=lambda part: str(part)[:50],
)
def test_what_does_not_fit_is_refused_with_its_path(codec, hint, value, problem):
    if "['a']" in problem:  # msgspec writes [...] for any key
        problem = "$.p"
    assert refusal(sent, codec, hint, value).startswith(problem)


@with_all_codecs
@pytest.mark.parametrize(
    "hint",
    [
        IPv4Address | str,
        pathlib.Path | IPv4Address,
        IPv4Network | IPv4Interface,
        pathlib.Path | str,
        IPv4Address | dt.date,
        deque[int] | list[str],
        dict[IPv4Address | str, int],
    ],
    ids=str,
)
def test_what_cannot_be_told_apart_is_refused_when_bound(codec, hint):
    with pytest.raises(TypeError, match="of its parameter p cannot be carried: "):
        taking(codec, hint)


@with_all_codecs
def test_without_a_type_they_arrive_as_what_carries_them(codec):
    method = codec.bind(Signature.dynamic("f"))
    value = {"a": [V4, pathlib.PurePosixPath("/x")], "d": deque([1]), "o": OrderedDict(x=1)}
    assert method.decode_result(method.encode_result(value)) == {
        "a": ["10.0.0.1", "/x"],
        "d": [1],
        "o": {"x": 1},
    }


@with_all_codecs
@pytest.mark.parametrize(
    "hint", [NoReturn, *([typing.Never] if sys.version_info >= (3, 11) else [])]
)
def test_a_method_that_never_returns_may_say_so(codec, hint):
    method = taking(codec, int, hint)
    assert refusal(method.encode_result, None).startswith("$: expected nothing, because the method")


# ── pydantic ──


class Line(pydantic.BaseModel):
    name: str
    qty: int = pydantic.Field(gt=0)


class Status(enum.Enum):
    OPEN = "open"


class Order(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    id: int = pydantic.Field(alias="orderId")
    lines: list[Line] = []
    placed: dt.datetime | None = None
    tags: set[str] = set()
    where: tuple[float, float] | None = None
    host: IPv4Address | None = None
    status: Status = Status.OPEN
    parent: Order | None = None


class BigLine(Line):
    colour: str = "red"


class Box(pydantic.BaseModel, Generic[T]):
    content: T


class Names(pydantic.RootModel[list[str]]): ...


@pydantic.dataclasses.dataclass
class Point:
    x: int
    label: str = pydantic.Field(default="", max_length=3)


@dataclasses.dataclass
class Batch:
    orders: list[Order]
    best: Line | None = None


class Record(typing.TypedDict):
    line: Line


ORDER = Order(
    orderId=7,
    lines=[Line(name="tea", qty=1)],
    placed=dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc),
    tags={"a", "b"},
    where=(1.5, 2.0),
    host=V4,
    parent=Order(orderId=1),
)


@with_all_codecs
@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Order, ORDER),
        (Order | None, None),
        (list[Order], [ORDER]),
        (dict[str, Line], {"a": Line(name="tea", qty=1)}),
        (Line | Order | None, ORDER),
        (Line | Cat, Line(name="tea", qty=2)),
        (Line | Cat, Cat("Tom")),
        (Line | int, 3),
        (Box[Line], Box[Line](content=Line(name="tea", qty=1))),
        (Names, Names(["a"])),
        (Names | None, Names(["a"])),
        (Point, Point(1, "a")),
        (Point | Line, Point(1, "a")),
        (Batch, Batch([ORDER], Line(name="rum", qty=2))),
        (Record, {"line": Line(name="rum", qty=2)}),
        (tuple[Line, int], (Line(name="rum", qty=2), 1)),
    ],
    ids=lambda part: str(part)[:50],
)
def test_a_model_comes_back_as_it_was(codec, hint, value):
    check_round_trip(codec, hint, value)


@with_all_codecs
def test_a_model_travels_under_its_aliases_also_without_a_type(codec):
    typed, dynamic = taking(codec, Order, Order), codec.bind(Signature.dynamic("f"))
    for method in (typed, dynamic):
        arrived = dynamic.decode_result(method.encode_result(ORDER))
        assert (arrived["orderId"], arrived["lines"], arrived["host"]) == (
            7,
            [{"name": "tea", "qty": 1}],
            "10.0.0.1",
        )
    assert sent(codec, Order, {"orderId": 7, "lines": [{"name": "tea", "qty": 1}]}).id == 7


@with_all_codecs
@pytest.mark.parametrize(
    ("hint", "value", "problem"),
    [
        (Line, {"name": "a", "qty": 0}, "$.p.qty: input should be greater than 0"),
        (Line, {"name": "a"}, "$.p.qty: field required"),
        (Line, 3, "$.p: input should be an object"),
        (list[Order], [{"orderId": 1, "lines": [{"name": 1, "qty": 1}]}], "$.p[0].lines[0].name: "),
        (Batch, {"orders": [{"orderId": "x"}]}, "$.p.orders[0].orderId: "),
        (Point, {"x": 1, "label": "long"}, "$.p.label: string should have at most 3"),
        (Line | Cat, {"$type": "Line", "name": "a", "qty": -1}, "$.p.qty: input should be"),
    ],
    ids=lambda part: str(part)[:50],
)
def test_what_a_model_refuses_is_an_invalid_argument_with_the_path(codec, hint, value, problem):
    assert refusal(sent, codec, hint, value).startswith(problem)


@with_all_codecs
def test_a_field_of_a_model_s_subclass_is_not_lost_in_silence(codec):
    big = BigLine(name="tea", qty=1)
    assert "$.p.colour: Line has no such field" in refusal(
        taking(codec, Line).encode_args, (big,), {}
    )
    order = Order(orderId=1)
    order.lines.append(big)
    assert "$.p.lines[0].colour: Line has no such field" in refusal(
        taking(codec, Order).encode_args, (order,), {}
    )
    check_round_trip(codec, Line | BigLine, big)


@with_all_codecs
def test_what_a_model_changes_when_it_is_read_is_refused(codec):
    class Doubling(pydantic.BaseModel):
        x: int

        @pydantic.field_validator("x")
        @classmethod
        def double(cls, value):
            return value * 2

    method = taking(codec, Doubling)
    assert "$.p.x: 4 would arrive as 8" in refusal(method.encode_args, (Doubling(x=2),), {})


@with_all_codecs
def test_a_model_that_writes_and_reads_under_two_names_is_refused_when_bound(codec):
    class Torn(pydantic.BaseModel):
        a: int = pydantic.Field(0, serialization_alias="b", validation_alias="c")

    class Holder(pydantic.BaseModel):
        torn: list[Torn]

    for hint in (Torn, Holder):
        with pytest.raises(
            TypeError, match=r"Torn\.a is written as 'b' and not read under that name"
        ):
            taking(codec, hint)


@with_all_codecs
def test_a_root_model_beside_others_is_refused_when_bound(codec):
    with pytest.raises(TypeError, match="Names may be anything; put it into a model of its own"):
        taking(codec, Names | int)


@with_all_codecs
def test_what_a_model_leaves_out_by_itself_is_left_out(codec):
    class Account(pydantic.BaseModel):
        name: str
        password: str = pydantic.Field("", exclude=True)

        @pydantic.computed_field
        @property
        def shout(self) -> str:
            return self.name.upper()

    method = taking(codec, Any, Account)
    arrived = method.decode_result(method.encode_result(Account(name="ann", password="x")))
    assert arrived == Account(name="ann")


@with_all_codecs
def test_bytes_that_have_no_json_form_are_refused(codec):
    class Blob(pydantic.BaseModel):
        data: bytes

    method = taking(codec, Blob)
    assert refusal(method.encode_args, (Blob(data=b"\xff"),), {}).startswith("$.p")


def test_pydantic_is_not_imported_unless_a_class_of_it_is_seen():
    program = (
        "import sys, bee_plugins.codecs.json_codec as j; from bee_core.interfaces import Signature\n"
        "def f(x: int) -> dict: ...\n"
        "j.JsonCodec().bind(Signature.of(f, 'f')).encode_args((1,), {})\n"
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
