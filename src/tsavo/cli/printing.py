"""How answers reach the terminal: one JSON document, or plain tables and lines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

__all__ = ["as_text", "print_json", "print_pairs", "print_table"]


def print_json(value: Any) -> None:
    """One JSON document, whatever the value is made of."""
    sys.stdout.write(msgspec.json.encode(value, enc_hook=str).decode() + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, nothing: str = "Nothing.") -> None:
    """A table for people; `nothing` is said when there are no rows."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    if not rows:
        console.print(nothing, markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=not sys.stdout.isatty())
    for row in rows:
        table.add_row(*(_escaped(as_text(cell)) for cell in row))
    console.print(table)


def print_pairs(pairs: Sequence[tuple[str, Any]]) -> None:
    """Names and values, one a line; empty values are left out."""
    shown = [(name, as_text(value)) for name, value in pairs if value not in (None, "", [], {}, ())]
    width = max((len(name) for name, _ in shown), default=0)
    for name, text in shown:
        print(f"{name:<{width}}  {text}")


def as_text(value: Any) -> str:
    """A value as a person would write it.

    >>> as_text(0.123456789), as_text(None), as_text(["a", "b"]), as_text(True)
    ('0.123457', '', 'a, b', 'yes')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(as_text(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={as_text(item)}" for name, item in value.items())
    return str(value)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
