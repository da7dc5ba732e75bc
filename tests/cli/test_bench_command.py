from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

import bee_core

pytest.importorskip("hdrh.histogram")

QUICK = ("--duration", "0.2", "--warmup", "0")
DRIVERS = pytest.mark.parametrize("driver", [(), ("--threads",)], ids=["asyncio", "threads"])


class Calls:
    """Handlers that count."""

    def __init__(self):
        self.count = itertools.count(1)
        self.made = 0
        self.hanging = threading.Event()
        self.leave = threading.Event()
        self.seen = []

    def _one(self):
        self.made = next(self.count)
        return self.made

    @bee_core.nonblocking
    def add(self, a: int, b: int) -> int:
        self._one()
        self.seen.append((a, b, dict(bee_core.current_call().metadata)))
        return a + b

    @bee_core.nonblocking
    def every_third_fails(self) -> int:
        if self._one() % 3 == 0:
            raise KeyError("no such order")
        return 1

    @bee_core.nonblocking
    def stalls_once(self) -> int:
        if self._one() == 12:
            time.sleep(0.4)
        return 1

    def pause(self) -> int:
        self._one()
        time.sleep(0.05)
        return 1

    def hangs_later(self) -> int:
        if self._one() > 20:
            self.hanging.set()
            self.leave.wait()
        return 1


@pytest.fixture
def calls(folder):
    """The handlers of a server, with ``add`` marked idempotent in the client's file."""
    handlers = Calls()
    server = bee_core.build_server({"bee": {"rpc": {"server": {"name": "calc"}}}})
    server.add(handlers)
    with server.in_thread():
        (folder / "bee.yml").write_text(
            f"bee: {{rpc: {{client: {{calc: {{address: '{server.address}', fail: failfast,"
            " methods: {add: {idempotent: true}}}}}}"
        )
        yield handlers
        handlers.leave.set()


def result_of(run, *args, code=0):
    found = run("bench", "calc", *args, "--json")
    assert found.code == code, found.err
    return json.loads(found.out)


@DRIVERS
def test_a_closed_loop_counts_each_call_that_the_server_got(run, calls, driver):
    result = result_of(run, "add", "1", "b=2", *QUICK, "--concurrency", "3", *driver)
    first = 1 if driver else 2  # one that shows errors, and one that connects the asyncio client
    assert result["calls"] == result["answered"] == calls.made - first > 0
    assert result["attempts"] == result["calls"]
    assert (result["failed"], result["retried"], result["given_up"]) == (0, 0, 0)
    assert result["per_second"] == pytest.approx(result["calls"] / result["seconds"], rel=0.001)
    assert {seen[:2] for seen in calls.seen} == {(1, 2)}
    assert (result["loop"], result["concurrency"], result["rate"]) == ("closed", 3, None)
    assert result["driver"] == ("threads" if driver else "asyncio")


@DRIVERS
def test_calls_of_the_warm_up_are_made_and_not_counted(run, calls, driver):
    result = result_of(
        run, "add", "1", "2", "--rate", "100", "--duration", "0.3", "--warmup", "0.2", *driver
    )
    assert result["calls"] == 30
    assert calls.made == 50 + (1 if driver else 2)


@DRIVERS
def test_an_open_loop_makes_as_many_calls_as_planned(run, calls, driver):
    result = result_of(run, "add", "1", "2", "--rate", "150", *QUICK, *driver)
    assert (result["calls"], result["loop"], result["rate"]) == (30, "open", 150.0)
    assert (result["kept_up"], result["never_begun"]) == (True, 0)
    # From the planned start it cannot be less than from the real one.
    assert result["latency"]["mean"] >= result["latency_from_real_start"]["mean"]


@DRIVERS
def test_a_stall_is_not_hidden_by_calls_that_waited_for_it(run, calls, driver):
    # One caller: while the server stalls for 0.4 s, 20 planned calls cannot begin. Those of the
    # first 0.3 s wait 0.1 s or longer. Measured from the real start there is one slow call.
    # There are 1.3 s to make up for it, also where the machine has other things to do.
    result = result_of(
        run,
        *("stalls_once", "--yes", "--rate", "50", "--concurrency", "1"),
        *("--duration", "2", "--warmup", "0", *driver),
    )
    assert result["calls"] == 100
    assert result["longest_queue"] >= 10
    assert result["latency"]["p90"] > 0.1
    assert result["latency"]["longest"] >= 0.4


@DRIVERS
def test_a_service_that_cannot_keep_up_is_said_to(run, calls, driver):
    found = run(
        *("bench", "calc", "pause", "--yes", "--rate", "400", "--concurrency", "1"),
        *("--duration", "30", "--warmup", "0", "--max-waiting", "20", "--json", *driver),
    )
    assert found.code == 1
    assert "cannot keep up with 400 calls a second and 1 in flight" in found.err
    assert "planned calls never began" in found.err
    result = json.loads(found.out)
    assert (result["kept_up"], result["ending"]) == (False, "cannot keep up")
    assert result["longest_queue"] > 20
    assert result["never_begun"] > 11_000  # of 12,000
    assert result["calls"] + result["given_up"] + result["never_begun"] <= 12_000


@DRIVERS
def test_failures_are_counted_by_kind_and_the_exit_code_is_1(run, calls, driver):
    result = result_of(run, "every_third_fails", "--yes", *QUICK, *driver, code=1)
    assert result["failed"] == result["calls"] - result["answered"] > 0
    (failure,) = result["failures"]
    assert failure == {
        "kind": "remote_error",
        "type": "KeyError",
        "executed": "yes",
        "count": result["failed"],
        "example": "'no such order'",
    }


def test_people_read_tables(run, calls):
    found = run("bench", "calc", "every_third_fails", "--yes", *QUICK)
    assert found.code == 1
    assert re.match(r"[\d,]+ calls answered in \d+\.\d+ s: [\d.,]+ a second\n", found.out)
    header, row, *_ = found.out[found.out.index("latency ") :].splitlines()
    assert header.split() == ["latency", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "longest"]
    assert row.startswith("answered")
    assert "remote_error KeyError  yes " in found.out
    assert "'no such order'" in found.out


def test_it_is_said_that_the_calls_are_real(run, calls):
    found = run("bench", "calc", "add", "1", "2", *QUICK)
    assert found.code == 0
    assert found.err.startswith(
        "calling calc.add for real: as fast as they are answered, at most 1"
    )
    assert found.err.count("\n") == 1  # and no progress bar, since this is no terminal


def test_a_method_that_may_not_run_twice_is_not_called(run, calls):
    found = run("bench", "calc", "pause", *QUICK)
    assert (found.code, found.out, calls.made) == (2, "", 0)
    assert "calc.pause thousands of times, for real" in found.err
    assert "give --yes" in found.err
    assert "methods: {pause: {idempotent: true}}" in found.err


INTERFACE = """
import bee_core

class Calc:
    @bee_core.idempotent
    def pause(self) -> int: ...
    def add(self, a: int, b: int) -> int: ...
"""


@DRIVERS
def test_the_mark_of_an_interface_is_leave_enough(run, calls, folder, driver):
    (folder / "shop.py").write_text(INTERFACE)
    result = result_of(run, "pause", "--interface", "shop:Calc", *QUICK, *driver)
    assert result["answered"] > 0


def test_a_method_that_the_interface_lacks_is_no_command(run, calls, folder):
    (folder / "shop.py").write_text(INTERFACE)
    found = run("bench", "calc", "mul", "1", "--interface", "shop:Calc", "--yes")
    assert (found.code, calls.made) == (2, 0)
    assert "declares no mul" in found.err


def test_metadata_and_arguments_are_those_of_call(run, calls):
    result_of(run, "add", "-1", "2", *QUICK, "--metadata", "tenant=a")
    assert {(a, b, one["tenant"]) for a, b, one in calls.seen} == {(-1, 2, "a")}
    wrong = run("bench", "calc", "add", "Ada", *QUICK)
    assert (wrong.code, "argument 1 is not JSON" in wrong.err) == (2, True)
    wrong = run("bench", "--tread", "calc", "add", "1", "2")
    assert (wrong.code, wrong.err) == (
        2,
        "error: there is no option --tread (see bee bench --help)\n",
    )


def test_a_call_that_cannot_work_is_not_made_thousands_of_times(run, calls):
    found = run("bench", "calc", "xyzzy", "--yes", *QUICK)
    assert (found.code, found.out) == (1, "")
    assert "has no method 'xyzzy'" in found.err
    found = run("bench", "calc", "add", '"Ada"', "2", *QUICK)
    assert (found.code, found.out) == (1, "")
    assert "$" in found.err


def test_a_saved_result_is_compared_with(run, calls, folder):
    saved = result_of(run, "add", "1", "2", *QUICK, "--save", "before.json")
    assert json.loads((folder / "before.json").read_text()) == saved
    again = result_of(
        run, "add", "1", "3", *QUICK, "--compare", "before.json", "--save", "before.json"
    )
    compared = again.pop("comparison")
    assert compared["per_second"] == pytest.approx(
        again["per_second"] / saved["per_second"], abs=0.001
    )
    assert list(compared["differences"]) == ["arguments"]
    assert json.loads((folder / "before.json").read_text()) == again
    found = run("bench", "calc", "add", "1", "3", *QUICK, "--compare", "before.json")
    assert "compared " in found.out
    assert "not the same" not in found.out


def test_files_are_looked_at_before_the_calls(run, calls, folder):
    (folder / "words.json").write_text('{"a": 1}')
    add = ("bench", "calc", "add", "1", "2")
    for args, said in [
        (("--compare", "words.json"), "no result of this version"),
        (("--save", "nowhere/x.json"), "there is no such folder"),
    ]:
        found = run(*add, *args)
        assert (found.code, said in found.err) == (2, True)
    found = run(*add, "--compare", "missing.json")
    assert (found.code, "missing.json: No such file" in found.err) == (1, True)
    assert calls.made == 0


def test_a_missing_package_is_named_with_its_extra(run, calls, monkeypatch):
    monkeypatch.setitem(sys.modules, "hdrh", None)
    monkeypatch.delitem(sys.modules, "hdrh.histogram")
    found = run("bench", "calc", "add", "1", "2")
    assert (found.code, calls.made) == (2, 0)
    assert "pip install 'bee-rpc[hdrhistogram]'" in found.err


@DRIVERS
def test_ctrl_c_prints_what_was_measured_and_gives_up_what_hangs(start, calls, driver):
    bench = start(
        *("bench", "calc", "hangs_later", "--yes", "--duration", "600", "--warmup", "0"),
        *("--json", *driver),
    )
    assert calls.hanging.wait(30)
    bench.signal(signal.SIGINT)
    assert bench.exit_code() == 130
    result = json.loads(bench.process.stdout.read())
    assert result["ending"] == "interrupted"
    assert result["given_up"] == 1
    assert result["answered"] == 20 - (1 if driver else 2)


def read_all(terminal):
    """What a program writes on its terminal, until it has ended."""
    text = b""
    while True:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # nobody has the other side any more
            chunk = b""
        if not chunk:
            return text.decode()
        text += chunk


def test_on_a_terminal_a_bar_says_how_far_the_run_is(calls, folder):
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "bee_core", "bench", "calc", "add", "1", "2"]
    options = ["--rate", "50", "--duration", "1", "--warmup", "1", "--json"]
    with subprocess.Popen(
        [*command, *options], cwd=folder, stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as program:
        os.close(theirs)
        shown = read_all(ours)
        os.close(ours)
        result = json.loads(program.stdout.read())
    assert result["calls"] == 50
    lines = [line for line in re.split(r"[\r\n]+|\x1b\[[\d;?]*[A-Za-z]", shown) if "[" in line]
    assert any("warm-up" in line for line in lines)
    assert any(re.search(r"#+.*\d calls +\d+ a second +0 failed", line) for line in lines)
