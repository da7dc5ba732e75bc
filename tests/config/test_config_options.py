from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence  # noqa: TC003  read at run time
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from attrs import validators

from bee_core.config import load_config, structure_options
from bee_core.config.values import Text
from bee_core.errors import ConfigError
from bee_core.options import Bytes, Seconds  # noqa: TC001  read at run time

PATH = "bee.rpc.client.calc.codec.options"


class Mode(enum.Enum):
    FAST = "fast"
    SAFE = "safe"


@attrs.frozen
class Nested:
    size: Bytes = 1
    ratio: float = attrs.field(default=0.5, validator=[validators.ge(0), validators.le(1)])


@attrs.frozen
class Options:
    wait: Seconds = 1.0
    limit: Bytes | None = None
    count: int = attrs.field(default=1, validator=validators.ge(1))
    strict: bool = False
    mode: Mode = Mode.FAST
    level: Literal["low", "high", 3] = "low"
    path: Path | None = None
    names: list[str] = attrs.field(factory=list)
    pair: tuple[int, str] = (1, "a")
    weights: Mapping[str, float] = attrs.field(factory=dict)
    nested: Nested = attrs.field(factory=Nested)
    more: Sequence[Nested] = ()
    either: int | str = 0
    anything: Any = None
    upper: str = attrs.field(default="", converter=str.upper)
    kept: float = attrs.field(default=1.0)

    @kept.validator
    def _below_count(self, attribute: Any, value: float) -> None:
        if value > self.count:
            raise ValueError("kept is more than count")


def plain(text):
    return Text(text, 1, plain=True)


def failure(raw, cls=Options, **more):
    with pytest.raises(ConfigError) as caught:
        structure_options(cls, raw, PATH, **more)
    return caught.value


def test_options_of_every_type_are_read():
    raw = {
        "wait": plain("500ms"),
        "limit": plain("64k"),
        "count": plain("3"),
        "strict": plain("yes"),
        "mode": plain("safe"),
        "level": plain("3"),
        "path": plain("/run/x"),
        "names": [plain("a"), plain("1.10")],
        "pair": [plain("2"), plain("b")],
        "weights": {"a": plain("0.5")},
        "nested": {"size": plain("1k")},
        "more": [{"ratio": plain("1")}],
        "either": plain("7"),
        "anything": {"x": [plain("1.5"), plain("~"), Text("1")]},
        "upper": plain("x"),
        "kept": plain("2"),
    }
    assert structure_options(Options, raw, PATH) == Options(
        wait=0.5,
        limit=65536,
        count=3,
        strict=True,
        mode=Mode.SAFE,
        level=3,
        path=Path("/run/x"),
        names=["a", "1.10"],
        pair=(2, "b"),
        weights={"a": 0.5},
        nested=Nested(1024),
        more=(Nested(ratio=1.0),),
        either=7,
        anything={"x": [1.5, None, "1"]},
        upper="x",
        kept=2.0,
    )


def test_values_from_python_are_read_alike():
    raw = {
        "wait": 2,
        "mode": Mode.SAFE,
        "level": 3,
        "names": ("a",),
        "nested": Nested(5),
        "either": "x",
        "path": Path("/a"),
        "limit": None,
    }
    assert structure_options(Options, raw, PATH) == Options(
        wait=2.0,
        mode=Mode.SAFE,
        level=3,
        names=["a"],
        nested=Nested(5),
        either="x",
        path=Path("/a"),
    )


def test_no_options_are_the_defaults():
    assert structure_options(Options, {}, PATH) == Options()


@pytest.mark.parametrize(
    ("raw", "path", "sentence"),
    [
        ({"wiat": 1}, "wiat", "did you mean 'wait'?"),
        ({"wait": "-1"}, "wait", "is negative"),
        ({"limit": "2.7"}, "limit", "not a whole number of bytes"),
        ({"count": "2.7"}, "count", "not a whole number"),
        ({"count": 0}, "count", "must be >= 1"),
        ({"strict": 1}, "strict", "1 is not true or false"),
        ({"mode": "slow"}, "mode", "'slow' is none of: fast, safe"),
        ({"level": "4"}, "level", "none of: low, high, 3"),
        ({"names": "abc"}, "names", "'abc' is not a list"),
        ({"names": ["a", 1]}, "names[1]", "1 is not text"),
        ({"pair": [1]}, "pair", "2 are wanted"),
        ({"weights": {"a": "x"}}, "weights.a", "'x' is not a number"),
        ({"nested": {"ratio": 2}}, "nested.ratio", "must be <= 1"),
        ({"nested": 3}, "nested", "a section with keys is wanted"),
        ({"more": [{}, {"size": "x"}]}, "more[1].size", "not a size"),
        ({"either": 2.5}, "either", "2.5 is neither int nor str"),
    ],
)
def test_wrong_options_are_named_with_their_path(raw, path, sentence):
    error = failure(raw)
    assert error.path == f"{PATH}.{path}"
    assert sentence in error.message


def test_a_validator_that_looks_at_other_fields_is_run_and_reported_at_the_options():
    error = failure({"count": 1, "kept": 5})
    assert (error.path, error.message) == (PATH, "kept is more than count")


def test_a_validator_never_shows_what_a_variable_holds():
    error = failure({"count": Text("-123456", 1, written="${SECRET}")})
    assert "123456" not in str(error)
    assert error.value == "${SECRET}"


def test_options_for_a_plugin_that_takes_none_are_refused():
    error = failure({"a": 1, "b": 2}, cls=None)
    assert [problem.path for problem in error.problems] == [f"{PATH}.a", f"{PATH}.b"]
    assert structure_options(None, {}, PATH) is None


def test_the_line_of_an_option_is_found_by_the_configuration(tmp_path):
    file = tmp_path / "bee.yml"
    file.write_text(
        (
            "bee:\n rpc:\n  client:\n   calc:\n    codec:\n     name: x\n     options:\n"
            "      count: many\n"
        ),
        encoding="utf-8",
    )
    config = load_config(file)
    raw = config.client("calc").codec.options
    error = failure(raw, origin=config)
    assert (error.line, error.source) == (8, str(file))
    assert failure(raw, origin=config.origin).line == 8
    assert failure(raw).line is None
