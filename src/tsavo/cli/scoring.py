"""``score`` and ``outcomes``: rows in, answers out; later, what really happened."""

from __future__ import annotations

import sys
from pathlib import Path

from tsavo.cli.options import Common, Options
from tsavo.cli.printing import print_json

__all__ = ["outcomes", "score"]

_STDIN = "-"


def score(
    endpoint: str,
    table: str,
    *,
    output: str = "-",
    format: str | None = None,
    options: Common = Options(),  # noqa: B008 -- frozen
) -> int:
    """Score a table; the answers come with a decision id for each row.

    Parameters
    ----------
    endpoint
        The endpoint.
    table
        CSV, Parquet or JSON file; '-' reads standard input (CSV unless --format says otherwise).
    output
        Where the answers go; the kind is what the name ends in. '-' prints CSV.
    format
        csv, parquet or json, for standard input.
    """
    from tsavo.client import write_table

    rows = _read(table, format)
    with options.connected() as client:
        answers = client.endpoint(endpoint).score(rows).to_arrow()
    if options.json and output == _STDIN:
        print_json(answers.to_pylist())
        return 0
    if output == _STDIN:
        sys.stdout.buffer.write(write_table(answers, Path(output), format="csv"))
        return 0
    Path(output).write_bytes(write_table(answers, Path(output)))
    if options.json:
        print_json({"rows": answers.num_rows, "output": output})
    else:
        print(f"{answers.num_rows:,} rows scored; answers in {output}")
    return 0


def outcomes(
    endpoint: str,
    table: str,
    *,
    decision_column: str = "decision_id",
    outcome_column: str = "outcome",
    time_column: str = "time",
    format: str | None = None,
    options: Common = Options(),  # noqa: B008 -- frozen
) -> int:
    """Record what really happened, by decision id.

    Parameters
    ----------
    endpoint
        The endpoint.
    table
        CSV, Parquet or JSON file; '-' reads standard input.
    decision_column
        The column of decision ids.
    outcome_column
        The column of outcomes.
    time_column
        The column of the times at which they were observed, when there is one.
    format
        csv, parquet or json, for standard input.
    """
    rows = _read(table, format)
    with options.connected() as client:
        recorded = client.endpoint(endpoint).outcomes(
            rows, decision=decision_column, outcome=outcome_column, time=time_column
        )
    if options.json:
        print_json({"recorded": recorded})
    else:
        print(f"{recorded:,} outcomes recorded")
    return 0


def _read(table: str, kind: str | None) -> object:
    from tsavo.client import read_table

    if table == _STDIN:
        return read_table(Path(_STDIN), format=kind or "csv", content=sys.stdin.buffer.read())
    return read_table(Path(table), format=kind)
