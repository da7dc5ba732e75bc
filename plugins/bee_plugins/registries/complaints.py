"""Warnings of what is wrong in a registry, each said once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping


class Complaints:
    """Says each problem once, and again when it has gone and come back. For one thread.

    Args:
        log: Where.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: dict[str, str] = {}

    def say(self, subject: str, text: str) -> None:
        """Warn of a problem of a subject (a file's name, a key), unless it was said already."""
        if self._said.get(subject) != text:
            self._said[subject] = text
            self._log.warning("%s", text)

    def forget(self, subject: str) -> None:
        """A subject's problem has gone."""
        self._said.pop(subject, None)

    def say_all(self, problems: Mapping[str, str]) -> None:
        """These are all the problems there are, by subject."""
        for subject, text in problems.items():
            self.say(subject, text)
        self._said = dict(problems)
