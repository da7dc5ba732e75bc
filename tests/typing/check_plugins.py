"""What type checkers must accept of plugins: a part of an observer, derived from the contract.

Checked by mypy --strict and pyright; never run.
"""

from __future__ import annotations

from typing import Any

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import CallRecord, Interceptor, Observer


class Timing(Observer):
    def call_ended(self, state: Any, record: CallRecord) -> None:
        self.seconds = record.seconds


class Entering(Interceptor):
    def enter(self, call: Any) -> None:
        call.add_metadata("tenant", "a")


@hookimpl
def bee_register_observers(registry: Registrar[Observer]) -> None:
    registry.add("timing", Timing)


@hookimpl
def bee_register_interceptors(registry: Registrar[Interceptor]) -> None:
    registry.add("entering", Entering)


made: tuple[Observer, Interceptor] = (Timing(), Entering())
