"""``export``: files that the keeper writes from a query, again and again."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from typing import Annotated, Final

from cyclopts import Parameter

from tsavo.cli.options import Common, Flag, Options
from tsavo.cli.printing import print_json, print_table
from tsavo.vocabulary import Export, ExportFormat, Invalid

__all__ = ["duration", "export"]

_PIPE: Final = "-"
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhdw])")


def export(
    query: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    name: str | None = None,
    to: str | None = None,
    every: str = "1h",
    format: ExportFormat = "parquet",
    raw: Flag = False,
    off: Flag = False,
    why: str = "",
    options: Common = Options(),
) -> int:
    """Let the keeper write a query's answer to a file, again and again; without a query, list the exports.

    The file is <exports>/<to>/<name>.<format>; it is replaced as a whole when the next one is complete. To write a file
    once, use 'tsavo sql --output'.

    Parameters
    ----------
    query
        One SELECT, or @NAME for a saved query; '-' reads standard input.
    name
        Of the export and its file; by default the saved query's name.
    to
        A folder within the server's folder of exports (setting storage.exports), such as sales/daily.
    every
        How often: 15m, 1h, 1d; at least a minute.
    format
        csv, parquet, xlsx, json, jsonl or arrow.
    raw
        Leave texts of a CSV file as they are that a spreadsheet program would run as formulas.
    off
        Stop writing the export --name; what was written stays.
    why
        For the audit trail.
    """
    with options.connected() as client:
        if off:
            known = _name(name, query)
            client.remove_export(known, why=why)
            if options.json:
                print_json({"removed": known})
            else:
                print(f"{known} is not written any more")
            return 0
        if query is None:
            return _list(list(client.exports()), options)
        if to is None:
            raise Invalid("a folder is missing", field="to", expected="--to FOLDER, such as sales/daily")
        text = sys.stdin.read() if query == _PIPE else query
        made = client.schedule_export(
            _name(name, query),
            text,
            folder=to,
            every=duration(every, "every"),
            format=format,
            raw=raw,
            why=why,
        )
    if options.json:
        print_json(made)
    else:
        print(f"{made.folder}/{made.name}.{made.format}, every {every}")
    return 0


def _name(name: str | None, query: str | None) -> str:
    if name is not None:
        return name
    if query is not None and query.startswith("@"):
        return query.removeprefix("@")
    raise Invalid("a name is missing", field="name", expected="--name NAME, which the file gets, too")


def _list(found: list[Export], options: Options) -> int:
    if options.json:
        print_json(found)
        return 0
    rows = []
    for one in found:
        last = one.last
        came = "not yet" if last is None else last.error or f"{last.rows:,} rows, {last.bytes:,} bytes"
        file = f"{one.folder}/{one.name}.{one.format}"
        every = f"{timedelta(seconds=one.every_seconds)}"
        rows.append([one.name, file, every, None if last is None else last.time, came])
    print_table(
        ("export", "file", "every", "last run", "what came of it"),
        rows,
        nothing="No exports yet. Next: tsavo export QUERY --name NAME --to FOLDER",
    )
    return 0


def duration(text: str, field: str) -> timedelta:
    """A span of time as a person writes it.

    >>> duration("90m", "every"), duration("30d", "within")
    (datetime.timedelta(seconds=5400), datetime.timedelta(days=30))
    >>> duration("soon", "every")
    Traceback (most recent call last):
    tsavo.vocabulary.errors.Invalid: not a span of time (field: every; found: 'soon'; expected: such as 15m, 1h or 30d)
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise Invalid("not a span of time", field=field, found=text, expected="such as 15m, 1h or 30d")
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
