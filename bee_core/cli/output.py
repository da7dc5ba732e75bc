"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ..terms.node import Node

_ENDLESS = 100_000  # columns


def print_table(
    titles: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, wrapped: Collection[str] = ()
) -> None:
    """Print rows under their titles. Into a file or a pipe goes one line a row.

    Args:
        titles: Of the columns.
        rows: A text for each column.
        wrapped: The columns that take several lines on a terminal that is too narrow.
    """
    console = Console()
    if not console.is_terminal:  # one line each, however long: grep must find the whole of it
        console = Console(width=_ENDLESS)
    table = Table(box=SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for title in titles:
        folds = title in wrapped
        table.add_column(title, no_wrap=not folds, overflow="fold" if folds else "ellipsis")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def print_json(value: Any) -> None:
    """Print an object of the command's own as JSON with indents."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def fields(of: object, *names: str) -> dict[str, Any]:
    """Some attributes of an object, for JSON."""
    return {name: getattr(of, name) for name in names}


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
            return text
        plain = msgspec.to_builtins(value, str_keys=True)
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, UnicodeError) as error:
        raise click.ClickException(f"the result cannot be written as JSON: {error}") from error
