"""What every fallback must do."""

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

    def ask(self, fallback: Fallback, error: CallError) -> tuple[Any, BaseException | None]:
        """Ask for an answer: the value, or what was raised instead."""
        try:
            return fallback.answer("calc", "add", (1, 2), {"c": 3}, error), None
        except Exception as raised:
            return None, raised

    @pytest.mark.parametrize("kind", sorted(CALL_ERRORS))
    def test_every_error_is_answered_or_raised(self, kind: str) -> None:
        error = CALL_ERRORS[kind]("it failed", service="calc", method="add")
        value, raised = self.ask(self.make_fallback(), error)
        assert raised is error or not isinstance(raised, CallError)
        assert value is None or raised is None

    def test_the_answer_is_a_value_and_nothing_to_be_awaited(self) -> None:
        value, _ = self.ask(self.make_fallback(), CALL_ERRORS["unavailable"]("no node"))
        assert not hasattr(value, "__await__")

    def test_the_arguments_are_left_as_they_are(self) -> None:
        args, kwargs = ([1, 2],), {"c": {"d": 3}}
        fallback, error = self.make_fallback(), CALL_ERRORS["unavailable"]("no node")
        try:
            fallback.answer("calc", "add", args, kwargs, error)
        except Exception as raised:
            assert raised is error  # noqa: PT017  # one of two outcomes that are both right
        assert (args, kwargs) == (([1, 2],), {"c": {"d": 3}})
