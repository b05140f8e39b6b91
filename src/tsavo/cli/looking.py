"""``ls``, ``show``, ``diff``, ``sql``, ``decision``: looking at what there is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

from tsavo.cli.options import Common, Options, OutputPath
from tsavo.cli.printing import as_text, print_json, print_pairs, print_table
from tsavo.cli.telling import tell_endpoint, tell_model, tell_version, told_challengers
from tsavo.vocabulary import NotFound, Version, VersionRef

if TYPE_CHECKING:
    from tsavo.app.offline import OfflineHome
    from tsavo.client import Client

__all__ = ["decision", "diff", "ls", "show", "sql"]

T = TypeVar("T")

_PIPE: Final = "-"
_RECENT: Final = 5
# Of a decision's record, what says nothing to a person; --json has it.
_INTERNAL: Final = frozenset({"explanation", "journal", "seq"})


def ls(
    what: Literal["endpoints", "models"] = "endpoints",
    /,
    *,
    search: str = "",
    options: Common = Options(),
) -> int:
    """List endpoints, or models.

    Parameters
    ----------
    what
        endpoints or models.
    search
        Only those whose name contains this.
    """
    with options.connected() as client:
        if what == "models":
            models = list(client.models(search))
            if options.json:
                print_json(models)
                return 0
            rows: list[list[Any]] = [
                [model.name, model.owner, model.created, model.brief.problem] for model in models
            ]
            print_table(
                ("model", "owner", "created", "problem"), rows, nothing="No models yet. Next: tsavo register"
            )
            return 0
        routes = list(client.endpoints(search))
    if options.json:
        print_json(routes)
        return 0
    rows = [
        [
            route.endpoint,
            route.champion,
            "plug pulled" if route.plug else "serving",
            told_challengers(route),
            route.changed,
        ]
        for route in routes
    ]
    print_table(
        ("endpoint", "champion", "state", "challengers", "changed"),
        rows,
        nothing="No endpoints yet. Next: tsavo deploy",
    )
    return 0


def show(
    name: str,
    /,
    *,
    options: Common = Options(),
) -> int:
    """Everything about an endpoint, a model (NAME) or a version (MODEL@N).

    Parameters
    ----------
    name
        What to show; where an endpoint and a model share a name, both are shown.
    """
    with options.connected() as client:
        if "@" in name:
            version = client.version(name)
            verifications = list(islice(client.verifications(name), _RECENT))
            if options.json:
                print_json({**msgspec.to_builtins(version), "verifications": verifications})
            else:
                tell_version(version, verifications)
            return 0
        found: dict[str, Any] = {}
        for kind, ask in (("endpoint", client.details), ("model", client.model)):
            try:
                found[kind] = ask(name)
            except NotFound:
                continue
    if not found:
        raise NotFound(
            "there is no endpoint and no model of this name",
            field="name",
            found=name,
            next_step="see 'tsavo ls'",
        )
    if options.json:
        print_json(found)
        return 0
    if "endpoint" in found:
        tell_endpoint(found["endpoint"])
    if "model" in found:
        tell_model(found["model"])
    return 0


def diff(
    first: str,
    second: str,
    /,
    *,
    options: Common = Options(),
) -> int:
    """What differs between two versions: signature, checks, lineage, reference.

    Parameters
    ----------
    first
        MODEL@N.
    second
        MODEL@N.
    """
    refs = [VersionRef.parse(first), VersionRef.parse(second)]
    with options.connected() as client:
        one, other = (_flat(client.version(ref)) for ref in refs)
    changes = [
        {"what": key, first: one.get(key), second: other.get(key)}
        for key in dict.fromkeys([*one, *other])
        if one.get(key) != other.get(key)
    ]
    if options.json:
        print_json(changes)
        return 0
    rows = [[change["what"], change[first], change[second]] for change in changes]
    print_table(("", first, second), rows, nothing="They do not differ.")
    return 0


def _flat(version: Version) -> dict[str, Any]:
    """What can be compared of a version, under names a person knows."""
    signature, lineage = version.signature, version.lineage
    flat: dict[str, Any] = {"task": signature.task, "classes": signature.classes}
    for field in signature.inputs:
        flat[f"input {field.name}"] = f"{field.dtype}{' nullable' if field.nullable else ''}"
        flat[f"input {field.name} categories"] = field.categories
        flat[f"input {field.name} range"] = (field.low, field.high)
    for output in signature.outputs:
        flat[f"output {output.name}"] = f"{output.dtype}{f'[{output.width}]' if output.width else ''}"
    for check in version.checks:
        flat[f"check {check.name}"] = f"{'ok' if check.passed else 'NO'}: {check.summary}"
    for name in (
        "framework",
        "source_name",
        "source_digest",
        "data_digest",
        "code_commit",
        "python",
        "registered_by",
    ):
        flat[name] = getattr(lineage, name)
    flat |= {f"library {name}": found for name, found in lineage.libraries.items()}
    flat |= {"artifact": version.artifact, "artifact bytes": version.artifact_bytes}
    if version.reference is not None:
        flat |= {"reference": version.reference.digest, "reference rows": version.reference.rows}
    return flat


def sql(
    query: str,
    /,
    *,
    limit: int = 10_000,
    output: OutputPath = _PIPE,
    options: Common = Options(),
) -> int:
    """Run one SELECT over decisions, outcomes and monitors. Works on a stopped home, too.

    Every endpoint is a view under its own name (in double quotes where it has a dash or a dot), with its features,
    its outputs and, when known, the outcome. 'decisions' has the system columns of all endpoints.

    Parameters
    ----------
    query
        SQL (DuckDB), such as 'select role, count(*) from decisions group by 1'.
    limit
        At most so many rows.
    output
        Write a CSV, Parquet or JSON file instead of printing ('-').
    """
    from tsavo.client import write_table
    from tsavo.client.tables import check_writable

    if output != _PIPE:
        check_writable(Path(output))
    table = _ask(options, lambda source: source.sql(query, limit=limit))
    if output != _PIPE:
        Path(output).write_bytes(write_table(table, Path(output)))
        if options.json:
            print_json({"rows": table.num_rows, "output": output})
    elif options.json:
        print_json(table.to_pylist())
    else:
        rows = [list(row.values()) for row in table.to_pylist()]
        print_table(table.column_names, rows, nothing="No rows.")
    if (table.schema.metadata or {}).get(b"truncated") == b"true":
        print(f"Cut after {limit:,} rows; ask for more with --limit.", file=sys.stderr)
    return 0


def _ask(options: Options, question: Callable[[Client | OfflineHome], T]) -> T:
    """Ask the running Tsavo; where nothing runs on a home, the home itself."""
    from tsavo.client import NotRunning

    try:
        with options.connected() as client:
            return question(client)
    except NotRunning as error:
        if error.home is None:  # a URL was asked, and a home is no answer to that
            raise
        from tsavo.app.offline import open_home
        from tsavo.storage import Home

        return question(open_home(Home(error.home)))


def decision(
    decision_id: str,
    /,
    *,
    options: Common = Options(),
) -> int:
    """One decision: what came in, what went out, which version, what became of it. Works on a stopped home, too.

    Parameters
    ----------
    decision_id
        As it came with the answer.
    """
    told = _ask(options, lambda source: source.decision(decision_id))
    if options.json:
        print_json(told)
        return 0
    made = dict(told["decision"])
    inputs, outputs = made.pop("features", {}), made.pop("prediction", {})
    shadows = made.pop("shadows", None) or []
    print_pairs([(name, value) for name, value in made.items() if name not in _INTERNAL])
    print("\ninputs")
    print_pairs([(f"  {name}", "(missing)" if value is None else value) for name, value in inputs.items()])
    print("\noutputs")
    print_pairs([(f"  {name}", value) for name, value in outputs.items()])
    for shadow in shadows:
        print(f"\nshadow {shadow['model']}@{shadow['version']}")
        print_pairs([(f"  {name}", value) for name, value in shadow["prediction"].items()])
    version = msgspec.convert(told["version"], Version)
    lineage = version.lineage
    registered = f"registered by {lineage.registered_by} on {version.created:%Y-%m-%d}"
    print(f"\n{version.ref}, {registered} from {as_text(lineage.source_name)}")
    return 0
