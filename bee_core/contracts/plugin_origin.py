"""Where a plugin object comes from: what messages and errors call it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from ..errors import Executed, PluginFault
from ..terms.printable import brief
from ..terms.tracebacks import place, raised_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    Blame = Callable[[object], "PluginOrigin"]
    """Says where a plugin object comes from: the hub's ``origin_of``, or :func:`of_unknown`."""


@attrs.frozen
class PluginOrigin:
    """Where a plugin object comes from.

    Attributes:
        kind: The kind of plugin, as ``balancer``.
        name: Its name in the configuration.
        distribution: The distribution that brought it, or the empty string.
        version: The distribution's version, or the empty string.
        file: The file that defines it, or the empty string where that is unknown.
        line: Where in that file, from 1, or None.
    """

    kind: str
    name: str
    distribution: str = ""
    version: str = ""
    file: str = ""
    line: int | None = None

    @property
    def title(self) -> str:
        """``balancer 'p2c'``, as messages say it."""
        return f"{self.kind} {self.name!r}"

    @property
    def label(self) -> str:
        """The title with the distribution: ``balancer 'p2c' of bee-p2c 1.0``."""
        if not self.distribution:
            return self.title
        return f"{self.title} of {self.distribution} {self.version}".rstrip()

    def __str__(self) -> str:
        """``balancer 'p2c' of bee-p2c 1.0 (/srv/p2c.py:12)``."""
        return f"{self.label}{in_brackets(place(self.file, self.line))}"

    def said(self, doing: str, error: BaseException) -> str:
        """One line about what the plugin raised. Never raises.

        Args:
            doing: The method that raised, as ``pick``.
            error: What it raised.

        Returns:
            ``balancer 'p2c' of bee-p2c 1.0: pick raised KeyError: 'a' (/srv/p2c.py:17)``.
        """
        where = in_brackets(raised_at(error, self.file) or place(self.file, self.line))
        return f"{self.label}: {doing} raised {brief(error)}{where}"

    def fault(
        self, doing: str, error: BaseException, *, executed: Executed = "no", **more: Any
    ) -> PluginFault:
        """The error for a plugin that raised what its contract does not allow.

        Args:
            doing: The method that raised, as ``pick``.
            error: What it raised; it becomes the ``__cause__``.
            executed: Whether the handler of the call ran.
            more: Further arguments of a ``CallError``: ``service``, ``method``, ``node``.
        """
        fault = self.broken(self.said(doing, error), executed=executed, **more)
        fault.__cause__ = error
        return fault

    def broken(self, message: str, *, executed: Executed = "no", **more: Any) -> PluginFault:
        """The error for a plugin that broke its contract in another way, with a whole message."""
        fault = PluginFault(message, executed=executed, **more)
        fault.plugin, fault.distribution = self.title, self.distribution
        return fault


def of_unknown(plugin: object) -> PluginOrigin:
    """The origin of an object that no hub has made: its class stands for the name."""
    file, line = defined_at(plugin)
    return PluginOrigin("plugin", type(plugin).__qualname__, file=file, line=line)


def in_brackets(where: str) -> str:
    """A place as the end of a sentence; nothing for nothing."""
    return f" ({where})" if where else ""


def defined_at(thing: Any) -> tuple[str, int | None]:
    """The file and the line of a function, a method, a class, or an object's class. No I/O.

    A class that no method of which is written in a file has no line. The file is the empty string
    where it is unknown, as for what is written in C.
    """
    codes = _codes(thing) or _codes(thing if isinstance(thing, type) else type(thing))
    written = [code for code in codes if not code.co_filename.startswith("<")]
    if not written:
        return "", None
    first = min(written, key=lambda code: code.co_firstlineno)
    return first.co_filename, first.co_firstlineno


def _codes(thing: Any) -> list[CodeType]:
    """The code of a function, or of the methods that a class defines itself."""
    for _ in range(8):  # a method around a partial around a function, and no circle for ever
        inner = getattr(thing, "func", None) or getattr(thing, "__func__", None)
        if inner is None:
            break
        thing = inner
    code = getattr(thing, "__code__", None)
    if code is not None and hasattr(code, "co_firstlineno"):
        return [code]
    if not isinstance(thing, type):
        return []
    found = []
    for member in vars(thing).values():
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        code = getattr(function, "__code__", None)
        # A method that was taken from another class does not say where this one stands.
        qualified = getattr(function, "__qualname__", "")
        if code is not None and qualified.startswith(f"{thing.__qualname__}."):
            found.append(code)
    return found
