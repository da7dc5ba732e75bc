"""Text that others made, fit for a log line, a table and a terminal.

Records of a registry, metadata, method names and exceptions' texts come from outside. Everything of
that kind goes through :func:`printable` before a person sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_HARMLESS = frozenset("\u3000")
"""The space of Chinese and Japanese text, two columns wide. Other spaces look like the usual one,
so they are shown."""
LIMIT = 2048
"""Characters of a foreign text that are shown: enough for a sentence, too few to fill a log."""


def printable(text: Any, limit: int = LIMIT) -> str:
    r"""The text on one line, with nothing in it that acts on a terminal.

    Control characters, line ends, bidirectional marks and lone surrogates become escapes such as
    ``\x1b`` and ``\u202e``. Letters of every language stay. Never raises.

    Args:
        text: Any object; one that is no ``str`` is shown by its ``str``.
        limit: Characters to show. A longer text ends in an ellipsis.
    """
    whole: str = text if type(text) is str else _str(text)
    cut = whole if len(whole) <= limit else whole[:limit] + "…"
    if cut.isprintable():
        return cut
    return "".join(
        character
        if character.isprintable() or character in _HARMLESS
        else character.encode("unicode_escape").decode("ascii")
        for character in cut
    )


def printable_lines(text: Any) -> str:
    """A text of several lines, such as a traceback, below a log line: each line is indented.

    So no line of it looks like a log line of its own, whatever an exception says. Never raises.
    """
    return "\n".join(f"  {printable(line)}" for line in _str(text).rstrip("\n").split("\n"))


def text_of(error: BaseException) -> str:
    """What an exception says, or the name of its class where it says nothing. Never raises.

    The text is not made printable: an application may want the line ends of its own errors.
    """
    return _str(error) or name_of(error)


def brief(error: BaseException, limit: int = 500) -> str:
    """An exception as one printable line: its class, and what it says. Never raises.

    Args:
        error: The exception.
        limit: Characters of its text to show.
    """
    kind, text = name_of(error), text_of(error)
    return kind if text == kind else f"{kind}: {printable(text, limit)}"


def counted(number: int, noun: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def name_of(value: object) -> str:
    """The name of an object's class. Never raises: a metaclass may have a ``__name__`` of its own.

    An exception's class may come from anywhere.
    """
    name: str = _class_name(type(value))
    return name


_class_name: Callable[[type], str] = type.__dict__["__name__"].__get__


def _str(value: object) -> str:
    """``str(value)`` as a plain ``str``; it may call any code, and that may raise anything."""
    try:
        return str.__str__(str(value))  # a plain one, also of a subclass
    except BaseException as failed:  # hostile integers, recursion, a __str__ with a bug
        return f"a {name_of(value)} whose text cannot be made ({name_of(failed)})"
