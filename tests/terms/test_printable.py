"""Foreign text on one line, and exceptions' texts."""

from __future__ import annotations

import importlib
import logging
import pkgutil

import pytest

import bee_core
import bee_plugins
from bee_core.terms.loggers import logger
from bee_core.terms.printable import printable, printable_lines, text_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ñ 服务 안녕 😀", "plain, ñ 服务 안녕 😀"),
        ("a\u3000b", "a\u3000b"),  # the space of Chinese and Japanese text
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\r\nINFO b\tc", r"a\r\nINFO b\tc"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("a\u2028b\u00a0c\u200bd", r"a\u2028b\xa0c\u200bd"),
        ("\ud800", r"\ud800"),
        ("", ""),
    ],
)
def test_nothing_acts_on_a_terminal_and_letters_stay(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_long_text_is_cut() -> None:
    assert printable("a" * 11, 10) == "a" * 10 + "…"
    assert len(printable("a" * 10**6)) < 3000


class Hostile:
    def __str__(self) -> str:
        raise KeyboardInterrupt


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self

    def isprintable(self) -> bool:
        return True


def test_any_object_has_a_text() -> None:
    assert "whose text cannot be made (KeyboardInterrupt)" in printable(Hostile())
    assert printable(Text("\x1b")) == r"\x1b"
    assert printable(10**5000).startswith("a int whose text cannot be made")


def test_an_exception_without_a_text_has_its_name() -> None:
    assert text_of(KeyError()) == "KeyError"
    assert text_of(ValueError("a\nb")) == "a\nb"


def test_lines_below_a_log_line_are_indented() -> None:
    assert printable_lines("a\n  b\x1b\nINFO c\r\n") == "  a\n    b\\x1b\n  INFO c\\r"


def test_a_logger_of_bee_writes_nothing_raw_whatever_handler_there_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logger("bee.test")
    assert log is logging.getLogger("bee.test")
    log.warning("no such name: %s", "a\nINFO admin logged in\x1b[2J")
    try:
        raise ValueError("b\nINFO admin logged in")
    except ValueError:
        log.exception("it failed")
    log.warning("plain %s", "text")
    lines = [
        line
        for record in caplog.records[:2]
        for line in logging.Formatter("%(message)s").format(record).split("\n")
    ]
    assert not any(line.startswith("INFO") for line in lines)
    assert "\x1b" not in "".join(lines)
    assert lines[0] == "no such name: a"
    assert any("ValueError: b" in line for line in lines)
    assert caplog.records[2].args == ("text",)  # nothing to do, so nothing is made anew


def test_no_logger_of_bee_lets_foreign_text_through(caplog: pytest.LogCaptureFixture) -> None:
    for room in (bee_core, bee_plugins):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    names = [name for name in logging.root.manager.loggerDict if name.startswith("bee.")]
    own = [n for n in names if isinstance(logging.root.manager.loggerDict[n], logging.Logger)]
    assert {"bee.tls", "bee.registry.etcd3", "bee.registry.local"} <= set(own)
    for name in own:
        caplog.clear()
        with caplog.at_level(logging.WARNING, name):
            logging.getLogger(name).warning("from outside: %s", "\x1b[31m")
        assert caplog.messages == [r"from outside: \x1b[31m"], name
