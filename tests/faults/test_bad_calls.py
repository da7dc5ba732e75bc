"""Calls that cannot succeed.

Unknown methods, wrong arguments, results that do not fit, bodies that are too large.
"""

from __future__ import annotations

import random

import pytest

from bee_core.errors import InvalidArgument, MessageTooLarge, MethodNotFound
from faults.services import max_size, serving


def noise(size):
    """Text that does not compress."""
    return random.Random(1).randbytes(size // 2).hex()


def test_a_method_that_does_not_exist_is_named_with_similar_ones(server, users, calculator):
    with pytest.raises(MethodNotFound, match=r"did you mean .*add") as caught:
        users(server.address).call("addd", 1, 2)
    assert caught.value.executed == "no"
    assert caught.value.attempts == 1, "no other node would know it either"


@pytest.mark.parametrize("method", ["add", "add_async", "add_here"])
@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((1,), {}, "missing 'b'"),
        ((1, 2, 3), {}, "3"),
        ((1,), {"c": 2}, "c"),
        ((1, 2), {"a": 1}, "a"),
        ((), {"a": 1}, "missing 'b'"),
        ((1, "x"), {}, r"\$\.b"),
        ((1, 2.5), {}, r"\$\.b"),
        ((1, None), {}, r"\$\.b"),
        ((1, [2]), {}, r"\$\.b"),
    ],
)
def test_arguments_that_do_not_fit_a_typed_handler_are_refused_before_it_runs(
    server, users, calculator, method, args, kwargs, says
):
    with pytest.raises(InvalidArgument, match=says) as caught:
        users(server.address).call(method, *args, **kwargs)
    assert caught.value.executed == "no"
    assert calculator.runs == 0


def test_the_path_of_a_wrong_argument_is_a_field_of_the_error(server, users):
    with pytest.raises(InvalidArgument) as caught:
        users(server.address).call("add", 1, "x")
    assert caught.value.path == "$.b"


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2), {}), ((), {"other": 1})])
def test_a_wrong_number_of_arguments_is_refused_by_an_untyped_handler_too(
    server, users, calculator, args, kwargs
):
    with pytest.raises(InvalidArgument) as caught:
        users(server.address).call("echo", *args, **kwargs)
    assert caught.value.executed == "no"
    assert calculator.runs == 0


def test_an_untyped_handler_takes_any_value(server, users):
    user = users(server.address)
    for value in (None, True, 1.5, "text", [1, [2]], {"a": {"b": 1}}):
        assert user.call("echo", value) == value


def test_an_argument_that_cannot_be_encoded_is_refused_before_anything_is_sent(
    server, users, calculator
):
    with pytest.raises(InvalidArgument) as caught:
        users(server.address).call("echo", object())
    assert caught.value.executed == "no"
    assert caught.value.attempts == 0
    assert calculator.runs == 0


@pytest.mark.parametrize("method", ["opaque", "liar"])
def test_a_result_that_does_not_fit_says_that_the_handler_ran(server, users, method):
    user = users(server.address)
    with pytest.raises(InvalidArgument, match=f"the result of {method}") as caught:
        user.call(method)
    assert caught.value.executed == "yes"
    assert user.call("add", 1, 2) == 3


def test_a_large_body_that_compresses_passes(server, users):
    assert users(server.address).call("size", "a" * 3_000_000) == 3_000_000


def test_a_large_body_that_does_not_compress_is_refused_before_anything_is_sent(
    server, users, calculator
):
    with pytest.raises(MessageTooLarge, match="Split the interface") as caught:
        users(server.address).call("size", noise(5_000_000))
    assert caught.value.executed == "no"
    assert caught.value.attempts == 0
    assert calculator.runs == 0


def test_a_large_body_is_refused_without_a_compressor(server, users):
    with pytest.raises(MessageTooLarge, match="no compressor") as caught:
        users(server.address, compress="none").call("size", "a" * 3_000_000)
    assert caught.value.executed == "no"


def test_a_large_result_that_compresses_passes(server, users):
    assert users(server.address).call("letters", 3_000_000) == "a" * 3_000_000


def test_a_large_result_that_does_not_compress_is_refused_though_it_ran(users, calculator):
    class Noisy:
        def noise(self) -> str:
            calculator.runs += 1
            return noise(5_000_000)

        def fine(self) -> bool:
            return True

    with serving(Noisy()) as server:
        user = users(server.address, fail="failover", idempotent=True)
        with pytest.raises(MessageTooLarge, match="the result of noise") as caught:
            user.call("noise")
        assert caught.value.executed == "yes"
        assert calculator.runs == 1
        assert user.call("fine")


def test_a_body_that_only_the_server_finds_too_large_did_not_run(users, calculator):
    with serving(calculator, macher=max_size("64k")) as server:
        user = users(server.address, compress="none", retries=0)
        with pytest.raises(MessageTooLarge, match="max_size") as caught:
            user.call("size", "a" * 1_500_000)
        assert caught.value.executed == "no"
        assert calculator.runs == 0
        assert user.call("size", "abc") == 3


def test_a_result_larger_than_the_client_takes_is_refused_by_the_server(server, users):
    user = users(server.address, codec=max_size("64k"), compress="none")
    with pytest.raises(MessageTooLarge) as caught:
        user.call("letters", 1_000_000)
    assert caught.value.executed == "yes"
    assert user.call("letters", 3) == "aaa"


def test_a_reply_that_inflates_beyond_the_clients_bound_is_refused(server, users):
    user = users(server.address, codec=max_size("64k", max_inflated="128k"))
    with pytest.raises(MessageTooLarge, match="max_inflated") as caught:
        user.call("letters", 1_000_000)
    assert caught.value.executed == "yes"
    assert user.call("letters", 3) == "aaa"
