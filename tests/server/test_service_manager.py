"""What a server tells the service manager, heard on a socket like that of systemd."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading

import pytest

import bee_core
from bee_core.server.announcement import LoopTicks
from bee_core.server.readiness import Readiness
from bee_core.server.service_manager import ServiceManager, service_manager
from support.patience import PATIENCE
from support.serve_process import ServeProcess

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="has no unix sockets")


class Manager:
    """The manager's end: a datagram socket.

    Args:
        place: A path, or a name behind ``@``.
    """

    def __init__(self, place):
        self.place = place
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind("\0" + place[1:] if place.startswith("@") else place)
        self.patience = PATIENCE
        self.environ = {"NOTIFY_SOCKET": place}

    def hear(self):
        """The lines of the next message."""
        self._sock.settimeout(self.patience)
        return self._sock.recv(4096).decode().split("\n")

    def hear_until(self, line):
        """The messages up to that with this line, without it."""
        heard = []
        while line not in (lines := self.hear()):
            heard += lines
        return heard

    def close(self):
        self._sock.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    place = str(tmp_path / "n") if request.param == "path" else f"@bee-test-{os.getpid()}"
    with contextlib.closing(Manager(place)) as made:
        yield made


def test_each_state_that_matters_is_told(manager, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", manager.place)
    readiness, ticks = Readiness(), LoopTicks(3.0)
    with service_manager(readiness, ticks):
        readiness.starting()
        assert manager.hear() == ["STATUS=starting"]
        readiness.listening()
        assert manager.hear() == ["STATUS=serving, registering"]
        readiness.registration("registered")
        assert manager.hear() == ["READY=1", "STATUS=serving"]
        readiness.draining()
        assert manager.hear() == ["STOPPING=1", "STATUS=draining"]
        assert ticks.told is None, "nobody asks for signs of life"


def test_the_ticks_of_the_loop_are_signs_of_life_four_times_in_the_time_granted(
    manager, monkeypatch
):
    for name, value in {**manager.environ, "WATCHDOG_USEC": "2000000"}.items():
        monkeypatch.setenv(name, value)
    ticks = LoopTicks(30.0)
    with service_manager(Readiness(), ticks):
        assert ticks.interval == 0.5
        ticks.told()
        assert manager.hear() == ["WATCHDOG=1"]
    assert (ticks.interval, ticks.told) == (10.0, None)


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 400}, None),
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "7"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "8"}, None),
    ],
)
def test_the_watchdog_is_for_the_process_that_it_names(variables, seconds):
    assert ServiceManager({"NOTIFY_SOCKET": "/run/x", **variables}, 7).watchdog == seconds


def test_without_a_manager_nothing_is_told(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    ticks = LoopTicks(1.0)
    monkeypatch.setenv("WATCHDOG_USEC", "1000")
    with service_manager(Readiness(), ticks):
        assert ticks.told is None


@pytest.mark.parametrize("place", ["/nowhere/at/all", "vsock:2:1234"])
def test_a_manager_that_cannot_be_told_is_one_warning_and_stops_nobody(place, caplog):
    manager = ServiceManager({"NOTIFY_SOCKET": place}, 1)
    manager.tell("READY=1")
    manager.tell("STOPPING=1")
    assert len(caplog.records) == 1
    assert "NOTIFY_SOCKET" in caplog.text


def test_a_manager_that_reads_again_is_told_again(manager):
    told = ServiceManager(manager.environ, 1)
    for _ in range(1000):  # more than any system queues; none of them waits
        told.alive()
    while manager.hear() == ["WATCHDOG=1"]:
        manager.patience = 0.05
        told.tell("READY=1", patience=0.0)
    assert "READY=1" in manager.hear()


# With real processes.


@pytest.fixture
def serve(tmp_path, manager):
    made = []

    def start(watchdog, **settings):
        server = {"name": "calc", "address": "127.0.0.1:0", **settings}
        environ = {**manager.environ, "WATCHDOG_USEC": str(int(watchdog * 1e6))}
        made.append(ServeProcess(tmp_path, {"server": server}, environ))
        return made[-1]

    yield start
    for process in made:
        process.close()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("manager", ["path"], indirect=True)
def test_ready_then_signs_of_life_then_stopping(serve, manager, workers):
    server = serve(0.4, workers=workers)
    before = manager.hear_until("READY=1")
    assert "STATUS=starting" in before
    server.wait_for("listening")
    for _ in range(3):
        manager.hear_until("WATCHDOG=1")
    server.signal(signal.SIGTERM)
    manager.hear_until("STOPPING=1")
    assert server.exit_code() == 0


@pytest.mark.parametrize("manager", ["path"], indirect=True)
def test_a_loop_that_hangs_gives_no_sign_of_life(serve, manager):
    server = serve(0.2)
    manager.hear_until("READY=1")
    url = server.url()
    rpc = {"client": {"calc": {"address": url, "timeout": PATIENCE, "read_timeout": PATIENCE}}}
    with bee_core.build_client({"bee": {"rpc": rpc}}) as client:
        blocked = threading.Thread(target=client.service("calc").block, args=(1.0,))
        blocked.start()
        # Those that are under way are heard, and then none for longer than the manager grants.
        manager.patience = 0.6
        with pytest.raises(TimeoutError):
            manager.hear_until("STOPPING=1")
        manager.patience = PATIENCE
        blocked.join(PATIENCE)
        manager.hear_until("WATCHDOG=1")
