"""Servers of the registry ``local`` that die, stand still, hang, refuse and flap, under load."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import bee_core
from bee_core.errors import CircuitOpen, Overloaded, Unavailable
from cluster.load import Load
from cluster.servers import HEARTBEAT, listed, standing, urls, when
from faults.users import BOTH
from support.patience import PATIENCE, scaled

LEASE = 3 * HEARTBEAT
SAFE = {"idempotent": True, "fail": "failover", "balancer": "round-robin"}
BREAKER = {"breaker": {"name": "consecutive", "options": {"max_error_count": 3}}}


def first_of(*moments):
    return min(moment for moment in moments if moment is not None)


@pytest.mark.parametrize("kind", BOTH)
def test_a_killed_server_is_off_the_list_within_a_second_and_no_call_fails(
    start, connect, record, kind
):
    servers = start(3, heartbeat=100.0)  # no lease runs out: it is the lock that tells
    client = connect(kind, **SAFE)
    elsewhere, left, known = [], [], []
    with Load(client) as load:
        for server in servers:
            load.await_more(300)  # somewhere between two looks of the watcher
            died, url = time.monotonic(), server.url
            server.kill()
            gone = when(
                lambda: url not in listed(client),  # noqa: B023  # used at once
                "the dead server is still listed",
            )
            load.await_more(100)
            elsewhere.append(first_of(load.went_elsewhere(died), gone) - died)
            left.append(gone - died)
            server.start()
            back = time.monotonic()
            known.append(
                when(lambda: listed(client) == urls(servers), "the new server is not listed") - back
            )
            load.await_call(lambda call: call.node == server.url, "at the new server")  # noqa: B023
    assert load.failed == []
    assert max(left) < scaled(1)
    note = (
        f"the worst of three kills; a new one is listed {max(known):.2f} s after its registration"
    )
    record(
        f"SIGKILL of one of three ({kind})",
        load,
        detect=max(elsewhere),
        recover=max(left),
        note=note,
    )


def test_a_call_that_is_not_idempotent_fails_only_if_it_was_under_way_when_its_server_was_killed(
    start, connect, record, tmp_path
):
    servers = start(3)
    client = connect(**{**SAFE, "idempotent": False})
    with Load(client, "write") as load:
        load.await_more(300)
        died = time.monotonic()
        servers[0].kill()
        left = when(lambda: servers[0].url not in listed(client), "the dead server is still listed")
        load.await_more(200)
    assert len(load.failed) <= 4, "one a thread at most"
    assert {call.error.executed for call in load.calls if call.error is not None} <= {"maybe"}
    ran = [line for path in tmp_path.glob("*.log") for line in path.read_text().splitlines()]
    assert len(ran) == len(set(ran)), "ran twice"
    assert {call.key for call in load.calls if call.error is None} <= set(ran)
    record(
        "SIGKILL, calls not idempotent",
        load,
        detect=first_of(load.went_elsewhere(died), left) - died,
        recover=left - died,
        note="none ran twice",
    )


@pytest.mark.parametrize("kind", BOTH)
def test_a_stopped_server_leaves_the_list_with_its_lease_and_comes_back_when_it_goes_on(
    start, connect, record, kind
):
    servers = start(3)
    client = connect(kind, **SAFE, read_timeout=0.5)
    with Load(client) as load:
        stopped = time.monotonic()
        servers[0].freeze()
        left = when(
            lambda: servers[0].url not in listed(client), "the stopped server is still listed"
        )
        load.await_more(200)
        elsewhere = load.went_elsewhere(stopped)
        assert elsewhere is not None
        went_on = time.monotonic()
        servers[0].thaw()
        back = when(
            lambda: listed(client) == urls(servers), "the server that goes on is not listed"
        )
        load.await_call(lambda call: call.node == servers[0].url, "at the server that goes on")
    assert load.failed == []
    # The lease runs out, and then three pings must fail: within three heartbeats.
    assert left - stopped < LEASE + 3 * HEARTBEAT + 1
    record(
        f"SIGSTOP of one of three ({kind})",
        load,
        detect=elsewhere - stopped,
        recover=left - stopped,
        note="read_timeout 0.5 s, lease 1.5 s",
    )
    record(f"SIGCONT ({kind})", load, recover=back - went_on, note="the same run")


def test_a_server_that_answers_pings_and_hangs_calls_is_cut_off_and_comes_back_when_it_works(
    start, connect, record
):
    servers = start(3)
    client = connect(**SAFE, **BREAKER, read_timeout=0.3)
    with Load(client) as load:
        hung = time.monotonic()
        servers[0].order("hang")
        cut = when(
            lambda: standing(client, servers[0]) == "cut off",
            "the server that hangs is not cut off",
        )
        # It answers pings, so it is tried again; the one call that tries it hangs too, and is
        # answered elsewhere.
        when(lambda: standing(client, servers[0]) == "half-open", "the server is never tried again")
        when(
            lambda: standing(client, servers[0]) == "cut off",
            "the trial that hangs does not cut it off again",
        )
        assert listed(client) == urls(servers), "it is registered all the time"
        works = time.monotonic()
        servers[0].order("work")
        back = when(
            lambda: standing(client, servers[0]) == "ready",
            "the server that works again is not taken back",
        )
        load.await_call(lambda call: call.node == servers[0].url, "at the server that works again")
        elsewhere = load.went_elsewhere(hung)
    assert load.failed == []
    slow = [call for call in load.calls if call.seconds > 0.25]
    note = f"cut off after {cut - hung:.2f} s; {len(slow)} calls took a read_timeout of 0.3 s"
    record(
        "answers pings, hangs calls", load, detect=elsewhere - hung, recover=back - works, note=note
    )


@pytest.fixture
def fill():
    """Fills a server whose ``max_in_flight`` is 2, so that it refuses.

    ``fill(server)``; ``server.order("work")`` frees it.
    """
    made = []

    def hold(direct, number):
        while True:
            try:
                return direct.service("calc").hold(number)
            except Overloaded:  # noqa: PERF203  # calls of the load had the places at this moment
                continue

    def fill(server):
        direct = bee_core.build_client(
            {
                "bee": {
                    "rpc": {
                        "client": {
                            "calc": {
                                "address": server.url,
                                "timeout": 30,
                                "read_timeout": 30,
                                "retries": 0,
                            }
                        }
                    }
                }
            }
        )
        holders = ThreadPoolExecutor(2)
        made.append((direct, holders))
        for number in range(2):
            holders.submit(hold, direct, number)
            server.expect("holding")
        with pytest.raises(Overloaded):
            direct.service("calc").echo(1)

    yield fill
    for direct, holders in made:
        direct.close()
        holders.shutdown()


def test_a_server_that_refuses_at_once_costs_no_call_and_is_not_cut_off(
    start, connect, record, fill
):
    servers = start(3, max_in_flight=2)
    client = connect(**SAFE, **BREAKER)
    with Load(client, threads=2, pace=0.01) as load:
        full = time.monotonic()
        fill(servers[0])
        began = load.await_call(
            lambda call: call.attempts > 1, "refused, and answered elsewhere"
        ).ended
        load.await_more(200)
        assert standing(client, servers[0]) == "ready", "load is no failure"
        free = time.monotonic()
        servers[0].order("work")
        back = load.await_call(
            lambda call: call.node == servers[0].url, "at the server that has room again"
        ).ended
    assert load.failed == []
    assert sum(call.attempts > 1 for call in load.calls) > 50
    record(
        "one of three refuses (Overloaded), 200 calls",
        load,
        detect=began - full,
        recover=back - free,
    )


def test_refusals_beyond_the_retry_budget_reach_the_caller_and_say_so(start, connect, record, fill):
    servers = start(3, max_in_flight=2)
    client = connect(**SAFE)
    with Load(client, threads=2, pace=0.001) as load:
        full = time.monotonic()
        fill(servers[0])
        # A third of the calls would have to be retried, and the budget pays for a fifth.
        spent = load.await_call(lambda call: call.error is not None, "that fails").ended
        load.await_more(2000)
        free = time.monotonic()
        servers[0].order("work")
        back = load.await_call(
            lambda call: call.node == servers[0].url and call.error is None,
            "at the server that has room again",
        ).ended
        load.await_more(500)
    errors = [call.error for call in load.calls if call.error is not None]
    assert {type(error) for error in errors} == {Overloaded}
    assert {error.executed for error in errors} == {"no"}
    assert all("retry budget" in str(error) for error in errors)
    assert len(errors) < len(load.calls) / 3, "the budget paid for the others"
    assert [call for call in load.calls if call.error is not None and call.began > back] == []
    note = "by design: retries stop at the budget of 20 %; detect: until it was spent"
    record(
        "one of three refuses for long, under full load",
        load,
        detect=spent - full,
        recover=back - free,
        note=note,
    )


def test_a_server_that_flaps_costs_no_call(start, connect, record):
    servers = start(3)
    client = connect(**SAFE, **BREAKER)
    with Load(client) as load:
        for _ in range(5):
            servers[0].kill()
            load.await_more(50)
            servers[0].start()  # on another port each time
            load.await_more(50)
        settled = time.monotonic()
        right = when(
            lambda: listed(client) == urls(servers), "the list is not right after the last start"
        )
        load.await_call(
            lambda call: call.node == servers[0].url, "at the server that has come to rest"
        )
    assert load.failed == []
    record("flapping: killed and started 5 times", load, recover=right - settled)


@pytest.mark.parametrize("breaker", [{}, BREAKER], ids=["no-breaker", "breaker"])
def test_calls_fail_clearly_while_all_servers_are_gone_and_go_on_when_they_are_back(
    start, connect, record, breaker
):
    servers = start(2)
    client = connect(**SAFE, **breaker, timeout=5)
    with Load(client, pace=0.01) as load:
        died = time.monotonic()
        for server in servers:
            server.kill()
        met = load.await_call(lambda call: call.error is not None, "that fails").ended
        when(lambda: not listed(client), "the dead servers are still listed")
        said = load.await_call(lambda call: call.error is not None, "that fails").error
        assert isinstance(said, Unavailable)
        assert "no node of calc is known: the registry lists none. Start a server" in str(said)
        assert said.executed == "no"
        servers[0].start()
        back = time.monotonic()
        served = load.await_call(lambda call: call.error is None, "that is answered").ended
        servers[1].start()
        second = time.monotonic()
        right = when(lambda: listed(client) == urls(servers), "the list is not right again")
        calls = len(load.calls)
        load.await_more(50)
    assert [call for call in load.calls[calls + 4 :] if call.error is not None] == []
    assert {type(call.error) for call in load.calls if call.error is not None} <= {
        Unavailable,
        CircuitOpen,
    }
    assert max(call.seconds for call in load.calls) < PATIENCE / 2, "they fail at once"
    label = "all gone and back" + (" (breaker)" if breaker else "")
    record(
        label,
        load,
        detect=met - died,
        recover=served - back,
        note=f"list right {right - second:.2f} s after the second start",
    )
