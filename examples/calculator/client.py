"""A typed blocking client: the proxies have the types of the classes, and mypy checks the calls."""

from __future__ import annotations

from typing import Protocol

import bee_core
from calculator import Calculator, Summary


class StatsApi(Protocol):
    """The server's object named Stats, as the client wants to see it."""

    def mean(self, values: list[float]) -> float: ...

    def summary(self, values: list[float]) -> Summary: ...


class Service(Protocol):
    """The service. An attribute annotated with another interface is an object with a name."""

    Stats: StatsApi


with bee_core.build_client("bee.yml") as client:
    calc: Calculator = client.service("calc", Calculator)
    print("1 + 2 =", calc.add(1, 2))

    stats = client.service("calc", Service).Stats
    print("summary:", stats.summary([3, 1, 2]))

    reply = bee_core.detailed(bee_core.with_options(calc, timeout=0.5).add, 20, 22)
    print("20 + 22 =", reply.value, "after", reply.attempts, "attempt")

    doubles = [bee_core.future(calc.add, number, number) for number in range(4)]
    print("all in flight at once:", [double.result() for double in doubles])

    try:
        calc.divide(1, 0)
    except bee_core.errors.RemoteError as error:
        print("the handler raised", error.type, "- executed:", error.executed)

    try:
        calc.add(1, "two")  # type: ignore[arg-type]
    except bee_core.errors.InvalidArgument as error:
        print("refused before anything was sent:", error.message)
