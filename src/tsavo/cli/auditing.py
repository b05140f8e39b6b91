"""``audit``: who changed what, when and why."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Final

import msgspec

from tsavo.cli.moments import read_moment
from tsavo.cli.options import Common, Options, OutputPath
from tsavo.cli.printing import print_json, print_table
from tsavo.vocabulary import AuditEntry, Invalid

__all__ = ["audit"]

_PIPE: Final = "-"
_SHOWN: Final = 100
_COLUMNS: Final = ("id", "time", "who", "action", "subject", "why", "before", "after")
_ENDINGS: Final = (".jsonl", ".csv")


def audit(
    subject: str | None = None,
    /,
    *,
    who: str | None = None,
    action: str | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: int | None = None,
    output: OutputPath = _PIPE,
    options: Common = Options(),
) -> int:
    """Who changed what, when and why: the audit trail, newest first.

    Parameters
    ----------
    subject
        About this alone: endpoint:NAME, model:NAME, version:MODEL@N, query:NAME and so on.
    who
        Only what this person did.
    action
        Only this: endpoint.deploy, or endpoint for all that begin so.
    since
        Only from this time on: 2026-01-01T00:00Z, or how long ago, such as 24h or 7d.
    until
        Only before this time.
    limit
        At most so many (100; into a file all).
    output
        Write all of it to a .jsonl or .csv file instead of printing, with what was before and after.
    """
    path = None if output == _PIPE else Path(output)
    if path is not None and path.suffix.lower() not in _ENDINGS:
        raise Invalid(
            "not a kind of file that the audit trail can be written to",
            field="output",
            found=output,
            expected=f"a name that ends in {' or '.join(_ENDINGS)}",
        )
    with options.connected() as client:
        entries = client.audit(
            subject,
            who=who,
            action=action,
            since=read_moment(since, "since"),
            until=read_moment(until, "until"),
        )
        if path is not None:
            return _write(islice(entries, limit), path, options)
        found = list(islice(entries, _SHOWN if limit is None else limit))
    if options.json:
        print_json(found)
        return 0
    rows = [[one.time, one.who, one.action, one.subject, one.why] for one in found]
    print_table(("time", "who", "action", "subject", "why"), rows, nothing="Nothing was changed.")
    return 0


def _write(entries: Iterator[AuditEntry], path: Path, options: Options) -> int:
    from tsavo.client.files import whole_file

    write = _write_csv if path.suffix.lower() == ".csv" else _write_lines
    with whole_file(path) as file:
        rows = write(entries, file)
    if options.json:
        print_json({"entries": rows, "output": str(path)})
    else:
        print(f"{rows:,} entries in {path}")
    return 0


def _write_lines(entries: Iterator[AuditEntry], file: IO[bytes]) -> int:
    rows = 0
    for entry in entries:
        file.write(msgspec.json.encode(entry) + b"\n")
        rows += 1
    return rows


def _write_csv(entries: Iterator[AuditEntry], file: IO[bytes]) -> int:
    rows = 0
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for entry in entries:
        writer.writerow([_cell(getattr(entry, name)) for name in _COLUMNS])
        rows += 1
    text.detach()
    return rows


def _cell(value: object) -> str:
    """A value as text; one that a spreadsheet program would run as a formula gets an apostrophe in front."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode().strip('"')
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text
