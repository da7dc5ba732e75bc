"""Runs of pytest over a small suite in which tests are stuck."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from support.patience import SLOWNESS
from support.processes import run

STUCK = """
import asyncio, ctypes, threading
import pytest

pytestmark = pytest.mark.timeout(0.5)

def test_before(): pass

def test_lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()  # nobody releases it

def test_other_thread():
    def wait_in_a_thread():
        threading.Event().wait(60)
    threading.Thread(target=wait_in_a_thread, daemon=True).start()
    threading.Event().wait()

def test_loop():
    async def wait_for_nobody():
        await asyncio.Event().wait()
    asyncio.run(wait_for_nobody())

@pytest.fixture
def slow_to_come():
    threading.Event().wait()

def test_setup(slow_to_come): pass

@pytest.fixture
def slow_to_go():
    yield
    threading.Event().wait()

def test_teardown(slow_to_go): pass

def test_teardown_after_failure(slow_to_go): assert 1 == 2

def test_library():
    mutex = ctypes.create_string_buffer(64)
    lock = ctypes.PyDLL(None).pthread_mutex_lock  # keeps the interpreter to itself
    lock(mutex)
    lock(mutex)

def test_stubborn():
    while True:
        try:
            threading.Event().wait()
        except BaseException:
            pass

def test_after(): pass
"""
WELL = "import pytest\n@pytest.mark.parametrize('n', range(20))\ndef test_well(n): pass\n"
PLUGINS = ("xdist", "pytest_timeout", "support.stuck", "support.leftovers", "support.how_long")
HERE = Path(__file__).parent.parent


def pytest_command(*arguments):
    plugins = [word for name in PLUGINS for word in ("-p", name)]
    return [sys.executable, "-m", "pytest", *plugins, "-p", "no:cacheprovider", *arguments]


def environment():
    # No other plugin is loaded: each costs a worker time to start.
    return {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        SLOWNESS: "2",  # a second for what is stuck
    }


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stuck")
    (folder / "pytest.ini").write_text("[pytest]")
    (folder / "test_stuck.py").write_text(STUCK)
    (folder / "test_well.py").write_text(WELL)
    command = pytest_command("-n", "2", "--dist", "loadfile")
    return run(command, cwd=folder, env=environment(), timeout=120).stdout


def part(said, name):
    """What is reported of a test, up to the next one."""
    titles = r"^_+ (?:ERROR at \w+ of )?(\w+) _+$"
    parts = re.split(titles, said.partition("short test summary")[0], flags=re.MULTILINE)
    texts = [text for title, text in zip(parts[1::2], parts[2::2], strict=True) if title == name]
    assert texts, f"nothing is said of {name}:\n{said}"
    return "\n".join(texts)


@pytest.mark.timeout(150)
def test_all_others_run(said):
    counts = dict(re.findall(r"(\d+) (failed|passed|errors?)", said.splitlines()[-1])[::-1])
    # A test whose teardown is stuck has passed before; those that ended their worker have failed.
    assert {kind: int(count) for count, kind in counts.items()} == {
        "failed": 6,
        "passed": 23,
        "errors": 3,
    }, said


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("test_lock", "lock.acquire()  # nobody releases it"),
        ("test_loop", "await asyncio.Event().wait()"),
        ("test_setup", ", in slow_to_come"),
        ("test_teardown", ", in slow_to_go"),
        ("test_teardown_after_failure", ", in slow_to_go"),
    ],
)
def test_what_waits_in_python_is_interrupted_where_it_is(said, name, where):
    report = part(said, name)
    assert where in report.partition("Captured stacks")[2]
    assert f"::{name} has not ended after" in report


def test_the_stacks_of_all_threads_are_there(said):
    stacks = part(said, "test_other_thread").partition("Captured stacks")[2]
    assert "thread MainThread:" in stacks
    assert ", in wait_in_a_thread" in stacks


@pytest.mark.parametrize("name", ["test_library", "test_stubborn"])
def test_what_cannot_be_interrupted_ends_its_worker_and_is_named_with_its_stack(said, name):
    report = part(said, name)
    assert f"crashed while running 'test_stuck.py::{name}'" in report
    assert f"in {name}\n" in report
    assert said.count(f"FAILED test_stuck.py::{name}") == 1


def test_it_is_said_at_the_start_how_long_the_run_takes(said):
    before, _, _ = said.partition("[gw")
    assert re.search(r"^30 tests: about \d+ s on an idle machine", before, re.MULTILINE), said
