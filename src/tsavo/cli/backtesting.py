"""``backtest``: what another version would have answered."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tsavo.cli.moments import read_moment
from tsavo.cli.options import Common, Flag, Options
from tsavo.cli.printing import print_json, print_table
from tsavo.vocabulary import Backtest, Invalid

__all__ = ["backtest"]


def backtest(
    version: str | None = None,
    /,
    *,
    on: str | None = None,
    name: str | None = None,
    since: str | None = None,
    until: str | None = None,
    go_on: str | None = None,
    list: Flag = False,
    options: Common = Options(),
) -> int:
    """Ask another version what an endpoint was asked, in the batches of then.

    Its answers are in the SQL view "backtest:NAME", one row a decision, beside those of then ("then.<output>") and the
    outcome. Callers notice nothing.

    Parameters
    ----------
    version
        MODEL@N.
    on
        The endpoint whose decisions it is asked.
    name
        Of the view; by default made of the version, the endpoint and the time.
    since
        Only decisions from this time on: 2026-01-01T00:00Z, or how long ago, such as 24h or 7d.
    until
        Only decisions before this time.
    go_on
        Go on with the back-test of this name, which was interrupted.
    list
        List back-tests; those of one endpoint with --on.
    """
    if list:
        return _list(on, options)
    with options.connected() as client:
        if go_on is not None and version is None:
            return _run(client.continue_backtest(go_on), options)
        if version is None or on is None or go_on is not None:
            raise Invalid(
                "back-test what?",
                field="version" if version is None else "on",
                found=version,
                expected="MODEL@N --on ENDPOINT, or --go-on NAME, or --list",
            )
        steps = client.backtest(
            version, on, name=name, since=read_moment(since, "since"), until=read_moment(until, "until")
        )
        return _run(steps, options)


def _run(steps: Iterator[Backtest], options: Options) -> int:
    done = next(steps)
    try:
        for done in steps:
            if sys.stderr.isatty():
                print(f"\r{done.decisions:,} decisions\r", end="", file=sys.stderr, flush=True)
    except BaseException:
        if not options.json:
            print(f"\nInterrupted. Go on with: tsavo backtest --go-on {done.name}", file=sys.stderr)
        raise
    if options.json:
        print_json(done)
        return 0
    failed = f", {done.failed:,} without an answer" if done.failed else ""
    print(f"{done.version} on {done.decisions:,} decisions of {done.endpoint}{failed}")
    print(f"Next: tsavo sql 'from \"{done.view}\" limit 10'")
    return 0


def _list(endpoint: str | None, options: Options) -> int:
    with options.connected() as client:
        found = [*client.backtests(endpoint)]
    if options.json:
        print_json(found)
        return 0
    rows = [
        [
            one.name,
            one.version,
            one.endpoint,
            one.decisions,
            "finished" if one.finished else "not finished",
            one.created,
        ]
        for one in found
    ]
    print_table(
        ("name", "version", "endpoint", "decisions", "state", "created"),
        rows,
        nothing="No back-tests yet. Next: tsavo backtest MODEL@N --on ENDPOINT",
    )
    return 0
