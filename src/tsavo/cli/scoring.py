"""``score``: rows in, answers out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tsavo.cli.options import Common, Options, OutputPath, TablePath
from tsavo.cli.printing import print_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["score"]

_PIPE = "-"


def score(
    endpoint: str,
    table: TablePath,
    /,
    *,
    output: OutputPath = _PIPE,
    format: str | None = None,
    key: str | None = None,
    retries: int | None = None,
    subject: str = "",
    options: Common = Options(),
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
        csv, parquet or json, for standard input and for names that do not end in it.
    key
        Names the table: scored again under the same key, within minutes, rows get the recorded answers and are not
        decided again.
    retries
        How often a request is sent again when the gateway cannot answer now (3 with --key, else 0).
    subject
        Whose data all rows are, where the endpoint records personal data and its rows do not say whose they are.
    """
    from tsavo.client.tables import check_writable

    if output != _PIPE:
        # Before anything is scored: every row becomes a recorded decision.
        check_writable(Path(output))
    with options.connected() as client:
        handle = client.endpoint(endpoint)
        content = sys.stdin.buffer.read() if table == _PIPE else None
        kind = format or ("csv" if table == _PIPE else None)
        rows = handle.read_table(table, format=kind, content=content)
        answers = handle.score(rows, key=key, retries=retries, subject=subject).to_arrow()
    _write(answers, output, as_json=options.json)
    return 0


def _write(answers: pa.Table, output: str, *, as_json: bool) -> None:
    from tsavo.client import write_table

    if output == _PIPE:
        if as_json:
            print_json(answers.to_pylist())
        else:
            sys.stdout.buffer.write(write_table(answers, Path(output), format="csv"))
        return
    Path(output).write_bytes(write_table(answers, Path(output)))
    if as_json:
        print_json({"rows": answers.num_rows, "output": output})
    else:
        print(f"{answers.num_rows:,} rows scored; answers in {output}")
