"""``outcomes``: what really happened, by decision id or business key; and what waits for its decision."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter

from tsavo.cli.exporting import duration
from tsavo.cli.options import Common, Flag, Options
from tsavo.cli.printing import as_text, print_json, print_table
from tsavo.vocabulary import Invalid

__all__ = ["outcomes"]

_PIPE: Final = "-"
_SHOWN: Final = 50


def outcomes(
    endpoint: str,
    table: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    decision_column: str = "decision_id",
    outcome_column: str = "outcome",
    time_column: Annotated[str, Parameter(name=["--time-column", "--time"])] = "time",
    key: str | None = None,
    within: str | None = None,
    every: Annotated[bool, Parameter(name="--all", negative="")] = False,
    empty: Literal["withdraw", "skip"] = "withdraw",
    format: str | None = None,
    waiting: Flag = False,
    offset: int = 0,
    options: Common = Options(),
) -> int:
    """Record what really happened, by decision id or by a business key.

    Another outcome of the same decision corrects the first; an empty one withdraws it. Outcomes whose decision is not
    there are kept aside, and join it by themselves when it comes.

    Parameters
    ----------
    endpoint
        The endpoint.
    table
        CSV, Parquet or JSON file; '-' reads standard input (CSV unless --format says otherwise).
    decision_column
        The column of decision ids.
    outcome_column
        The column of outcomes.
    time_column
        The column of the times at which they were observed, when there is one.
    key
        A feature, and the column with its values, instead of decision ids: an outcome goes to the latest decision of
        that value at or before its time (now, where there is none). 'caller' and 'segment' are such names, too.
    within
        With --key: a decision is no longer before its outcome than this, such as 30d.
    every
        With --key: all decisions of that value in that time get the outcome, not only the latest.
    empty
        'skip' leaves rows without an outcome alone, instead of withdrawing what was known.
    format
        csv, parquet or json, for standard input and for names that do not end in it.
    waiting
        List the outcomes that wait for their decision, the oldest first.
    offset
        With --waiting: how many to pass over.
    """
    if waiting:
        return _list_waiting(endpoint, offset, options)
    if table is None:
        raise Invalid("a table is missing", field="table", expected="a file, '-', or --waiting")
    if key is None and (within is not None or every):
        raise Invalid("only keys are looked for in time", field="key", expected="--key NAME with it")
    content = sys.stdin.buffer.read() if table == _PIPE else None
    kind = format or ("csv" if table == _PIPE else None)
    span = None if within is None else duration(within, "within")
    with options.connected() as client:
        handle = client.endpoint(endpoint)
        rows = handle.read_table(table, format=kind, content=content, outcome=outcome_column, key=key)
        done = handle.outcomes(
            rows,
            decision=decision_column,
            outcome=outcome_column,
            time=time_column,
            key=key,
            within=span,
            every=every,
            empty=empty,
        )
    if options.json:
        print_json(done)
        return 0
    print(f"{done.recorded:,} outcomes recorded")
    if key is not None:
        print(f"  {done.decisions:,} decisions got one")
    for count, said in (
        (done.corrected, "had another outcome before"),
        (done.unchanged, "had this outcome already"),
        (done.repeated, "are for a decision that a later row has one for: the later one counts"),
        (done.unknown, "have no decision here: they are kept aside until it comes"),
    ):
        if count:
            print(f"  {count:,} {said}")
    for one in done.sample:
        name = one.get("decision_id", one.get("key"))
        print(f"    row {one['row'] + 1:,}: {as_text(name)}")
    return 0


def _list_waiting(endpoint: str, offset: int, options: Options) -> int:
    with options.connected() as client:
        told = client.endpoint(endpoint).waiting(offset, _SHOWN)
    if options.json:
        print_json(told)
        return 0
    keyed = told["keyed"]
    rows: list[list[Any]] = [
        [one["decision_id"], one["outcome"], one["observed"], one["recorded"]] for one in told["by_id"]
    ]
    rows += [
        [f"{one['key']} = {one['value']}", one["outcome"], one["observed"], one["recorded"]]
        for one in keyed["items"]
    ]
    nothing = "No outcome waits for its decision."
    print_table(("decision or key", "outcome", "observed", "recorded"), rows, nothing=nothing)
    most = max(told["total"], keyed["total"])
    if most > offset + _SHOWN:
        print(f"{most - offset - _SHOWN:,} more; see --offset {offset + _SHOWN}", file=sys.stderr)
    return 0
