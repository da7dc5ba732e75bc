"""How far a run is, as one line on a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .course import Course

_STEPS = 2
"""A second: how often the line is drawn."""


@contextmanager
def progress(course: Course) -> Iterator[Callable[[float], None]]:
    """Show a bar on stderr where that is a terminal. Yields what is told the time now and then.

    It is click's bar. The process that measures draws it, in 15 µs; rich takes 800 µs for its bar,
    which would show in the p99.9.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    began = course.measured_from - course.load.warmup
    with click.progressbar(
        length=max(1, round((course.until - began) * _STEPS)),
        file=sys.stderr,
        show_eta=False,
        show_percent=False,
        item_show_func=lambda text: text,
    ) as bar:

        def show(now: float) -> None:
            ahead = int((now - began) * _STEPS) - bar.pos
            if ahead > 0:
                bar.update(ahead, said(course, now))

        yield show


def said(course: Course, now: float) -> str:
    """What stands beside the bar."""
    if now <= course.measured_from:
        return "warm-up"
    calls, failed = course.tally.calls, int(course.tally.failed.total_count)
    rate = (calls - failed) / (now - course.measured_from)
    return f"{calls:,} calls  {rate:,.0f} a second  {failed:,} failed"
