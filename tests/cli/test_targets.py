"""What a TARGET becomes: an object, a function, or what a factory makes of it; and its interface."""

from __future__ import annotations

import pytest

from bee_core.cli.command_group import UnusableCommandError
from bee_core.cli.targets import load_target

MADE = """
from __future__ import annotations
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING
import bee_core
if TYPE_CHECKING:
    from bee_core import Server

CONFIG = {"bee": {"rpc": {"server": {"name": "made", "version": "4.0", "address": "127.0.0.1:0"}}}}

class Calc:
    def __init__(self, step: int = 1) -> None:
        self.step = step
    def add(self, a: int, b: int) -> int:
        return a + b
    def reset(self) -> None: ...

class Api:
    def add(self, a: int, b: int) -> int: ...

class Wrong:
    def subtract(self, a: int) -> int: ...

@dataclass
class Row:
    key: int

def server() -> bee_core.Server:
    made = bee_core.build_server(CONFIG)
    made.add(Calc(2))
    return made

def typed() -> Server:
    return server()

def make_server():
    return server()

def make_calc() -> Calc:
    return Calc(3)

def create_calc(step=4):
    return Calc(step)

def build_adder():
    def plus(a: int, b: int) -> int:
        return a + b
    return plus

def calc():
    return Calc(5)

def version() -> str:
    return "1.0"

def make_token() -> str:
    return "t"

def make_row() -> Row:
    return Row(1)

def make_calc_of(step):
    return Calc(step)

def make_nothing():
    return None

def make_text():
    return "text"

def make_class():
    return Calc

async def make_later():
    return Calc()

def make_trouble():
    raise OSError("no database")
"""


@pytest.fixture
def load(folder, write):
    write("made.py", MADE)
    return lambda text: load_target(text).value


@pytest.mark.parametrize("name", ["server", "typed", "make_server", "server()"])
def test_a_function_that_says_so_or_has_the_name_makes_a_server(load, name):
    made = load(f"made:{name}")
    assert made.config.server.name == "made"
    assert made.methods == ("add", "reset")


@pytest.mark.parametrize(
    ("name", "step"),
    [("Calc", 1), ("make_calc", 3), ("create_calc", 4), ("calc()", 5), ("Calc()", 1)],
)
def test_a_class_and_a_factory_give_an_object(load, name, step):
    assert load(f"made:{name}").step == step


def test_a_factory_may_make_a_function_and_what_it_makes_may_have_a_name(load):
    assert load("made.py:build_adder").__name__ == "plus"
    target = load_target("Calc=made:make_calc()")
    assert (target.name, target.value.step) == ("Calc", 3)


@pytest.mark.parametrize("name", ["version", "make_token", "make_row", "calc", "make_calc_of"])
def test_other_functions_are_served_and_not_called(load, name):
    assert load(f"made:{name}").__name__ == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("make_nothing", "made:make_nothing() returned None, and a factory returns an object"),
        ("make_text", "returned an object of str, and a factory returns"),
        ("make_class", "returned an object of type, and a factory returns"),
        ("make_later()", "made:make_later is async def; a factory is a plain def"),
        ("make_calc_of()", "cannot be called without arguments (missing a required argument"),
    ],
)
def test_a_factory_that_makes_nothing_to_serve_is_a_usage_error(load, name, message):
    with pytest.raises(UnusableCommandError) as caught:
        load(f"made:{name}")
    assert message in str(caught.value)


def test_a_factory_that_raises_is_named(run, load):
    result = run("serve", "made:make_trouble")
    assert (result.code, result.err) == (
        1,
        "error: made:make_trouble() failed: OSError: no database (--debug shows where)\n",
    )


# --interface.


def test_only_the_methods_of_the_interface_are_served(load, start, connect):
    calc = connect(start("serve", "made:make_calc", "--interface", "made:Api").address())
    assert calc.add(1, 2) == 3
    with pytest.raises(Exception, match="no method 'reset'"):
        calc.reset()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("made:Calc", "--interface", "made:Wrong"), "does not implement Wrong"),
        (("made:Calc", "--interface", "made"), "'made' is not an interface"),
        (("made:Calc", "--interface", "made:make_calc"), "an interface is a class"),
        (("made:server", "--interface", "made:Api"), "leave --interface away"),
        (("made:Calc", "made:version", "--interface", "made:Api"), "--interface is for one TARGET"),
    ],
)
def test_an_interface_that_does_not_fit_is_a_usage_error(load, run, words, message):
    result = run("serve", *words)
    assert (result.code, message in result.err) == (2, True), result.err
    assert result.err.count("\n") == 1
