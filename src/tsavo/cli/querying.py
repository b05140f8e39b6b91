"""``sql`` and ``query``: questions to what was recorded, asked once or kept under a name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from cyclopts import App, Parameter

from tsavo.cli.moments import read_moment
from tsavo.cli.options import Common, Flag, Options, OutputPath, TablePath
from tsavo.cli.printing import print_json, print_pairs, print_table
from tsavo.cli.stopped import ask
from tsavo.vocabulary import Invalid, SavedQuery

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["query", "sql"]

_PIPE: Final = "-"
_SHOWN_ROWS: Final = 10_000
_FILE_ROWS: Final = 10_000_000
_SHOWN_SECONDS, _FILE_SECONDS = 30.0, 300.0
_JSON: Final = msgspec.json.Encoder(enc_hook=str, decimal_format="number")


@dataclass(frozen=True)
class Allowed:
    """Where a query's answer goes, and what it may take.

    Parameters
    ----------
    output
        Write a file instead of printing ('-'): .csv, .parquet, .xlsx, .json, .jsonl or .arrow.
    format
        The kind of file when its name does not say it; with it, '-' writes the file to standard output.
    raw
        Leave texts of a CSV file as they are. Otherwise those that a spreadsheet program would run as formulas (they
        begin with =, +, - or @) get an apostrophe in front.
    rows
        At most so many rows (10,000; into a file 10,000,000). --limit is the same.
    seconds
        At most so many seconds (30; into a file 300).
    memory
        At most so many MiB of memory for the query's own work.
    as_of
        What was known at this moment, such as 2026-01-01T00:00Z: later decisions, and outcomes recorded later, are left
        out.
    """

    output: OutputPath = _PIPE
    format: str | None = None
    raw: Flag = False
    rows: Annotated[int | None, Parameter(name=["--rows", "--limit"])] = None
    seconds: float | None = None
    memory: int = 2048
    as_of: str | None = None


_Allowed = Annotated[Allowed, Parameter(name="*")]


def sql(query: TablePath, /, *, allowed: _Allowed = Allowed(), options: Common = Options()) -> int:
    """Run one SELECT over decisions, outcomes and monitors. Works on a stopped home, too.

    Every endpoint is a view under its own name (in double quotes where it has a dash or a dot), with its features,
    its outputs and, when known, the outcome; "<endpoint>_outcomes" has the decisions whose outcome is known.
    'decisions' has the system columns of all endpoints.

    Parameters
    ----------
    query
        SQL (DuckDB), such as 'select role, count(*) from decisions group by 1'; '-' reads standard input.
    """
    text = sys.stdin.read() if query == _PIPE else query
    return _answer(text, allowed, options)


def _answer(text: str, allowed: Allowed, options: Options) -> int:
    limits: dict[str, Any] = {"memory_mib": allowed.memory, "as_of": read_moment(allowed.as_of, "as-of")}
    if allowed.output != _PIPE or allowed.format is not None:
        return _write(text, allowed, options, limits)
    if allowed.raw:
        raise Invalid(
            "only a file has texts that may be left raw", field="raw", expected="--output or --format with it"
        )
    limit = _SHOWN_ROWS if allowed.rows is None else allowed.rows
    limits |= {"limit": limit, "seconds": allowed.seconds or _SHOWN_SECONDS}
    table = ask(options, lambda source: source.sql(text, **limits))
    if options.json:
        sys.stdout.write(_JSON.encode(table.to_pylist()).decode() + "\n")
    else:
        _show(table)
    if (table.schema.metadata or {}).get(b"truncated") == b"true":
        _tell_cut(limit)
    return 0


def _show(table: pa.Table) -> None:
    rows = [list(row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]
    print_table(table.column_names, rows, nothing="No rows.")


def _write(text: str, allowed: Allowed, options: Options, limits: dict[str, Any]) -> int:
    from tsavo.client.files import file_kind

    piped = allowed.output == _PIPE
    path = Path(allowed.output)
    kind = file_kind(path, allowed.format)
    limit = _FILE_ROWS if allowed.rows is None else allowed.rows
    limits |= {
        "limit": limit,
        "seconds": allowed.seconds or _FILE_SECONDS,
        "format": kind,
        "raw": allowed.raw,
    }
    done = ask(options, lambda source: source.export(text, sys.stdout.buffer if piped else path, **limits))
    if not piped and options.json:
        print_json({"rows": done.rows, "truncated": done.truncated, "output": allowed.output})
    elif not piped:
        print(f"{done.rows:,} rows in {allowed.output}")
    if done.truncated:
        _tell_cut(limit)
    return 0


def _tell_cut(limit: int) -> None:
    print(f"Cut after {limit:,} rows; ask for more with --rows.", file=sys.stderr)


query = App(name="query", help="Queries that are kept under a name.", help_format="plaintext")


@query.command
def save(
    name: str,
    text: TablePath,
    /,
    *,
    description: str = "",
    why: str = "",
    options: Common = Options(),
) -> int:
    """Keep a query under a name; another text or description makes the next version.

    Parameters
    ----------
    name
        Lower-case letters, digits, '.', '_' and '-'.
    text
        The SELECT; '-' reads standard input.
    description
        What it is for, in a sentence.
    why
        For the audit trail.
    """
    given = sys.stdin.read() if text == _PIPE else text
    with options.connected() as client:
        saved = client.save_query(name, given, description=description, why=why)
    if options.json:
        print_json(saved)
    else:
        print(f"{saved.name}, version {saved.number}")
    return 0


@query.command
def ls(*, search: str = "", options: Common = Options()) -> int:
    """List saved queries.

    Parameters
    ----------
    search
        Only those whose name or description contains this.
    """
    with options.connected() as client:
        found = list(client.saved_queries(search))
    if options.json:
        print_json(found)
        return 0
    rows = [[one.name, one.number, one.by, one.time, one.description] for one in found]
    print_table(
        ("query", "version", "saved by", "saved", "what for"),
        rows,
        nothing="No saved queries yet. Next: tsavo query save",
    )
    return 0


@query.command
def show(name: str, /, *, version: int | None = None, options: Common = Options()) -> int:
    """Show a saved query and its versions.

    Parameters
    ----------
    name
        Its name.
    version
        Its number, instead of the newest.
    """
    with options.connected() as client:
        saved = client.saved_query(name, version)
        history = list(client.query_history(name))
    if options.json:
        print_json({"query": saved, "versions": history})
        return 0
    _tell(saved, history)
    return 0


def _tell(saved: SavedQuery, history: Sequence[SavedQuery]) -> None:
    print_pairs(
        [
            ("query", saved.name),
            ("version", saved.number),
            ("what for", saved.description),
            ("saved", f"{saved.time:%Y-%m-%d %H:%M:%S} by {saved.by}"),
        ]
    )
    print(f"\n{saved.query.strip()}\n")
    print_table(
        ("version", "saved by", "saved", "why"), [[one.number, one.by, one.time, one.why] for one in history]
    )


@query.command
def run(
    name: str,
    /,
    *,
    version: int | None = None,
    allowed: _Allowed = Allowed(),
    options: Common = Options(),
) -> int:
    """Run a saved query.

    Parameters
    ----------
    name
        Its name.
    version
        Its number, instead of the newest.
    """
    with options.connected() as client:
        saved = client.saved_query(name, version)
    return _answer(saved.query, allowed, options)


@query.command
def rm(name: str, /, *, why: str = "", options: Common = Options()) -> int:
    """Take a saved query out of the list; its versions are kept for the audit.

    Parameters
    ----------
    name
        Its name.
    why
        For the audit trail.
    """
    with options.connected() as client:
        client.remove_query(name, why=why)
    if options.json:
        print_json({"removed": name})
    else:
        print(f"{name} is no longer listed")
    return 0
