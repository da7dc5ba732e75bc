"""Several processes behind one address, each test with real ones."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import bee_core
from bee_core.errors import BeeError, CallError
from bee_core.streams.client.multiplexed_channel import MOST_CONNECTIONS, WorkersChannel
from bee_core.testing import MemoryRegistry
from support.certificates import Authority, tls
from support.patience import PATIENCE
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
    registry.publish("calc", server.url(), workers=9)

    async def scenario():
        config = {"bee": {"rpc": {"registry": {"protocol": "memory"}, "client": {"calc": {}}}}}
        async with bee_core.build_async_client(config, plugins=[registry]) as client:
            calc = client.service("calc")
            for number in range(5):
                assert await calc.add(number, 1) == number + 1
            (state,) = client.assembly.services["calc"].nodes.states.values()
            channel = state.attempt.channel
            assert isinstance(channel, WorkersChannel)
            assert [each.connection is not None for each in channel.channels] == [
                True,
                False,
                False,
                False,
            ]
            assert await asyncio.gather(*(calc.pause(0.05) for _ in range(8))) == [0.05] * 8
            assert [each.connection is not None for each in channel.channels] == [
                True
            ] * MOST_CONNECTIONS
            assert await channel.ping(PATIENCE) == "serving"

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))
