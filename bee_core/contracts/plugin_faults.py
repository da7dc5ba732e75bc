"""What follows when a plugin breaks its contract: a line for the operator, an error for the caller.

A line is said the first time, and then at most once a minute with the number of times, so a plugin
that fails in each call does not fill the log.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from .plugin_origin import of_unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..errors import Executed, PluginFault
    from .plugin_origin import Blame

PAUSE = 60.0
"""Seconds between two lines about the same method of the same plugin."""


class PluginFaults:
    """The faults of the plugins of one service. Thread-safe; touched by no call that goes well.

    Args:
        complain: Takes one line for the operator.
        clock: Seconds, monotonic.
        blame: Says where a plugin object comes from.
        interrupts: Whether an exception is an interruption of the caller (a handler of signals
            raised it): it is no plugin's fault, and goes on as it is.
    """

    __slots__ = ("_clock", "_complain", "_interrupts", "_lock", "_said", "blame")

    def __init__(
        self,
        complain: Callable[[str], None],
        clock: Callable[[], float],
        blame: Blame = of_unknown,
        interrupts: Callable[[BaseException], bool] | None = None,
    ) -> None:
        self._complain = complain
        self._clock = clock
        self._interrupts = interrupts
        self.blame = blame
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = Lock()
        # By plugin and method: when the next line may come, and what was not said since the last.
        self._said: dict[tuple[int, str], tuple[float, int]] = {}

    def said(self, plugin: object, doing: str, error: BaseException) -> None:
        """Say that a method raised, where nothing else follows: the call keeps what it has.

        Raises:
            BaseException: ``error`` itself, where it is an interruption.
        """
        self.let_pass(error)
        self._say(plugin, doing, self.blame(plugin).said(doing, error))

    def let_pass(self, error: BaseException) -> None:
        """Raise an interruption again: its caller waits for it, and no plugin did wrong.

        A plugin may have made an error of its own of it.
        """
        if self._interrupts is None:
            return
        cause: BaseException | None = error
        while cause is not None:
            if self._interrupts(cause):
                raise cause
            cause = cause.__cause__

    def said_wrong(self, plugin: object, doing: str, problem: str) -> None:
        """Say that a method returned what it must not: ``pick returned a str``."""
        self._say(plugin, doing, f"{self.blame(plugin)}: {doing} {problem}")

    def fault(
        self, plugin: object, doing: str, error: BaseException, executed: Executed = "no"
    ) -> PluginFault:
        """Say that a method raised, and make the error that ends the call.

        Raises:
            BaseException: ``error`` itself, where it is an interruption.
        """
        self.said(plugin, doing, error)
        return self.blame(plugin).fault(doing, error, executed=executed)

    def wrong(
        self, plugin: object, doing: str, problem: str, executed: Executed = "no"
    ) -> PluginFault:
        """Say that a method returned what it must not, and make the error that ends the call."""
        self.said_wrong(plugin, doing, problem)
        origin = self.blame(plugin)
        return origin.broken(f"{origin}: {doing} {problem}", executed=executed)

    def name(self, plugin: object) -> str:
        """The plugin as messages say it: ``balancer 'p2c'``."""
        return self.blame(plugin).title

    def renew_after_fork(self, plugin: object) -> None:
        """Tell a plugin that wants to know that this is a forked child."""
        after_fork = getattr(plugin, "after_fork", None)
        if after_fork is not None:
            try:
                after_fork()
            except Exception as error:  # the locks of the others are renewed all the same
                self.said(plugin, "after_fork", error)

    def _say(self, plugin: object, doing: str, line: str) -> None:
        now, key = self._clock(), (id(plugin), doing)
        with self._lock:
            quiet_until, unsaid = self._said.get(key, (now, 0))
            if now < quiet_until:
                self._said[key] = (quiet_until, unsaid + 1)
                return
            self._said[key] = (now + PAUSE, 0)
        try:
            self._complain(f"{line} ({unsaid} more since the last line)" if unsaid else line)
        except Exception as raised:  # a log that raises costs a line, and not the call
            self.let_pass(raised)


def kind_of(value: Any) -> str:
    """What a wrong value is, in a sentence that anybody's object cannot break: ``a str``."""
    return "None" if value is None else f"a {type(value).__name__}"
