"""SQL over a table's shipped files and its journal tail, as one relation.

*Nested* relations keep ``features`` and ``prediction`` as structs; *flat* ones give each its column.
In a flat relation the names of system columns, ``outcome``, ``observed`` and the outputs win; a feature
of the same name appears as ``features.<name>``.
"""

# ruff: noqa: S608 -- SQL is put together from quoted names, numbers, and our own text only

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tsavo.lake.columns import Logical, logical_columns, quoted
from tsavo.lake.session import Source
from tsavo.lake.tables import DataFile

__all__ = ["RECORDED", "SYSTEM", "flat", "latest_outcomes", "nested", "outcome_value", "text", "union"]

SYSTEM: Final = (
    "decision_id",
    "time",
    "endpoint",
    "model",
    "version",
    "role",
    "segment",
    "caller",
    "latency_us",
    "flags",
)
# What stands in no flat view, where names such as "runtime" are a model's own.
RECORDED: Final = (
    "trace",
    "request_digest",
    "queue_us",
    "decode_us",
    "predict_us",
    "batch_rows",
    "batch_row",
    "runtime",
    "pseudonym",
)
_RESERVED: Final = (*SYSTEM, "outcome", "observed", "journal", "seq", "explanation")
_KINDS: Final = ("boolean", "integer", "number", "string")


def text(value: str) -> str:
    """`value` as an SQL string.

    >>> text("it's")
    "'it''s'"
    """
    return "'" + value.replace("'", "''") + "'"


def union(sources: Sequence[Source], columns: str) -> str:
    """The same `columns` of several sources."""
    return " UNION ALL ".join(f"SELECT {columns} FROM {quoted(source.name)}" for source in sources)


def _logical(sources: Sequence[Source], struct: str) -> list[Logical]:
    return logical_columns([source.schema.field(struct).type for source in sources])


def _present(source: Source, struct: str) -> list[str]:
    return list(source.fields(struct))


def nested(sources: Sequence[Source], *, explanation: bool = False) -> str:
    """System columns, ``sealed``, ``journal``, ``seq``, and the structs ``features`` and ``prediction``."""
    structs = ("features", "prediction", "explanation") if explanation else ("features", "prediction")
    logical = {struct: _logical(sources, struct) for struct in structs}
    selects = []
    for source in sources:
        parts = [*SYSTEM, *_recorded(source), *_optional(source, ("sealed",)), "journal", "seq"]
        for struct in structs:
            present = _present(source, struct)
            fields = [
                f"{quoted(name)} := {column.expression(struct, present)}"
                for name, column in _named(logical[struct], ())
            ]
            pack = f"struct_pack({', '.join(fields)})"
            if struct == "explanation":
                pack = f"CASE WHEN explanation IS NOT NULL THEN {pack} END"
            parts.append(f"{pack} AS {struct}")
        selects.append(f"SELECT {', '.join(parts)} FROM {quoted(source.name)}")
    return " UNION ALL ".join(selects)


def _recorded(source: Source) -> list[str]:
    """The columns of `RECORDED`, null where the rows are of a release that had none."""
    return _optional(source, RECORDED)


def _optional(source: Source, names: Iterable[str]) -> list[str]:
    known = set(source.schema.names)
    return [name if name in known else f"NULL AS {name}" for name in names]


def _named(columns: Iterable[Logical], taken: Iterable[str], prefix: str = "") -> list[tuple[str, Logical]]:
    """Columns under names that SQL, which ignores case, can tell apart."""
    used = {name.lower() for name in taken}
    named = []
    for column in columns:
        candidates = [column.name, f"{prefix}{column.name}", column.stored[-1]]
        name = next((name for name in candidates if name.lower() not in used), None)
        number = 2
        while name is None or name.lower() in used:
            name = f"{prefix}{column.name}::{number}"
            number += 1
        used.add(name.lower())
        named.append((name, column))
    return named


def flat(sources: Sequence[Source], outcomes: str | None) -> str:
    """The view of one endpoint.

    Parameters
    ----------
    outcomes
        A query for ``decision_id``, ``outcome`` and ``observed``, one row a decision; ``None`` when there are none.
    """
    prediction = _named(_logical(sources, "prediction"), _RESERVED, "prediction.")
    taken = [*_RESERVED, "probability", *(name for name, _ in prediction)]
    features = _named(_logical(sources, "features"), taken, "features.")
    probabilities = next((name for name, _ in prediction if name == "probabilities"), None)
    selects = []
    for source in sources:
        parts = list(SYSTEM)
        for struct, columns in (("features", features), ("prediction", prediction)):
            present = _present(source, struct)
            parts += [f"{column.expression(struct, present)} AS {quoted(name)}" for name, column in columns]
        selects.append(f"SELECT {', '.join(parts)} FROM {quoted(source.name)}")
    rows = " UNION ALL ".join(selects)
    extra = ""
    if probabilities is not None:
        extra = ", CASE WHEN len(probabilities) = 2 THEN probabilities[2] END AS probability"
    if outcomes is None:
        return f"SELECT *{extra}, NULL AS outcome, CAST(NULL AS TIMESTAMPTZ) AS observed FROM ({rows})"
    return (
        f"SELECT rows.*{extra}, known.outcome, known.observed"
        f" FROM ({rows}) AS rows LEFT JOIN ({outcomes}) AS known USING (decision_id)"
    )


def outcome_value(files: Iterable[DataFile], kinds: Iterable[str]) -> str:
    """SQL that gives outcomes the narrowest type that fits all: boolean, integer, number, or text.

    `files` tell their kinds by their bounds; `kinds` are those of rows in no file.
    """
    seen = {_KINDS.index(kind) for kind in kinds}
    for file in files:
        seen |= {
            _KINDS.index(bounds["kind"]) for bounds in (file.low, file.high) if bounds.get("kind") in _KINDS
        }
    if not seen or max(seen) == _KINDS.index("string"):
        return "outcome"
    if seen == {_KINDS.index("boolean")}:
        return "CAST(outcome AS BOOLEAN)"
    if seen == {_KINDS.index("integer")}:
        return "CAST(outcome AS BIGINT)"
    return "number"


def latest_outcomes(rows: str, value: str) -> str:
    """One row a decision: the outcome recorded last; a withdrawn one is null, its decision counts as open again."""
    return (
        "SELECT decision_id, latest.outcome AS outcome, latest.observed AS observed FROM (SELECT decision_id,"
        f" arg_max(struct_pack(outcome := {value}, observed := observed),"
        ' struct_pack(recorded := recorded, journal := journal, seq := seq, at := "row")) AS latest'
        f" FROM ({rows}) GROUP BY decision_id)"
    )
