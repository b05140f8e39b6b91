"""Queries that people keep under a name, and files that are written from them again and again."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

__all__ = ["Export", "ExportFormat", "ExportRun", "SavedQuery"]

ExportFormat = Literal["csv", "parquet", "xlsx", "json", "jsonl", "arrow"]


class SavedQuery(msgspec.Struct, frozen=True):
    """One version of a saved query.

    Attributes
    ----------
    number
        1 for the first; saving another text or description under the name makes the next.
    by, time, why
        Who saved it, when, and why.
    """

    name: str
    number: int
    query: str
    description: str
    by: str
    time: datetime
    why: str = ""


class ExportRun(msgspec.Struct, frozen=True):
    """One writing of an export's file.

    Attributes
    ----------
    seconds
        How long it took.
    file
        What was written, within the folder of exports; empty when it failed.
    error
        Why it failed; empty when it did not. The file of the run before is then left as it was.
    """

    time: datetime
    seconds: float
    rows: int = 0
    bytes: int = 0
    file: str = ""
    error: str = ""


class Export(msgspec.Struct, frozen=True):
    """A file that the keeper writes from a query at an interval.

    Attributes
    ----------
    query
        One SELECT, or ``@name`` for the newest version of a saved query.
    folder
        Within the folder of exports.
    every_seconds
        From the beginning of one run to the next.
    raw
        Leave texts of a CSV file as they are that a spreadsheet program would run as formulas.
    next
        When it runs next.
    last
        What came of the last run; ``None`` before the first.
    """

    name: str
    query: str
    folder: str
    format: ExportFormat
    every_seconds: int
    raw: bool
    by: str
    created: datetime
    next: datetime
    last: ExportRun | None = None
