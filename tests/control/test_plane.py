"""The control plane's thread.

It starts with the first task, survives what tasks do, leaves nothing behind, and begins anew in a
forked child.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import threading
import time

import pytest

from bee_core.control.plane import ControlPlane

BOUND = 10.0
"""Seconds for what takes milliseconds."""


@pytest.fixture
def plane():
    made = ControlPlane("test")
    yield made
    made.stop()


def threads():
    return [
        thread for thread in threading.enumerate() if thread.name.startswith("bee-control-test")
    ]


async def forever():
    await asyncio.Event().wait()


def ask(plane, function):
    """What a function returns on the plane's thread."""
    answers, there = [], threading.Event()

    async def work():
        answers.append(function())
        there.set()

    plane.spawn(work)
    assert there.wait(BOUND)
    return answers[0]


def test_there_is_no_thread_before_the_first_task_and_one_for_all_tasks(plane):
    assert not plane.running
    idents = {ask(plane, threading.get_ident) for _ in range(3)}
    assert len(idents) == 1
    assert threading.get_ident() not in idents
    assert plane.running


def test_the_thread_is_a_daemon_so_that_a_forgotten_client_does_not_keep_the_process(plane):
    assert ask(plane, lambda: threading.current_thread().daemon)


def test_stop_cancels_tasks_lets_them_clean_up_and_leaves_no_thread(plane):
    cleaned = []

    async def work():
        try:
            await asyncio.get_running_loop().run_in_executor(
                None, int
            )  # a thread for files as well
            await forever()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    handle = plane.spawn(work)
    ask(plane, int)
    assert plane.stop()
    assert cleaned == [True]
    assert handle.wait(0)
    assert threads() == []


def test_what_tasks_shared_is_closed_after_they_have_ended(plane):
    order = []

    async def work():
        try:
            await forever()
        finally:
            order.append("task")

    async def close():
        order.append("close")

    plane.at_stop(close)
    plane.spawn(work)
    ask(plane, int)
    plane.stop()
    assert order == ["task", "close"]


def test_tasks_that_others_begin_as_they_end_are_ended_too(plane):
    ended = []
    kept = []

    async def cleaning_up():
        try:
            await forever()
        finally:
            ended.append("cleaning up")

    async def work():
        try:
            await forever()
        finally:
            kept.append(asyncio.ensure_future(cleaning_up()))
            await asyncio.sleep(0)  # it runs

    plane.spawn(work)
    ask(plane, lambda: None)
    assert plane.stop()
    assert ended == ["cleaning up"]


def test_a_plane_that_never_ran_stops_without_a_thread_and_takes_no_more_tasks(plane):
    assert plane.stop()
    handle = plane.spawn(forever)
    assert handle.wait(0)
    assert not plane.running


def test_stopping_twice_is_stopping(plane):
    ask(plane, int)
    assert plane.stop()
    assert plane.stop()


def test_a_task_that_raises_is_logged_once_and_the_others_go_on(plane, caplog):
    async def fail():
        raise KeyError("lost")

    survivor = plane.spawn(forever)
    with caplog.at_level(logging.ERROR, "bee.control"):
        handle = plane.spawn(fail)
        assert handle.wait(BOUND)
        ask(plane, int)
    assert isinstance(handle.error, KeyError)
    assert [record.getMessage() for record in caplog.records] == [
        "a task of the control plane test ended with KeyError: 'lost'"
    ]
    assert not survivor.wait(0)


def test_a_factory_that_raises_harms_nobody(plane):
    def broken():
        raise ValueError("no coroutine")

    handle = plane.spawn(broken)
    assert handle.wait(BOUND)
    assert isinstance(handle.error, ValueError)
    assert ask(plane, lambda: 1) == 1


def test_a_cancelled_task_ends_without_an_error(plane):
    handle = plane.spawn(forever)
    ask(plane, int)
    handle.cancel()
    assert handle.wait(BOUND)
    assert handle.error is None


def test_a_task_that_nobody_holds_is_not_collected(plane):
    ended = threading.Event()

    async def waits_for_what_only_it_holds():
        try:
            await forever()
        finally:
            ended.set()

    plane.spawn(waits_for_what_only_it_holds)
    ask(plane, int)
    ask(plane, gc.collect)
    assert not ended.is_set()
    assert plane.stop()
    assert ended.is_set()


def test_a_task_that_ignores_its_cancellation_does_not_hold_up_the_stop(plane, caplog):
    async def stubborn():
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await forever()

    plane.spawn(stubborn)
    ask(plane, int)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, "bee.control"):
        assert plane.stop(timeout=0.1)
    assert time.monotonic() - began < BOUND
    assert "did not end when they were cancelled" in caplog.text
    assert threads() == []


def test_a_loop_that_is_blocked_is_given_up_with_a_warning(plane, caplog, monkeypatch):
    monkeypatch.setattr("bee_core.control.plane._GRACE", 0.05)
    release, blocked = threading.Event(), threading.Event()

    def block():
        blocked.set()
        release.wait(BOUND)

    plane.call_soon(block)
    assert blocked.wait(BOUND)
    with caplog.at_level(logging.WARNING, "bee.control"):
        assert not plane.stop(timeout=0.05)
    assert "blocks its event loop" in caplog.text
    release.set()
    for thread in threads():
        thread.join(BOUND)
    assert threads() == []


def test_stopped_from_another_loop_that_loop_goes_on(plane):
    async def scenario():
        plane.spawn(slow_to_leave)
        ask(plane, int)
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        gone = await plane.stop_async()
        counting.cancel()
        return gone, turns

    async def slow_to_leave():
        try:
            await forever()
        finally:
            await asyncio.sleep(0.05)

    gone, turns = asyncio.run(scenario())
    assert gone
    assert turns > 5
    assert threads() == []


def test_stopped_by_one_of_its_own_tasks_it_does_not_wait_for_itself(plane):
    assert ask(plane, plane.stop) is False
    assert plane.stop()


def test_many_threads_that_start_it_together_get_one_thread(plane):
    barrier = threading.Barrier(16)
    idents = []

    def work():
        barrier.wait(BOUND)
        idents.append(ask(plane, threading.get_ident))

    workers = [threading.Thread(target=work) for _ in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(BOUND)
    assert len(idents) == 16
    assert len(set(idents)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_starts_anew_and_its_parent_goes_on(plane):
    handle = plane.spawn(forever)
    ask(plane, int)
    pid = os.fork()
    if pid == 0:
        try:
            alone = not plane.running
            os._exit(0 if alone and ask(plane, os.getpid) == os.getpid() and plane.stop() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ask(plane, os.getpid) == os.getpid()
    assert not handle.wait(0)
