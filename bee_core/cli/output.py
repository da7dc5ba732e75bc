"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ..terms.printable import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ..terms.node import Node

_ENDLESS = 100_000  # columns
_LONGEST_CELL = 1000


def echo(text: str, *, err: bool = False) -> None:
    """Print lines for people. What registries, servers and files say acts on no terminal."""
    click.echo("\n".join(printable(line, _ENDLESS) for line in text.split("\n")), err=err)


def _escaped(text: str) -> str:
    """JSON with what acts on a terminal escaped: JSON itself escapes only the first 32 characters.

    Outside of its strings JSON has nothing of that kind.
    """
    lines = text.split("\n")
    return "\n".join(
        line
        if line.isprintable()
        else "".join(
            one
            if printable(one) == one
            else json.dumps(one)[1:-1]
            if ord(one) > 127
            else f"\\u{ord(one):04x}"
            for one in line
        )
        for line in lines
    )


def print_table(
    titles: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, wrapped: Collection[str] = ()
) -> None:
    """Print rows under their titles. Into a file or a pipe goes one line a row.

    Args:
        titles: Of the columns.
        rows: A text for each column.
        wrapped: The columns that take several lines on a terminal that is too narrow.
    """
    # In here: most commands, and all with --json, print no table.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:  # one line each, however long: grep must find the whole of it
        console = Console(width=_ENDLESS)
    table = Table(box=SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for title in titles:
        folds = title in wrapped
        table.add_column(title, no_wrap=not folds, overflow="fold" if folds else "ellipsis")
    for row in rows:
        table.add_row(*(Text(printable(cell, _LONGEST_CELL)) for cell in row))
    console.print(table)


def print_json(value: Any) -> None:
    """Print an object of the command's own as JSON with indents."""
    click.echo(_escaped(json.dumps(value, indent=2, ensure_ascii=False)))


def fields(of: object, *names: str) -> dict[str, Any]:
    """Some attributes of an object, for JSON."""
    return {name: getattr(of, name) for name in names}


def duration(span: float) -> str:
    """A time for people, in one unit: ``0.2 s``, ``45 s``, ``12 min``, ``3 h``, ``5 days``."""
    if span < 9.95:
        return f"{span:.1f} s"
    if span < 120:
        return f"{span:.0f} s"
    if span < 7200:
        return f"{span / 60:.0f} min"
    return f"{span / 3600:.0f} h" if span < 172800 else f"{span / 86400:.0f} days"


def seconds(span: float | None) -> float | None:
    """A time for JSON, in seconds; None stays."""
    return None if span is None else round(span, 3)


def node_object(node: Node) -> dict[str, Any]:
    """A node for JSON."""
    return fields(node, "id", "url", "version", "weight", "zone") | {"tags": sorted(node.tags)}


def encode(value: Any) -> str:
    """A value of a call as JSON. A NaN, which some codecs carry, is written as ``NaN``.

    Raises:
        click.ClickException: It has keys that JSON cannot have.
    """
    try:
        # msgspec, because a codec may have made what the module json cannot write: dates, UUIDs.
        text = msgspec.json.encode(value).decode()
        if "null" not in text:  # msgspec writes it for a NaN, too
            return _escaped(text)
        plain = msgspec.to_builtins(value, str_keys=True)
        return _escaped(json.dumps(plain, ensure_ascii=False, separators=(",", ":")))
    except (TypeError, UnicodeError) as error:
        raise click.ClickException(f"the result cannot be written as JSON: {error}") from error
