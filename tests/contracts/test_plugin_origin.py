"""What names a plugin: its title, its distribution, and the file and line at fault."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path

import attrs
import pytest

from bee_core.contracts.plugin_origin import PluginOrigin, defined_at, of_unknown


class Plugin:
    """A comment that moves the first line of code."""

    limit = 3

    def pick(self):
        return json.loads("{")

    @property
    def state(self):
        return "open"


def line_of(text):
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


PICK = line_of("def pick(self):")


@attrs.frozen
class Generated:
    level: int = 1


@attrs.frozen
class PartlyGenerated:
    level: int = 1

    def pick(self): ...  # of an attrs class


@pytest.mark.parametrize(
    ("thing", "line"),
    [
        (Plugin, PICK),
        (Plugin(), PICK),
        (Plugin.pick, PICK),
        (Plugin().pick, PICK),
        (functools.partial(Plugin().pick, 1), PICK),
        (PartlyGenerated(), line_of("# of an attrs class")),
    ],
    ids=["class", "object", "function", "method", "partial", "partly generated"],
)
def test_where_something_is_defined(thing, line):
    assert defined_at(thing) == (__file__, line)


@pytest.mark.parametrize(
    "thing",
    [math.sqrt, 3, None, Generated(), object()],
    ids=["builtin", "number", "none", "generated", "object"],
)
def test_what_no_file_defines_has_no_place(thing):
    assert defined_at(thing) == ("", None)


def caught(function):
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError


def test_what_a_message_says_of_a_plugin():
    origin = PluginOrigin("balancer", "p2c", "bee-p2c", "1.0", __file__, 12)
    assert str(origin) == f"balancer 'p2c' of bee-p2c 1.0 ({__file__}:12)"
    said = origin.said("pick", caught(Plugin().pick))
    assert said.startswith("balancer 'p2c' of bee-p2c 1.0: pick raised JSONDecodeError: ")
    assert said.endswith(f"({__file__}:{PICK + 1})")
    assert PluginOrigin("codec", "x").said("bind", ValueError()) == (
        "codec 'x': bind raised ValueError"
    )


def test_a_fault_names_the_plugin_and_has_its_error_as_the_cause():
    error = caught(Plugin().pick)
    fault = PluginOrigin("balancer", "p2c", "bee-p2c", "1.0").fault(
        "pick", error, executed="maybe", service="calc"
    )
    assert (fault.plugin, fault.distribution) == ("balancer 'p2c'", "bee-p2c")
    assert (fault.executed, fault.service, fault.__cause__) == ("maybe", "calc", error)


def test_an_object_that_no_hub_made_is_named_by_its_class():
    assert str(of_unknown(Plugin())) == f"plugin 'Plugin' ({__file__}:{PICK})"
