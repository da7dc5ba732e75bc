"""The fallback ``last-good``, by itself and in calls."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bee_core
from bee_core.errors import ConfigError, DeadlineExceeded, RemoteError, Unavailable
from bee_core.interfaces import MESSAGE, NAMED, POSITIONAL, PastResult, Request, RequestHead
from bee_core.terms.causes import lost, read_timed_out, refused
from bee_core.testing import FakeClock, FallbackContract
from bee_plugins.fallbacks.last_good import ENTRY, SHORT, LastGood, LastGoodOptions
from bee_plugins.fallbacks.static import Static, StaticOptions
from support.call_harness import SUCCESS, Harness

DOWN = Unavailable("no node")
LOST = lost("end of file")


class TestLastGood(FallbackContract):
    def make_fallback(self):
        return LastGood(LastGoodOptions())


class TestLastGoodWithAnother(FallbackContract):
    def make_fallback(self):
        return LastGood(LastGoodOptions(otherwise=Static(StaticOptions(0))))


def request(
    method="add", body=b"[1,2]", form=POSITIONAL, metadata=(), baggage=(), idempotent=False
):
    head = RequestHead("calc", method, dict(metadata), dict(baggage), idempotent=idempotent)
    return Request(head, form, body, False, 10.0, 1.0, 1.0, 1.0)


class Kept:
    def __init__(self, **options):
        self.clock = FakeClock()
        self.fallback = LastGood(LastGoodOptions(**options))

    def learn(self, body, asked=None):
        self.fallback.learn(asked or request(), PastResult(body, self.clock(), self.clock))

    def recall(self, asked=None, error=DOWN):
        past = self.fallback.recall(asked or request(), error)
        return None if past is None else past.body


def test_the_last_result_of_the_same_call_is_the_answer():
    kept = Kept()
    kept.learn(b"3")
    kept.learn(b"4")
    assert kept.recall() == b"4"


@pytest.mark.parametrize(
    "other",
    [
        request(method="sub"),
        request(body=b"[1,3]"),
        request(body=b"[1.0,2]"),
        request(body=b"[true,2]"),
        request(form=NAMED),
        request(form=MESSAGE),
        request(metadata={"tenant": "b"}),
        request(baggage={"tenant": "b"}),
        request(body=b"[1,2]" + b" " * 2000),
    ],
    ids=["method", "value", "float", "bool", "named", "message", "metadata", "baggage", "long"],
)
def test_another_call_gets_no_answer(other):
    kept = Kept()
    kept.learn(b"3")
    assert kept.recall(other) is None
    kept.learn(b"4", other)
    assert (kept.recall(), kept.recall(other)) == (b"3", b"4")


def test_metadata_and_baggage_are_not_mixed_up():
    kept = Kept()
    kept.learn(b"3", request(metadata={"tenant": "a"}))
    assert kept.recall(request(baggage={"tenant": "a"})) is None


def test_the_context_of_a_trace_is_no_part_of_the_key_and_other_names_can_be_left_out():
    kept = Kept(ignore=("traceparent", "request-id"))
    kept.learn(b"3", request(metadata={"traceparent": "1", "request-id": "1", "tenant": "a"}))
    again = {"traceparent": "2", "request-id": "2", "tenant": "a"}
    assert kept.recall(request(metadata=again)) == b"3"
    assert kept.recall(request(metadata=again | {"tenant": "b"})) is None


def test_a_result_that_is_too_old_is_no_answer_and_is_let_go():
    kept = Kept(max_age=60.0)
    kept.learn(b"3")
    kept.clock.advance(60.0)
    assert kept.recall() == b"3"
    kept.clock.advance(0.1)
    assert kept.recall() is None
    assert kept.fallback.kept == (0, 0)


def test_only_the_errors_that_are_named_are_answered():
    kept = Kept()
    kept.learn(b"3")
    assert kept.recall(error=RemoteError("raised")) is None
    kept = Kept(when=("DeadlineExceeded",))
    kept.learn(b"3")
    assert kept.recall() is None
    assert kept.recall(error=DeadlineExceeded("late")) == b"3"


@pytest.mark.parametrize("size", [0, 1, SHORT, SHORT + 1, 100_000])
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3000)), max_size=60),
    st.integers(1, 20),
    st.integers(1024, 20_000),
)
@settings(max_examples=40, deadline=None)
def test_the_bounds_hold_and_the_oldest_goes_first(size, learned, max_entries, max_bytes):
    kept = Kept(max_entries=max_entries, max_bytes=max_bytes)
    model = {}
    for name, length in learned:
        body = str(name).encode().ljust(size, b" ") or b" "
        asked = request(method=str(name), body=body)
        kept.learn(b"x" * length, asked)
        model.pop(name, None)
        cost = ENTRY + length + (len(body) if len(body) <= SHORT else 32)
        if cost <= max_bytes:
            model[name] = cost
        while sum(model.values()) > max_bytes or len(model) > max_entries:
            del model[next(iter(model))]
        assert kept.fallback.kept == (len(model), sum(model.values()))
        assert (kept.recall(asked) is not None) == (name in model)


def test_another_object_with_other_names_to_ignore_makes_a_key_of_its_own_of_the_same_head():
    asked = request(metadata={"tenant": "a"})
    strict, lenient = Kept(), Kept(ignore=("tenant",))
    for kept in (strict, lenient):
        kept.learn(b"3", asked)
    other = request(metadata={"tenant": "b"})
    assert (strict.recall(other), lenient.recall(other)) == (None, b"3")
    assert len(asked.head.made) == 2


def test_objects_that_ignore_the_same_share_what_is_made_of_a_head():
    asked = request()
    for _ in range(3):
        Kept().learn(b"3", asked)
    assert len(asked.head.made) == 1, "a client that reloads adds nothing"


def test_threads_learn_and_recall_and_the_count_is_right():
    kept = Kept(max_entries=7)

    def use(index):
        for turn in range(2000):
            asked = request(body=str((turn * 7 + index) % 13).encode())
            kept.learn(b"x" * (turn % 5), asked)
            kept.recall(asked)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(use, range(4)))
    entries, held = kept.fallback.kept
    assert entries == 7
    assert 7 * ENTRY <= held <= 7 * (ENTRY + 4 + 2)


def test_a_forked_child_waits_for_no_lock_of_its_parent_and_keeps_the_results():
    kept = Kept()
    kept.learn(b"3")
    before = kept.fallback.kept
    kept.fallback.lock.acquire()
    kept.fallback.after_fork()
    assert kept.recall() == b"3"
    assert kept.fallback.kept == before


# ── in calls ──


def harness(clock=None, **options):
    made = Harness("ab", fallback=1, clock=clock, retries=0)
    fallback = LastGood(LastGoodOptions(**options))
    made.service.revise(made.config, made.service.fault_tolerances, {"": fallback})
    return made, fallback


def test_a_call_that_fails_gets_the_last_result_and_its_age():
    made, _ = harness()
    assert made.run(SUCCESS).value == 3
    made.clock.advance(5.0)
    result = made.run(LOST, idempotent=True)
    assert result.value == 3
    assert result.call.degraded
    assert result.call.age == 5.0


def test_a_call_with_other_arguments_gets_the_error():
    made, _ = harness()
    made.run(SUCCESS)
    call = made.begin(args=(1, 3), idempotent=True)
    assert isinstance(made.drive(call, LOST).error, Unavailable)


@pytest.mark.parametrize("when", [("Unavailable",), ("CallError",)])
def test_a_write_that_may_have_run_gets_the_error_and_not_the_result_of_an_equal_one(when):
    made, _ = harness(when=when)
    assert made.run(SUCCESS).value == 3
    error = made.run(LOST).error
    assert isinstance(error, Unavailable)
    assert error.executed == "maybe"
    refused_write = made.run(refused(ConnectionRefusedError()))
    assert (refused_write.value, refused_write.call.degraded) == (3, True), "it did not run"


def test_a_write_that_ran_on_one_of_several_nodes_is_not_answered():
    kept = Kept()
    kept.learn(b"3")
    ran = Unavailable("one of two nodes failed", executed="yes")
    assert kept.recall(error=ran) is None
    assert kept.recall(request(idempotent=True), error=ran) == b"3"


def test_a_call_that_fails_and_one_that_is_oneway_teach_nothing():
    made, fallback = harness()
    made.run(read_timed_out(1.0, full=True))
    made.run(SUCCESS, oneway=True)
    assert fallback.kept == (0, 0)


def test_a_service_whose_fallback_does_not_learn_is_not_attentive():
    made = Harness("ab", fallback=1)
    assert not made.service.attentive
    made.service.revise(
        made.config, made.service.fault_tolerances, {"": None, "add": LastGood(LastGoodOptions())}
    )
    assert made.service.attentive


def test_a_degraded_service_goes_on_learning_when_it_has_recovered():
    made, fallback = harness()
    made.run(SUCCESS)
    made.run(LOST, idempotent=True)
    made.clock.advance(60.0)
    made.run(SUCCESS)
    assert made.service.degradation.methods == {}
    assert made.service.attentive
    made.run(SUCCESS, args=(5, 6))
    assert fallback.kept[0] == 2


def test_a_fallback_that_cannot_learn_costs_the_call_nothing():
    made, fallback = harness()
    fallback.learn = lambda request, result: 1 / 0
    assert made.run(SUCCESS).value == 3
    assert "learn" in made.complaints[0]


def test_a_result_that_cannot_be_decoded_ends_the_call_with_what_the_codec_says():
    made, fallback = harness()
    fallback.recall = lambda request, error: PastResult(b"{", 0.0, made.clock)
    assert made.run(LOST, idempotent=True).error is not None


class Shop:
    def __init__(self):
        self.up = True

    def items(self, names):
        return {"items": names}


@attrs.define
class Basket:
    items: list[str]


def configured(server, kind, **fallback):
    client = {
        "address": server.address,
        "retries": 0,
        "timeout": 2,
        "fallback": {"name": "last-good", "options": fallback},
    }
    return {"bee": {"rpc": {"client": {"shop": client}}}}


SERVER = {"bee": {"rpc": {"server": {"name": "shop", "address": "127.0.0.1:0"}}}}


def serving():
    server = bee_core.build_server(SERVER)
    server.add(Shop())
    return server


def test_a_blocking_client_answers_from_what_it_knows_while_the_server_is_away():
    server = serving()
    with server.in_thread():
        client = bee_core.build_client(configured(server, "blocking"))
        shop = client.service("shop")
        first = bee_core.detailed(shop.items, ["a"])
        assert (first.degraded, first.age) == (False, None)
        first.value["items"].append("changed by the caller")
    with client:
        again = bee_core.detailed(shop.items, ["a"])
        assert again.value == {"items": ["a"]}, "nobody can change what is kept"
        assert again.degraded
        assert 0 <= again.age < 60
        again.value["items"].append("changed again")
        assert shop.items(["a"]) == {"items": ["a"]}
        with pytest.raises(Unavailable):
            shop.items(["b"])


def test_an_asyncio_client_does_the_same():
    async def main():
        server = serving()
        async with server:
            client = bee_core.build_async_client(configured(server, "asyncio"))
            shop = client.service("shop")
            await shop.items(["a"])
        async with client:
            again = await bee_core.detailed(shop.items, ["a"])
            assert (again.value, again.degraded) == ({"items": ["a"]}, True)
            assert 0 <= again.age < 60

    asyncio.run(main())


def test_a_typed_proxy_gets_a_value_of_its_type():
    class Typed:
        def items(self, names: list[str]) -> Basket: ...

    server = serving()
    with server.in_thread():
        client = bee_core.build_client(configured(server, "blocking"))
        client.service("shop").items(["a"])
        assert client.service("shop", Typed).items(["a"]) == Basket(["a"])
    with client:
        assert client.service("shop", Typed).items(["a"]) == Basket(["a"])
        assert client.service("shop").items(["a"]) == {"items": ["a"]}


def test_another_fallback_answers_where_nothing_is_kept():
    other = {"name": "static", "options": {"value": "nothing known"}}
    config = {
        "bee": {
            "rpc": {
                "client": {
                    "shop": {
                        "address": "127.0.0.1:1",
                        "retries": 0,
                        "fallback": {"name": "last-good", "options": {"otherwise": other}},
                    }
                }
            }
        }
    }
    with bee_core.build_client(config) as client:
        reply = bee_core.detailed(client.service("shop").items, ["a"])
    assert (reply.value, reply.degraded, reply.age) == ("nothing known", True, None)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"max_age": 0}, "max_age"),
        ({"max_entries": 0}, "max_entries"),
        ({"max_bytes": "1k", "when": []}, "when"),
        ({"when": ["Unavailabel"]}, "when"),
        ({"max_bytes": 10}, "max_bytes"),
        ({"otherwise": "statik"}, "otherwise"),
    ],
)
def test_an_impossible_option_is_an_error_with_its_path(options, key):
    client = {"fallback": {"name": "last-good", "options": options}, "address": "127.0.0.1:1"}
    with pytest.raises((ConfigError, bee_core.errors.PluginError)) as caught:
        bee_core.build_client({"bee": {"rpc": {"client": {"calc": client}}}})
    assert f"bee.rpc.client.calc.fallback.options.{key}" in str(caught.value)
