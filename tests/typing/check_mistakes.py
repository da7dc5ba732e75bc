"""What type checkers must refuse. Never run.

An ignore that is not needed is an error, for mypy and for pyright.
"""

from __future__ import annotations

from interfaces import AsyncCalculator, Calculator, CalculatorProtocol, Users

import bee_core


def wrong_calls(client: bee_core.Client) -> None:
    calc = client.service("calc", CalculatorProtocol)
    calc.add(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    calc.add("1", 2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    calc.substract(1, 2)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    text: str = calc.add(1, 2)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    assert text
    client.service("calc", Calculator())  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def wrong_options(client: bee_core.Client) -> None:
    calc = client.service("calc", Calculator)
    bee_core.with_options(calc, timeout="1 s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bee_core.with_options(calc, timout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.service("calc").with_options(retries="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.service("calc").with_options(retry=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def wrong_details(client: bee_core.Client) -> None:
    calc = client.service("calc", Calculator)
    bee_core.detailed(calc.add, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    bee_core.detailed(calc.add, "1", 2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    text: str = bee_core.detailed(calc.add, 1, 2).value  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    assert text


def wrong_futures(client: bee_core.Client) -> None:
    calc = client.service("calc", Calculator)
    bee_core.future(calc.add, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    bee_core.future(calc.add, "1", 2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    text: str = bee_core.future(calc.add, 1, 2).result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    assert text


def wrong_marks() -> None:
    bee_core.raises(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bee_core.raises(KeyboardInterrupt)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bee_core.ServiceError("NO")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    bee_core.ServiceError("NO", "no", {})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def wrong_awaits(client: bee_core.AsyncClient) -> None:
    calc = client.service("calc", AsyncCalculator)
    text: str = await calc.add(1, 2)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    assert text
    bee_core.detailed(calc.add, 1, 2).value  # type: ignore[attr-defined]  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def wrong_types_of_generic_interfaces(client: bee_core.Client) -> None:
    users = client.service("users", Users)
    users.save("nonsense")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    text: str = users.get(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    assert text
