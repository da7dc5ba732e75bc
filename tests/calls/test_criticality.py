"""How important a call is: stated, sent, inherited, and what limiters make of it."""

from __future__ import annotations

import pytest

import bee_core
from bee_core.errors import ConfigError, InvalidArgument, Overloaded
from bee_core.terms.call_context import CurrentCall, reset_current, set_current
from bee_core.terms.criticality import (
    CRITICALITIES,
    CRITICALITY,
    SHARES,
    criticality_of,
    lower,
    part_of,
)
from bee_core.testing import AnyCall
from bee_plugins.limiters.fixed import Fixed, FixedOptions
from faults.users import BOTH, make_user


def test_the_levels_are_in_the_order_of_their_importance():
    assert CRITICALITIES == ("critical_plus", "critical", "sheddable_plus", "sheddable")
    assert sorted(SHARES.values(), reverse=True) == [SHARES[level] for level in CRITICALITIES]


@pytest.mark.parametrize(
    ("stated", "level"),
    [
        ({}, "critical"),
        ({CRITICALITY: "sheddable"}, "sheddable"),
        ({CRITICALITY: "urgent"}, "critical"),
        ({CRITICALITY: b"sheddable"}, "critical"),
    ],
)
def test_what_states_no_level_is_critical(stated, level):
    assert criticality_of(stated) == level


def test_no_level_is_shut_out_of_a_small_limit():
    assert [part_of(1, level) for level in CRITICALITIES] == [1, 1, 1, 1]
    assert [part_of(10, level) for level in CRITICALITIES] == [10, 10, 9, 8]
    assert lower("sheddable", "critical") == lower("critical", "sheddable") == "sheddable"


class Levels:
    """Says what its handlers see, and calls on."""

    def __init__(self):
        self.client = None

    async def seen(self) -> str:
        return bee_core.current_call().criticality

    async def onward(self) -> str:
        return await self.client.service("levels").seen()

    async def onward_stated(self, level: str) -> str:
        proxy = self.client.service("levels").with_options(criticality=level)
        return await proxy.call("seen")


@pytest.fixture
def serve():
    servers = []

    def start(handler, **settings):
        config = {"bee": {"rpc": {"server": {"name": "levels", **settings}}}}
        server = bee_core.build_server(config)
        server.add(handler)
        servers.append(server.in_thread())
        servers[-1].__enter__()
        return server.address

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def config_of(address, **settings):
    return {"bee": {"rpc": {"client": {"levels": {"address": address, **settings}}}}}


@pytest.mark.parametrize("kind", BOTH)
def test_a_level_reaches_the_handler(serve, kind):
    methods = {"seen": {}}
    user = make_user(kind, config_of(serve(Levels()), methods=methods))
    assert user.call("seen") == "critical"
    for level in CRITICALITIES:
        assert user.call("seen", options={"criticality": level}) == level
    user.close()


def test_a_method_overrides_its_service_and_a_call_overrides_both(serve):
    methods = {"seen": {"criticality": "sheddable_plus"}}
    config = config_of(serve(Levels()), criticality="sheddable", methods=methods)
    user = make_user("blocking", config)
    assert user.call("seen") == "sheddable_plus"
    assert user.call("seen", options={"criticality": "critical_plus"}) == "critical_plus"
    user.close()


@pytest.mark.parametrize(
    ("outer", "stated", "inner"),
    [
        (None, None, "critical"),
        ("sheddable", None, "sheddable"),
        ("critical_plus", None, "critical_plus"),
        (None, "sheddable_plus", "sheddable_plus"),
        (None, "critical_plus", "critical_plus"),
        # A configuration never makes a call more important than what it is made for.
        ("sheddable", "critical_plus", "sheddable"),
        ("critical_plus", "sheddable", "sheddable"),
    ],
)
def test_the_calls_of_a_handler_inherit_it(serve, outer, stated, inner):
    levels = Levels()
    address = serve(levels)
    settings = {} if stated is None else {"criticality": stated}
    levels.client = bee_core.build_async_client(config_of(address, **settings))
    user = make_user("blocking", config_of(address))
    options = {} if outer is None else {"criticality": outer}
    assert user.call("onward", options=options) == inner
    user.close()


def test_a_level_in_the_baggage_of_a_configuration_is_no_way_around_that(serve):
    levels = Levels()
    address = serve(levels)
    baggage = {CRITICALITY: "critical_plus"}
    levels.client = bee_core.build_async_client(config_of(address, baggage=baggage))
    user = make_user("blocking", config_of(address))
    assert user.call("onward", options={"criticality": "sheddable"}) == "sheddable"
    assert user.call("onward") == "critical_plus"
    user.close()


def test_with_options_in_a_handler_says_what_holds(serve):
    levels = Levels()
    address = serve(levels)
    levels.client = bee_core.build_async_client(config_of(address))
    user = make_user("blocking", config_of(address))
    sheddable = {"criticality": "sheddable"}
    assert user.call("onward_stated", "critical", options=sheddable) == "critical"
    user.close()


def test_an_impossible_level_is_refused(serve):
    with pytest.raises(ConfigError) as caught:
        bee_core.build_client(config_of("127.0.0.1:1", criticality="urgent"))
    assert caught.value.path == "bee.rpc.client.levels.criticality"
    assert "critical_plus, critical, sheddable_plus, sheddable" in str(caught.value)
    user = make_user("blocking", config_of("127.0.0.1:1"))
    with pytest.raises(InvalidArgument, match="one of critical_plus, critical"):
        user.call("seen", options={"criticality": "urgent"})
    user.close()


def test_a_handler_outside_of_bees_servers_can_ask_too():
    call = CurrentCall("s", "m", None, {}, {CRITICALITY: "sheddable"}, "", None, lambda: 0.0)
    token = set_current(call)
    try:
        assert bee_core.current_call().criticality == "sheddable"
    finally:
        reset_current(token)


def test_the_limiter_of_a_server_sees_it(serve):
    limiter = {"name": "fixed", "options": {"max_in_flight": 1, "max_queue": 0}}
    address = serve(Levels(), limiter=limiter)
    user = make_user("blocking", config_of(address))
    assert user.call("seen", options={"criticality": "sheddable"}) == "sheddable"
    user.close()


# ── limiters of a client ──


def test_a_list_of_limiters_must_all_admit_and_a_method_may_have_its_own(serve):
    fixed = {"name": "fixed", "options": {"max_in_flight": 2, "max_queue": 0}}
    one = {"name": "fixed", "options": {"max_in_flight": 1, "max_queue": 0}}
    config = config_of(
        serve(Levels()),
        limiter=["throttle", fixed, one],
        methods={"seen": {"limiter": fixed}, "onward": {"limiter": "none"}},
    )
    user = make_user("blocking", config)
    service = user.client.find("levels")
    assert user.call("seen") == "critical"
    assert service.limiters.keys() == {"seen", "onward"}
    assert service.limiters["onward"] is None
    assert service.limiter.admit(AnyCall("levels", "other"), 0.0) is True
    with pytest.raises(Overloaded):
        user.call("onward_stated", "critical")
    assert user.call("seen") == "critical", "its own limiter has room"
    service.limiter.release(None, 0.0)
    user.close()


def test_explain_names_the_limiters():
    config = config_of("127.0.0.1:1", limiter=["throttle", "gradient"], criticality="sheddable")
    with bee_core.build_client(config) as client:
        told = client.explain("levels")
    assert told.setting("limiter").value == "throttle, gradient"
    assert told.setting("criticality").value == "sheddable"


def test_a_limiter_that_changes_makes_a_new_service_and_one_that_stays_keeps_its_counts():
    one = {"name": "fixed", "options": {"max_in_flight": 1, "max_queue": 0}}
    two = {"name": "fixed", "options": {"max_in_flight": 2, "max_queue": 0}}
    with bee_core.build_client(config_of("127.0.0.1:1", limiter=one)) as client:
        before = client.find("levels")
        client.reload(config_of("127.0.0.1:1", limiter=one, criticality="sheddable"))
        assert client.find("levels") is before
        client.reload(config_of("127.0.0.1:1", limiter=one, methods={"seen": {"limiter": two}}))
        assert client.find("levels") is not before


def test_a_release_that_raises_gives_its_permit_back_all_the_same(serve):
    class Forgetful(Fixed):
        def release(self, outcome, seconds):
            if outcome is not None:
                raise RuntimeError("cannot digest the verdict")
            super().release(outcome, seconds)

    config = config_of(serve(Levels()), limiter="fixed")
    user = make_user("blocking", config)
    service = user.client.find("levels")
    service.limiter = Forgetful(FixedOptions(1, 0))
    user.client.prepared.drop()
    for _ in range(3):
        assert user.call("seen") == "critical"
    user.close()
