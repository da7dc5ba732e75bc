"""What every fallback must do: it answers, or it raises the error that it was asked about.

The suite does not check which errors it answers, or with what. These are options of the fallback.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import pytest

from bee_core.errors import CALL_ERRORS, CallError

if TYPE_CHECKING:
    from bee_core.contracts.policies import Fallback


class FallbackContract:
    """Inherit, and say how to make the fallback."""

    @abstractmethod
    def make_fallback(self) -> Fallback:
        """A new fallback with the options under test."""

    @pytest.fixture
    def fallback(self) -> Fallback:
        """The fallback of one test."""
        return self.make_fallback()

    def ask(self, fallback: Fallback, error: CallError) -> tuple[Any, BaseException | None]:
        """Ask for an answer: the value, or what was raised instead."""
        try:
            return fallback.answer("calc", "add", (1, 2), {"c": 3}, error), None
        except Exception as raised:
            return None, raised

    @pytest.mark.parametrize("kind", sorted(CALL_ERRORS))
    def test_every_error_is_answered_or_raised(self, fallback: Fallback, kind: str) -> None:
        error = CALL_ERRORS[kind]("it failed", service="calc", method="add")
        value, raised = self.ask(fallback, error)
        assert raised is error or not isinstance(raised, CallError)
        assert value is None or raised is None

    def test_the_answer_is_a_value_and_nothing_to_be_awaited(self, fallback: Fallback) -> None:
        value, _ = self.ask(fallback, CALL_ERRORS["unavailable"]("no node"))
        assert not hasattr(value, "__await__")

    def test_the_arguments_are_left_as_they_are(self, fallback: Fallback) -> None:
        args, kwargs = ([1, 2],), {"c": {"d": 3}}
        error = CALL_ERRORS["unavailable"]("no node")
        try:
            fallback.answer("calc", "add", args, kwargs, error)
        except Exception as raised:
            assert raised is error  # noqa: PT017  # one of two outcomes that are both right
        assert (args, kwargs) == (([1, 2],), {"c": {"d": 3}})
