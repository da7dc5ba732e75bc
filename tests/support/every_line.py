"""Raises an exception at every line of a stretch of code, one line a run.

An exception of a signal (Ctrl-C, a soft time limit) may come between any two lines. ``sys.settrace``
puts it there on purpose: a ``BaseException``, or what an installed handler raises.
"""

from __future__ import annotations

import ast
import dis
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Injected(BaseException):
    """What a signal's handler raised."""


class SoftTimeLimitError(TimeoutError):
    """What a signal's handler raised: an ``Exception``, and an ``OSError`` as well."""


def _handler(number, frame):
    raise SoftTimeLimitError(number)


@contextmanager
def handled_signal():
    """A handler of SIGUSR2 that raises, for ``EveryLine(..., kind=SoftTimeLimitError)``."""
    before = signal.signal(signal.SIGUSR2, _handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, before)


class _Lines(NamedTuple):
    """What a tracer knows of a file."""

    name: str
    tries: frozenset[int]
    """The lines ``try:`` and ``with``, where Python runs no handler of a signal.

    A tracer's exception there is not caught by the ``try`` around the line, and leaves a ``with``
    without its exit.
    """
    cleanups: frozenset[int]
    """Lines inside of a ``finally``: they give back, and an exception there is out of scope."""


@cache
def _lines(filename):
    tree = ast.parse(Path(filename).read_text("utf-8"))
    tries = {node.lineno for node in ast.walk(tree) if isinstance(node, (ast.Try, ast.With))}
    cleanups = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        for statement in node.finalbody
        for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
    }
    return _Lines(Path(filename).name, frozenset(tries), frozenset(cleanups))


def _leaves_except(frame):
    """Whether a line does nothing but leave an ``except``, where Python runs no handler of a signal.

    From 3.11 on, a tracer's exception there leaves what was caught behind: it is the context of all
    that the thread raises from then on.
    """
    return frame.f_code.co_code[frame.f_lasti] == _POP_EXCEPT


_POP_EXCEPT = dis.opmap["POP_EXCEPT"]


class EveryLine:
    """Counts the lines of some files that a run passes, and raises at one of them.

    Args:
        parts: What the names of the files end in.
        kind: What is raised.
        most: How often it looks at a line in one run: the turns of a long loop are alike.
    """

    def __init__(self, *parts, kind=Injected, most=3):
        self.parts = parts
        self.kind = kind
        self.most = most
        self.turns = Counter()
        self.passed = []
        self.at = None

    def _of(self, frame):
        """What is known of a frame's file, or None where the file does not matter."""
        filename = frame.f_code.co_filename
        return _lines(filename) if filename.endswith(self.parts) else None

    def _cleans_up(self, frame):
        while frame is not self._top:
            lines = self._of(frame)
            if lines is not None and frame.f_lineno in lines.cleanups:
                return True
            frame = frame.f_back
        return False

    def _trace(self, frame, event, arg):
        lines = self._of(frame)
        if lines is None:
            return None
        number = frame.f_lineno
        if (
            event == "line"
            and number not in lines.tries
            and not _leaves_except(frame)
            and not self._cleans_up(frame)
        ):
            line = f"{lines.name}:{number}"
            self.turns[line] += 1
            if self.turns[line] > self.most:
                return self._trace
            self.passed.append(line)
            if len(self.passed) - 1 == self.at:
                if self.kind is SoftTimeLimitError:
                    _handler(0, frame)
                raise self.kind(line)
        return self._trace

    def run(self, action, at=None):
        """Run; with ``at``, raise at the line of this number. True where it was reached."""
        self.passed, self.at, self.turns = [], at, Counter()
        self._top = sys._getframe()  # no public name gives it  # noqa: SLF001
        current = sys.exc_info()[1]
        reached = self._run(action)
        assert sys.exc_info()[1] is current, f"an exception is left behind at {self.passed[-1:]}"
        return reached or (at is not None and len(self.passed) > at)

    def _run(self, action):
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            action()
        except self.kind:
            return True
        finally:
            sys.settrace(before)
        return False
