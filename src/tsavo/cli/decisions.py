"""``decision`` and ``replay``: what is known of a decision, and whether it would be made again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tsavo.cli.moments import read_moment
from tsavo.cli.options import Common, Flag, Options
from tsavo.cli.printing import as_text, print_json, print_pairs
from tsavo.cli.stopped import ask
from tsavo.vocabulary import Invalid, Replay, ReplayPage, ReplayVerdict, Version

__all__ = ["decision", "replay"]

# Of a decision's record, what says nothing to a person; --json has it.
_INTERNAL: Final = frozenset({"explanation", "journal", "seq", "request_digest", "runtime"})
_WORDS: Final[dict[ReplayVerdict, str]] = {
    "same": "the same to the last bit",
    "within-tolerance": "within the tolerance",
    "changed": "CHANGED",
    "breaks": "NO ANSWER",
    "not-a-model": "answered by no model",
    "incomplete": "incomplete",
    "erased": "erased",
}


def decision(
    decision_id: str,
    /,
    *,
    replay: Flag = False,
    options: Common = Options(),
) -> int:
    """The receipt of a decision. Works on a stopped home, too.

    What came in, what went out, which version, from what data, who registered it and who put it there, what scored,
    and what became of it.

    Parameters
    ----------
    decision_id
        As it came with the answer.
    replay
        Ask the version again in a fresh process, and compare to the last bit. Ends with 1 when it answers otherwise.
    """
    if replay:
        told, again = ask(options, lambda source: (source.decision(decision_id), source.replay(decision_id)))
    else:
        told, again = ask(options, lambda source: source.decision(decision_id)), None
    if options.json:
        print_json(told if again is None else {**told, "replay": again})
    else:
        _tell_receipt(told)
        if again is not None:
            print("\nreplay")
            _tell(again, indent="  ")
    return 0 if again is None or again.fine else 1


def _tell_receipt(told: dict[str, Any]) -> None:
    made = dict(told["decision"])
    inputs, outputs = made.pop("features", {}), made.pop("prediction", {})
    shadows = made.pop("shadows", None) or []
    hidden = made.pop("personal", None) or []
    known = [
        (name, value) for name, value in made.items() if name not in _INTERNAL and value not in ("", None)
    ]
    print_pairs(known)
    print("\ninputs")
    print_pairs([(f"  {name}", _input(value, name in hidden)) for name, value in inputs.items()])
    print("\noutputs")
    print_pairs([(f"  {name}", value) for name, value in outputs.items()])
    for shadow in shadows:
        print(f"\nshadow {shadow['model']}@{shadow['version']}")
        print_pairs([(f"  {name}", value) for name, value in shadow["prediction"].items()])
    if told.get("log"):
        print(f"\nlog: {as_text(told['log']['said'])}")
    version = msgspec.convert(told["version"], Version)
    print(f"\n{version.ref}")
    print_pairs([(f"  {name}", value) for name, value in _about(told, version)])


def _input(value: Any, hidden: bool) -> Any:
    if hidden:
        return "(personal: sealed, see 'tsavo reveal')"
    return "(missing)" if value is None else value


def _about(told: dict[str, Any], version: Version) -> Iterator[tuple[str, Any]]:
    """How the version came there, in the order in which that happened."""
    lineage = version.lineage
    yield "source", f"{lineage.source_name} ({lineage.framework})"
    if lineage.data_digest:
        yield "training data", lineage.data_digest
    if lineage.code_commit:
        yield "code", lineage.code_commit
    yield "registered", f"{version.created:%Y-%m-%d %H:%M} by {lineage.registered_by}"
    if lineage.trusted_by:
        yield "trusted by", lineage.trusted_by
    yield "digest", version.digest
    for check in version.checks:
        yield f"check {check.name}", f"{'passed' if check.passed else 'FAILED'}: {check.summary}"
    deployed = told.get("deployed")
    if deployed:
        why = f": {deployed['why']}" if deployed["why"] else ""
        yield "put there", f"{deployed['time']} by {deployed['who']} ({deployed['action']}){why}"
    verified = told.get("verified")
    if verified:
        yield "last verified", f"{verified['time']}: {verified['summary']}"
    runtime = told.get("runtime")
    if runtime:
        libraries = ", ".join(f"{name} {found}" for name, found in runtime["libraries"].items())
        yield "scored by", f"Python {runtime['python']}, {runtime['processor']}; {libraries}"
        if runtime["clock"]:
            yield "clock", runtime["clock"]


def replay(
    endpoint: str | None = None,
    /,
    *,
    query: str | None = None,
    since: str | None = None,
    until: str | None = None,
    version: str | None = None,
    after: str = "",
    options: Common = Options(),
) -> int:
    """Ask versions again what they were asked, and compare to the last bit. Ends with 1 when one answers otherwise.

    Every request is asked in a fresh process, in the batch in which it was asked then.

    Parameters
    ----------
    endpoint
        All requests to this endpoint, in the order of their time.
    query
        Instead: the decisions that this SELECT names in its column decision_id.
    since
        Only from this time on: 2026-01-01T00:00Z, or how long ago, such as 24h or 7d.
    until
        Only before this time.
    version
        Only what MODEL@N answered.
    after
        Go on behind this request, as an interrupted run says.
    """
    narrowed = {"since": since, "until": until, "version": version, "after": after or None}
    with options.connected() as client:
        if query is not None and endpoint is None:
            if any(narrowed.values()):
                name = next(name for name, value in narrowed.items() if value)
                raise Invalid(
                    "a query says itself which decisions it means", field=name, found=narrowed[name]
                )
            return _tell_all(client.replay_query(query), options)
        if endpoint is None or query is not None:
            raise Invalid(
                "replay what?",
                field="endpoint",
                found=endpoint,
                expected='an endpoint, or --query "select decision_id from ..."',
            )
        pages = client.replay_all(
            endpoint,
            since=read_moment(since, "since"),
            until=read_moment(until, "until"),
            version=version,
            after=after,
        )
        return _tell_all(pages, options)


def _tell_all(pages: Iterator[ReplayPage], options: Options) -> int:
    """Tell while they come: there may be millions."""
    counts: dict[ReplayVerdict, int] = {}
    kept: list[Replay] = []
    last: str | None = None
    try:
        for page in pages:
            for verdict, decisions in page.counts.items():
                counts[verdict] = counts.get(verdict, 0) + decisions
            last = page.last
            for one in page.items:
                if options.json:
                    kept.append(one)
                elif not one.fine:
                    _tell(one)
            if sys.stderr.isatty():
                print(f"\r{sum(counts.values()):,} decisions\r", end="", file=sys.stderr, flush=True)
    except BaseException:
        if last is not None and not options.json:
            print(f"\nInterrupted. Go on with --after {last}", file=sys.stderr)
        raise
    fine = set(counts) <= {"same", "not-a-model", "erased"}
    if options.json:
        print_json({"counts": counts, "replays": kept})
    else:
        told = ", ".join(f"{count:,} {_WORDS[verdict]}" for verdict, count in counts.items())
        print(f"{sum(counts.values()):,} decisions: {told}" if counts else "No decisions.")
    return 0 if fine else 1


def _tell(one: Replay, indent: str = "") -> None:
    print(
        f"{indent}{_WORDS[one.verdict]}: {one.version} on {one.request}, {_rows(one)}: {as_text(one.summary)}"
    )
    for row in one.first:
        told = ", ".join(f"{part}: {as_text(row.get(part))}" for part in ("recorded", "now", "inputs"))
        print(f"{indent}  row {row.get('row')}: {told}")


def _rows(one: Replay) -> str:
    return f"row {one.rows[0]}" if len(one.rows) == 1 else f"{len(one.rows)} rows"
