"""How answers reach the terminal: one JSON document, or plain tables and lines."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

__all__ = ["as_text", "print_json", "print_pairs", "print_table"]

_GAP: Final = "  "
# What is printed may come from a stranger's data: a control character could rewrite what the terminal shows.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def print_json(value: Any) -> None:
    """One JSON document, whatever the value is made of."""
    sys.stdout.write(msgspec.json.encode(value, enc_hook=str).decode() + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, nothing: str = "Nothing.") -> None:
    """A table for people; `nothing` is said when there are no rows.

    On a terminal that is too narrow for it, each row becomes a paragraph; elsewhere each row is one line, uncut.
    """
    if not rows:
        print(nothing)
        return
    cells = [[as_text(cell) for cell in row] for row in rows]
    names = [as_text(name) for name in columns]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    if not sys.stdout.isatty():
        _print_plain(names, cells, widths)
    elif sum(widths) + len(_GAP) * (len(widths) - 1) <= _terminal_width():
        _print_rich(names, cells)
    else:
        _print_paragraphs(names, cells)


def _terminal_width() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _print_plain(names: list[str], rows: list[list[str]], widths: list[int]) -> None:
    for row in (names, *rows):
        line = _GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())


def _print_rich(names: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, len(_GAP), 0, 0))
    for name in names:
        table.add_column(Text(name))
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Terminal(highlight=False).print(table)


def _print_paragraphs(names: list[str], rows: list[list[str]]) -> None:
    width = max(map(len, names))
    for number, row in enumerate(rows):
        if number:
            print()
        for name, cell in zip(names, row, strict=True):
            print(f"{name:<{width}}{_GAP}{cell}".rstrip())


def print_pairs(pairs: Sequence[tuple[str, Any]]) -> None:
    """Names and values, one a line; empty values are left out."""
    shown = [(name, as_text(value)) for name, value in pairs if value not in (None, "", [], {}, ())]
    width = max((len(name) for name, _ in shown), default=0)
    for name, text in shown:
        print(f"{name:<{width}}{_GAP}{text}")


def as_text(value: Any) -> str:
    r"""A value as a person would write it, on one line and without control characters.

    >>> as_text(0.123456789), as_text(None), as_text(["a", "b"]), as_text(True)
    ('0.123457', '', 'a, b', 'yes')
    >>> print(as_text("two\nlines and an \x1b[31mescape"))
    two\nlines and an \x1b[31mescape
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
        return ", ".join(f"{as_text(name)}={as_text(item)}" for name, item in value.items())
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), str(value))
