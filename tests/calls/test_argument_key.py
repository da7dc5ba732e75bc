"""The routing key that is taken from the arguments of a call."""

from __future__ import annotations

import pytest

from bee_core.calls.argument_key import argument_key, text_of_key
from bee_core.calls.call import begin, encode
from bee_core.calls.options import CallOptions
from bee_core.calls.plan import make_plan
from bee_core.errors import InvalidArgument
from bee_core.methods.signatures import Signature
from support.call_harness import SUCCESS, Harness


def by_hand(user, size=3, *rest, group=None):
    """A method of an interface."""


def others(*args, **kwargs):
    """Likewise."""


def find(function, name, *args, **kwargs):
    signature = None if function is None else Signature.of(function, "m")
    wanted = argument_key(name, signature)
    return "not looked for" if wanted is None else wanted.find(args, kwargs)


@pytest.mark.parametrize(
    ("function", "name", "args", "kwargs", "key"),
    [
        (by_hand, "user", ("ann",), {}, "ann"),
        (by_hand, "user", (), {"user": "ann"}, "ann"),
        (by_hand, "size", ("ann", 7), {}, "7"),
        (by_hand, "size", ("ann",), {}, "3"),  # the default of the interface
        (by_hand, "group", ("ann",), {"group": "g"}, "g"),
        (by_hand, "group", ("ann", 1, "g"), {}, None),
        (by_hand, "nobody", ("ann",), {}, "not looked for"),
        (others, "user", ("ann",), {}, None),
        (others, "user", (), {"user": "ann"}, "ann"),
        (None, "user", ("ann",), {}, None),  # nobody knows the names of positions
        (None, "user", (), {"user": "ann"}, "ann"),
        (by_hand, None, ("ann",), {}, "not looked for"),
    ],
)
def test_where_the_key_is_found(function, name, args, kwargs, key):
    assert find(function, name, *args, **kwargs) == key


class Colour(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ann", "ann"),
        (Colour("red"), "red"),
        (42, "42"),
        (-7, "-7"),
        (True, "true"),
        (False, "false"),
        (b"\x00\xff", "00ff"),
        (None, None),
    ],
)
def test_the_text_of_a_value_is_the_same_in_every_language(value, text):
    assert text_of_key(value) == text


@pytest.mark.parametrize("value", [1.5, [], {}, object(), 10**5000], ids=type)
def test_other_values_have_no_text_that_all_languages_agree_on(value):
    with pytest.raises(TypeError, match="is no key"):
        text_of_key(value)


class Keyed:
    """A balancer that keeps the keys it was asked with."""

    settle = None

    def __init__(self, key_argument):
        self.key_argument = key_argument
        self.keys = []

    def update(self, ready):
        self.ready = ready

    def pick(self, key, tried, now, rng):
        self.keys.append(key)
        return next((node for node in self.ready if node.id not in tried), None)


def keys_of(*options, args=(), kwargs=None, key_argument="user", answers=(SUCCESS,)):
    balancer = Keyed(key_argument)
    harness = Harness("ab", balancer=balancer)
    plan = make_plan(harness.service, "m", options=CallOptions(**dict(options)))
    form, body = encode(plan, args, kwargs or {})
    call = begin(plan, args, kwargs or {}, form, body, False)
    return harness.drive(call, *answers), balancer.keys


def test_the_balancer_is_asked_with_the_key_of_the_arguments():
    assert keys_of(kwargs={"user": "ann"})[1] == ["ann"]
    assert keys_of(kwargs={"other": "ann"})[1] == [None]


def test_a_stated_key_is_the_key():
    assert keys_of(("key", "stated"), kwargs={"user": "ann"})[1] == ["stated"]


def test_a_balancer_that_names_no_argument_gets_the_stated_key_only():
    assert keys_of(kwargs={"user": "ann"}, key_argument=None)[1] == [None]


def test_a_value_that_is_no_key_is_an_invalid_argument_and_nothing_is_sent():
    with pytest.raises(InvalidArgument, match=r"takes its key from the argument 'user'.*float"):
        raise keys_of(kwargs={"user": 1.5}, answers=())[0].error
