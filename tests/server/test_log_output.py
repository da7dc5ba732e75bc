"""How log lines look, and where a program's go that has set up nothing."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from typing import Any

import pytest

from bee_core.server.log_output import JsonFormatter, PlainFormatter, shown_when_nobody_listens
from support.patience import scaled

HEAD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} (\w+) ([\w.]+): (.*)")


def record(message: str, *args: Any, error: BaseException | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("shop.orders", logging.ERROR, "f.py", 1, message, args, info)


def raised(text: str) -> ValueError:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_a_line_has_time_level_logger_and_message() -> None:
    found = HEAD.fullmatch(PlainFormatter().format(record("%d left", 3)))
    assert found is not None
    assert found.groups() == ("ERROR", "shop.orders", "3 left")


def test_only_lines_of_the_log_begin_with_a_time() -> None:
    text = PlainFormatter().format(
        record("first\n2026-01-01T00:00:00.000+0000 INFO x: forged\x1b", error=raised("a\nINFO b"))
    )
    first, *others = text.split("\n")
    assert HEAD.fullmatch(first)
    assert all(line.startswith("  ") for line in others)
    assert any("ValueError: a" in line for line in others)
    assert "\x1b" not in text


def test_json_lines_hold_any_value_on_one_line() -> None:
    made = record("a\nb\u202e", error=raised("c\nd"))
    made.bee_fields = {"peer": object(), "text": "\x9b", "level": "not this"}
    text = JsonFormatter().format(made)
    assert text.isprintable()
    line = json.loads(text)
    assert (line["level"], line["logger"], line["message"]) == (
        "error",
        "shop.orders",
        "a\nb\u202e",
    )
    assert line["time"].endswith("Z")
    assert "ValueError: c" in line["traceback"]


PROGRAM = """
import logging, sys, threading
import bee_core
{setup}
server = bee_core.build_server({{"bee": {{"rpc": {{"server": {{"name": "s", "address": "127.0.0.1:0"}}}}}}}})
server.add(lambda: 1, name="one")
import os, signal
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
server.run()
print(logging.getLogger("bee").handlers, logging.getLogger().handlers)
"""


def run(setup: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(setup=setup)],
        capture_output=True,
        text=True,
        timeout=scaled(30),
        check=True,
    )


def test_a_server_logs_where_logging_is_not_configured() -> None:
    done = run("")
    heads = [HEAD.fullmatch(line) for line in done.stderr.splitlines()]
    assert [head and head[1] for head in heads] == ["INFO"] * len(heads)
    said = [head[3] for head in heads if head]
    assert said[0].startswith("listening on tcp://127.0.0.1:")
    assert said[-1] == "gone"
    assert done.stdout.strip() == "[] []"  # and leaves logging as it was


@pytest.mark.parametrize(
    ("setup", "lines"),
    [
        ("logging.basicConfig(level=logging.INFO, format='own %(message)s')", "own listening"),
        ("logging.getLogger('bee').addHandler(logging.NullHandler())", ""),
        ("logging.basicConfig(level=logging.WARNING)", ""),
    ],
)
def test_logging_that_is_configured_is_left_alone(setup: str, lines: str) -> None:
    err = run(setup).stderr
    assert err.startswith(lines) if lines else not err
    assert not any(HEAD.fullmatch(line) for line in err.splitlines())


def test_logging_that_is_configured_meanwhile_takes_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, bee = logging.getLogger(), logging.getLogger("bee")
    before, root.handlers[:] = root.handlers[:], []
    try:
        with shown_when_nobody_listens():
            logging.getLogger("bee.server").info("one")
            root.addHandler(logging.NullHandler())
            logging.getLogger("bee.server").info("two")
        assert not bee.handlers
    finally:
        root.handlers[:] = before
    err = capsys.readouterr().err
    assert "INFO bee.server: one" in err
    assert "two" not in err
