"""A pytest plugin: a test that is stuck ends with the stacks of all threads, and the run goes on.

There are two steps, because no single one works always.

1. After the limit an alarm raises ``Stuck`` in the main thread. This ends what waits in Python:
   for a lock, a socket or an event loop. The test fails, and its fixtures are torn down. The alarm
   comes again after half the limit, because a fixture can be stuck as well.
2. A thread of ``faulthandler`` needs no interpreter. After ``GIVE_UP`` limits it writes the stacks
   to a file and ends the process. With pytest-xdist that is one worker. The test is reported with
   these stacks, and a new worker runs what the old one has left.

The limit is pytest-timeout's: its option, its setting, its marker. It follows the machine's load.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import io
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import attrs
import pytest

from support.patience import slowness

GIVE_UP = 2.5
"""Limits after which a process is ended that did not react: two alarms came before."""
_TO_A_PHASE = 0.05
"""Seconds. Between two phases an alarm would hit pytest itself, so it comes a little later."""
_OURS = re.compile(r'File ".*/(_pytest|pluggy|xdist|execnet|support/stuck\.py)|File "<string>"')
"""Lines of a stack that are the same in each test."""
_FOLDER = pytest.StashKey[Path]()


class Stuck(BaseException):
    """Not an ``Exception``, and not pytest's own failure: no handler and no library catches it."""


@attrs.define
class Watch:
    """One test under its limit."""

    item: pytest.Item
    seconds: float
    """The limit on an idle machine."""
    began: float = attrs.field(factory=time.monotonic)
    slow: float = attrs.field(factory=slowness)
    phase: str = ""
    rung: int = 0

    @property
    def limit(self) -> float:
        return self.seconds * self.slow

    def arm(self) -> None:
        """Start both steps."""
        passed = time.monotonic() - self.began
        signal.signal(signal.SIGALRM, self.ring)
        _alarm(self.limit * (1 + self.rung / 2) - passed)
        self.arm_last()

    def arm_last(self) -> None:
        """Start the second step alone, which pytest stops after each failure."""
        left = self.limit * GIVE_UP - (time.monotonic() - self.began)
        faulthandler.dump_traceback_later(max(left, 0.1), exit=True, file=_output)

    def ring(self, _number: int, _frame: object) -> None:
        """The alarm."""
        __tracebackhide__ = True
        if not self.phase:
            _alarm(_TO_A_PHASE)
            return
        passed = time.monotonic() - self.began
        if not self.rung:
            self.slow = max(self.slow, slowness())  # the load may have come after the start
            if passed < self.limit:
                self.arm()
                return
        self.rung += 1
        self.arm()
        try:
            where = stacks()
        except Exception:
            where = traceback.format_exc()  # the test must end in any case
        self.item.add_report_section(self.phase, "stacks", where)
        raise Stuck(f"stuck: {self.phase} of {self.item.nodeid} has not ended after {passed:.1f} s")


def _alarm(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))


_watch: Watch | None = None
_output: object = sys.__stderr__
"""Where the stacks go when a process is ended; needs a descriptor."""


def _disarm() -> None:
    global _watch  # noqa: PLW0603  # a process has one alarm
    if _watch is not None:
        _watch = None
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


# ── the limit of a test ──────────────────────────────────────────────────────────────────────────


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_set_timer(item, settings):
    global _watch  # noqa: PLW0603  # see above
    _disarm()
    _watch = Watch(item, settings.timeout)
    if threading.current_thread() is threading.main_thread():
        _watch.arm()
    else:
        _watch.arm_last()  # only a main thread gets alarms
    return True


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_cancel_timer():
    return True  # pytest-timeout stops at the first failure, and a fixture could be stuck after it


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol():
    try:
        return (yield)
    finally:
        _disarm()


@contextlib.contextmanager
def _phase(name):
    if _watch is not None:
        _watch.phase = name
    try:
        yield
    finally:
        if _watch is not None:
            _watch.phase = ""


# Last, so that nothing of pytest stands between these and what is stuck.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup():
    with _phase("setup"):
        return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call():
    with _phase("call"):
        return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown():
    with _phase("teardown"):
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_exception_interact():
    if _watch is not None:
        _watch.arm_last()


def pytest_enter_pdb():
    _disarm()


# ── stacks ───────────────────────────────────────────────────────────────────────────────────────


def stacks() -> str:
    """Where each thread is, and each task of the event loops that run in them."""
    output = io.StringIO()
    frames = sys._current_frames()  # no other name gives them  # noqa: SLF001  # no public name has it
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        lines = [line for line in traceback.format_stack(frame) if not _OURS.search(line)]
        if lines:
            print(f"thread {thread.name}:\n{''.join(lines)}", file=output)
        for loop in _loops_in(frame):
            for task in asyncio.all_tasks(loop):
                task.print_stack(file=output)
    return output.getvalue()


def _loops_in(frame):
    found = {}
    while frame is not None:
        for value in frame.f_locals.values():
            # By its type: a proxy of a remote object would be asked for its class.
            if issubclass(type(value), asyncio.AbstractEventLoop) and value.is_running():
                found[id(value)] = value
        frame = frame.f_back
    return found.values()


# ── the run goes on ──────────────────────────────────────────────────────────────────────────────


def pytest_configure(config):
    global _output  # noqa: PLW0603  # opened once a process
    worker = getattr(config, "workerinput", None)
    if worker is not None and "stuck" in worker:
        path = Path(worker["stuck"], worker["workerid"])
        _output = path.open("w")  # open as long as the process runs
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        _output = os.fdopen(os.dup(2), "w")
    config.stash[_FOLDER] = Path(tempfile.mkdtemp(prefix="bee-stuck-"))


def pytest_unconfigure(config):
    folder = config.stash.get(_FOLDER, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput["stuck"] = str(node.config.stash[_FOLDER])


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(report):
    """Say where the test was when its worker ended itself."""
    worker = report.node
    file, _, name = report.nodeid.partition("::")
    report.location = (file, None, name)
    with contextlib.suppress(OSError):
        said = (worker.config.stash[_FOLDER] / worker.gateway.id).read_text()
        threads = [
            "\n".join(line for line in thread.splitlines() if not _OURS.search(line))
            for thread in said.partition("\n")[2].split("\n\n")
        ]
        stuck_in = "\n\n".join(thread for thread in threads if "\n" in thread)
        if stuck_in:
            report.longrepr = f"{report.longrepr}: stuck, and no alarm ended it\n\n{stuck_in}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """``--dist loadfile`` as a run needs it that loses workers."""
    if config.getvalue("dist") != "loadfile":
        return None
    from support.scheduling import Scheduling

    return Scheduling(config, log)
