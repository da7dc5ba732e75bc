"""Several processes behind one address, each test with real ones."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import bee_core
from bee_core.errors import BeeError, CallError
from bee_core.testing import MemoryRegistry
from support.certificates import Authority, tls
from support.patience import PATIENCE, scaled
from support.serve_process import ServeProcess, children, wait_until_gone

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="children are found through /proc"
)


@pytest.fixture
def serve(tmp_path):
    made = []

    def start(workers=2, address="127.0.0.1:0", **settings):
        made.append(
            ServeProcess(
                tmp_path,
                {
                    "server": {
                        "name": "calc",
                        "version": "1.0.0",
                        "workers": workers,
                        "address": address,
                        **settings,
                    }
                },
            )
        )
        return made[-1]

    yield start
    for process in made:
        process.close()


def client_config(url, **settings):
    return {"bee": {"rpc": {"client": {"calc": {"address": url, **settings}}}}}


@pytest.fixture
def connect():
    clients = []

    def make(url, **settings):
        clients.append(bee_core.build_client(client_config(url, **settings)))
        return clients[-1].service("calc")

    yield make
    for client in clients:
        client.close()


def pids_of(url, wanted):
    """Call from fresh connections until so many workers have answered."""
    found = set()
    until = time.monotonic() + PATIENCE
    with ThreadPoolExecutor(8) as pool:
        while len(found) < wanted:
            assert time.monotonic() < until, f"only {found} answered"
            with bee_core.build_client(client_config(url)) as client:
                calc = client.service("calc")
                list(pool.map(calc.pause, [0.01] * 8))
                found.update(job.result() for job in [pool.submit(calc.pid) for _ in range(8)])
    return found


def test_the_workers_serve_behind_one_address_and_the_parent_says_so_once(serve):
    server = serve(workers=2)
    line = server.wait_for("listening")
    assert line["workers"] == 2
    assert line["message"] == f"listening on {line['url']} as calc 1.0.0 with 2 workers"
    assert pids_of(server.url(), 2) == set(children(server.process.pid))
    assert server.names == ["listening"]


def test_a_worker_that_is_killed_is_replaced_and_calls_go_on(serve, connect):
    server = serve(workers=2)
    url = server.url()
    calc = connect(url, idempotent=True, fail="failtry", retries=5)
    stop = threading.Event()
    answers = []

    def work():
        count = 0
        while not stop.is_set():
            assert calc.add(count, 1) == count + 1
            count += 1
        answers.append(count)

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(work) for _ in range(4)]
        try:
            before = children(server.process.pid)
            for turn in range(1, 4):
                victim = children(server.process.pid)[0]
                os.kill(victim, signal.SIGKILL)
                assert server.wait_for("worker_lost", turn)["worker_pid"] == victim
                server.wait_for("worker_replaced", turn)
        finally:
            stop.set()
        for job in working:
            job.result(PATIENCE)
    assert min(answers) > 0
    after = children(server.process.pid)
    assert len(after) == 2
    assert set(after) != set(before)
    assert pids_of(url, 2) == set(after)


def test_a_worker_that_dies_young_again_and_again_is_replaced_more_slowly(serve):
    server = serve(workers=2)
    server.wait_for("listening")
    delays = []
    for turn in range(1, 4):
        victim = (
            server.all("worker_replaced")[-1]["worker_pid"]
            if turn > 1
            else children(server.process.pid)[0]
        )
        os.kill(victim, signal.SIGKILL)
        delays.append(server.wait_for("worker_lost", turn)["delay"])
        server.wait_for("worker_replaced", turn)
    assert delays == sorted(set(delays)), "each pause is longer than the one before"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_its_parent(serve, connect, number):
    server = serve(workers=3, drain_timeout=1)
    calc = connect(server.url())
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(calc.hang)
        assert calc.add(1, 2) == 3
        workers = children(server.process.pid)
        assert len(workers) == 3
        server.signal(number)
        wait_until_gone(workers)
        with pytest.raises(CallError):
            hanging.result(PATIENCE)
    server.exit_code()


def test_sigterm_drains_all_workers_and_no_call_is_lost(serve, connect):
    server = serve(workers=2)
    url = server.url()
    other = serve_other = bee_core.build_server({"bee": {"rpc": {"server": {"name": "calc"}}}})
    serve_other.add(lambda seconds: seconds, name="pause")
    with other.in_thread():
        calc = connect([url, other.address], idempotent=False)
        enough, failures, done = threading.Event(), [], []

        def work():
            try:
                while not enough.is_set():
                    done.append(calc.pause(0.01))
            except CallError as error:
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(done) < 50:
            time.sleep(0.005)
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
        enough.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert failures == []
    assert server.names == ["listening", "draining", "gone"]


def test_a_second_signal_leaves_at_once_and_takes_the_workers_along(serve, connect):
    server = serve(workers=2, drain_timeout=30)
    calc = connect(server.url())
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(calc.hang)
        assert calc.add(1, 2) == 3
        workers = children(server.process.pid)
        server.signal(signal.SIGTERM)
        server.wait_for("draining")
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 128 + signal.SIGTERM
        wait_until_gone(workers)
        with pytest.raises(CallError):
            hanging.result(PATIENCE)


def test_ctrl_c_reaches_every_process_and_the_parent_alone_decides(serve):
    server = serve(workers=2)
    server.url()
    for worker in children(server.process.pid):
        os.kill(worker, signal.SIGINT)
    server.signal(signal.SIGINT)
    assert server.exit_code() == 0
    assert server.names == ["listening", "draining", "gone"]


def test_workers_share_a_unix_socket_whose_file_goes_with_the_parent(serve, connect, tmp_path):
    path = tmp_path / "calc.sock"
    server = serve(workers=2, address=f"unix://{path}")
    url = server.url()
    victim = children(server.process.pid)[0]
    os.kill(
        victim, signal.SIGTERM
    )  # an operator restarts one worker: it drains, and leaves the door to the others
    assert server.wait_for("worker_lost")["exit_code"] == 0
    server.wait_for("worker_replaced")
    assert connect(url).add(1, 2) == 3
    server.signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert not path.exists()


def test_workers_share_a_tls_port_and_each_takes_a_new_certificate(serve, connect, tmp_path):
    ca = Authority(tmp_path)
    server = serve(workers=2, address="tls://127.0.0.1:0", transport=tls(ca.issue("server")))
    url = server.url()
    assert url.startswith("tls://127.0.0.1:")
    config = client_config(url, transport=tls(ca=ca.file))
    found = set()
    until = time.monotonic() + PATIENCE
    while len(found) < 2:
        assert time.monotonic() < until, "one worker takes every connection"
        with bee_core.build_client(config) as client:
            found.add(client.service("calc").pid())
    assert found == set(children(server.process.pid))
    newer = Authority(tmp_path, "newer")
    newer.issue("server")
    for _ in range(8):
        with bee_core.build_client(client_config(url, transport=tls(ca=newer.file))) as client:
            assert client.service("calc").add(1, 2) == 3
    server.signal(signal.SIGTERM)
    assert server.exit_code() == 0


def test_a_port_in_use_is_said_by_the_parent_and_starts_no_worker(serve):
    first = serve(workers=2)
    second = serve(workers=2, address=first.url())
    assert second.exit_code() == 1
    assert "the port is in use" in second.events[-1]["message"]
    assert len(second.events) == 1


def test_an_address_that_cannot_be_shared_is_refused_with_advice():
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "workers": 2, "address": "memory://alone"}}}}
    )
    server.add(lambda: 1, name="one")
    with pytest.raises(OSError, match="set workers: 1"):
        server.run()


def test_workers_without_methods_are_refused_before_anything_is_forked():
    with pytest.raises(BeeError, match="no methods"):
        bee_core.build_server({"bee": {"rpc": {"server": {"name": "calc", "workers": 2}}}}).run()


def test_in_a_thread_one_process_serves_and_says_so(caplog):
    server = bee_core.build_server({"bee": {"rpc": {"server": {"name": "calc", "workers": 2}}}})
    server.add(os.getpid, name="pid")
    with (
        caplog.at_level("INFO", logger="bee.server"),
        server.in_thread(),
        bee_core.build_client(client_config(server.address)) as client,
    ):
        assert client.service("calc").pid() == os.getpid()
    assert "one process serves" in caplog.text


def test_an_asyncio_client_opens_connections_to_several_workers_only_when_calls_overlap(serve):
    server = serve(workers=2)
    registry = MemoryRegistry()
    registry.publish("calc", server.url(), workers=2)

    async def scenario():
        config = {"bee": {"rpc": {"registry": {"protocol": "memory"}, "client": {"calc": {}}}}}
        async with bee_core.build_async_client(config, plugins=[registry]) as client:
            calc = client.service("calc")
            for number in range(5):
                assert await calc.add(number, 1) == number + 1
            (state,) = client.assembly.services["calc"].nodes.states.values()
            channel = state.attempt.channel
            assert [each.connection is not None for each in channel.lanes] == [True, False]
            assert await asyncio.gather(*(calc.pause(0.05) for _ in range(8))) == [0.05] * 8
            assert [each.connection is not None for each in channel.lanes] == [True, True]
            assert len({each.epoch for each in channel.lanes}) == 2
            assert await channel.ping(PATIENCE) == "serving"

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


def known_by(how, url):
    """A client's configuration and plugins: a written address, or a registry."""
    if how == "address":
        return client_config(url, fail="failfast"), ()
    registry = MemoryRegistry()
    registry.publish("calc", url, workers=4)
    rpc = {"registry": {"protocol": "memory"}, "client": {"calc": {"fail": "failfast"}}}
    return {"bee": {"rpc": rpc}}, (registry,)


@pytest.mark.parametrize("how", ["address", "registry"])
def test_a_burst_on_a_new_asyncio_client_reaches_all_workers(serve, how):
    limiter = {"name": "fixed", "options": {"max_in_flight": 10, "max_queue": 0}}
    server = serve(workers=4, limiter=limiter)
    config, plugins = known_by(how, server.url())

    async def scenario():
        async with bee_core.build_async_client(config, plugins=list(plugins)) as client:
            calc = client.service("calc")
            for _ in range(3):
                calls = (calc.pause(scaled(0.3)) for _ in range(40))
                answers = await asyncio.gather(*calls, return_exceptions=True)
                refused = [answer for answer in answers if isinstance(answer, CallError)]
                assert len(refused) <= 2, refused[0]

    asyncio.run(asyncio.wait_for(scenario(), 4 * PATIENCE))


@pytest.mark.parametrize("how", ["address", "registry"])
@pytest.mark.parametrize("kind", ["asyncio", "future"])
def test_calls_are_spread_over_all_workers_and_over_the_one_that_was_replaced(serve, how, kind):
    server = serve(workers=4)
    config, plugins = known_by(how, server.url())
    config["bee"]["rpc"]["client"]["calc"] |= {"fail": "failtry", "idempotent": True}

    def check(counts):
        assert set(counts) == set(children(server.process.pid))
        assert min(counts.values()) >= 0.15 * sum(counts.values()), counts

    def kill_one():
        os.kill(children(server.process.pid)[1], signal.SIGKILL)
        server.wait_for("worker_replaced", 1)

    async def scenario():
        async with bee_core.build_async_client(config, plugins=list(plugins)) as client:
            calc = client.service("calc")

            async def count():
                counts = Counter()

                async def work():
                    for _ in range(25):
                        await calc.pause(0.01)
                        counts[await calc.pid()] += 1

                await asyncio.gather(*(work() for _ in range(32)))
                return counts

            check(await count())
            async with calls_under_way(calc):
                await asyncio.to_thread(kill_one)
                # The client looks for a worker of its own again after some time.
                await until_spread(client)
            check(await count())

    def with_futures():
        with bee_core.build_client(config, plugins=list(plugins)) as client:
            calc = client.service("calc")

            def count():
                counts = Counter()
                for _ in range(25):
                    wait([bee_core.future(calc.pause, 0.01) for _ in range(32)])
                    pids = [bee_core.future(calc.pid) for _ in range(32)]
                    counts.update(future.result() for future in pids)
                return counts

            check(count())
            kill_one()
            until = time.monotonic() + 2 * PATIENCE
            while len(count()) < 4:
                assert time.monotonic() < until
            check(count())

    if kind == "asyncio":
        asyncio.run(asyncio.wait_for(scenario(), 4 * PATIENCE))
    else:
        with_futures()


@asynccontextmanager
async def calls_under_way(calc):
    """32 calls in flight while the block runs."""
    going = True

    async def work():
        while going:
            await calc.pause(0.01)

    working = [asyncio.ensure_future(work()) for _ in range(32)]
    yield
    going = False
    await asyncio.gather(*working)


async def until_spread(client):
    (state,) = client.assembly.services["calc"].nodes.states.values()
    lanes = state.attempt.channel.lanes
    until = time.monotonic() + PATIENCE
    while len({lane.epoch for lane in lanes} - {None}) < len(lanes):
        assert time.monotonic() < until, "a lane found no worker of its own"
        await asyncio.sleep(0.02)


def test_the_connections_of_a_blocking_client_are_spread_over_all_workers(serve, connect):
    server = serve(workers=4)
    calc = connect(server.url())
    together = threading.Barrier(32)

    def work(_):
        together.wait(PATIENCE)
        calc.pause(scaled(0.2))
        return calc.pid()

    with ThreadPoolExecutor(32) as pool:
        counts = Counter(pool.map(work, range(32)))
    assert set(counts) == set(children(server.process.pid))
    assert max(counts.values()) <= 0.5 * 32, counts


def test_the_worker_that_hangs_is_passed_over_by_new_connections(serve, connect):
    server = serve(workers=2)
    url = server.url()
    victim = children(server.process.pid)[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        for _ in range(6):
            with bee_core.build_client(client_config(url, fail="failfast")) as client:
                assert client.service("calc").add(1, 2) == 3
    finally:
        os.kill(victim, signal.SIGCONT)
