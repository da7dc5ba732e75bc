from __future__ import annotations

import logging
import signal

import pytest

import bee_core.client.interruptions  # noqa: F401  # what it lets through
from bee_core.terms.loggers import logger


class Broken(logging.Handler):
    def emit(self, record):
        raise ValueError("I/O operation on closed file")


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture
def log():
    found = logger("bee.tests_of_loggers")
    yield found
    for handler in tuple(found.handlers):
        found.removeHandler(handler)


def test_a_handler_that_raises_costs_a_line(log):
    kept = Kept()
    log.addHandler(kept)
    log.addHandler(Broken())
    log.warning("first")
    log.warning("second")
    assert kept.lines == ["first", "second"]


def test_an_interruption_of_the_caller_goes_on(log):
    class Interrupted(Exception):
        pass

    def interrupt(number, frame):
        raise Interrupted

    class Signalled(logging.Handler):
        def emit(self, record):
            signal.raise_signal(signal.SIGUSR1)

    log.addHandler(Signalled())
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(Interrupted):
            log.warning("a line")
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_it_is_the_same_logger_each_time_and_wrapped_once(log):
    first = vars(log)["handle"]
    assert logger("bee.tests_of_loggers") is log
    assert vars(log)["handle"] is first
