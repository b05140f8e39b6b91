"""Records of several versions as one table that fits the Delta table they go to; misfits are named, not fatal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import pyarrow as pa

from tsavo.lake.rows import OUTCOME_SCHEMA, Decided, Resolved, decision_rows, outcome_rows
from tsavo.lake.tail import SignatureOf, by_version
from tsavo.vocabulary import NotFound, Signature, TsavoError

__all__ = ["Misfit", "lay_out_decisions", "lay_out_outcomes", "structs_of"]

_STRUCTS: Final = ("features", "prediction", "explanation")
_UNFIT: Final = (TsavoError, pa.ArrowException, OverflowError, TypeError, ValueError)


class Misfit(NamedTuple):
    """A record that cannot be laid out as rows, and why."""

    journal: str
    seq: int
    reason: str


def structs_of(schema: pa.Schema | None) -> dict[str, pa.DataType]:
    """The struct columns of a stored table that new rows must fit."""
    if schema is None:
        return {}
    return {name: schema.field(name).type for name in _STRUCTS if name in schema.names}


def lay_out_decisions(
    entries: Sequence[Decided], signature_of: SignatureOf, known: Mapping[str, pa.DataType]
) -> tuple[pa.Table | None, list[Misfit]]:
    """The rows of `entries` for a table with the structs `known`, and the records that make none.

    A record is a misfit when its version is not known or its values do not have the shape that the version's signature
    promises. Whatever else `signature_of` raises (the registry cannot be reached) is raised here.
    """
    tables: list[pa.Table] = []
    misfits: list[Misfit] = []
    structs = dict(known)
    for (model, version), group in by_version(entries).items():
        try:
            signature = signature_of(model, version)
        except NotFound as error:
            misfits.extend(Misfit(entry.journal, entry.seq, str(error)) for entry in group)
            continue
        table, unfit = _lay_out(group, signature, structs)
        misfits.extend(unfit)
        if table is not None:
            tables.append(table)
            structs = structs_of(
                pa.unify_schemas([_structs_only(structs), _structs_only(structs_of(table.schema))])
            )
    if not tables:
        return None, misfits
    rows = pa.concat_tables(tables, promote_options="default")
    return rows.sort_by("seq") if len(tables) > 1 else rows, misfits


def _structs_only(structs: Mapping[str, pa.DataType]) -> pa.Schema:
    return pa.schema(list(structs.items()))


def _lay_out(
    group: list[Decided], signature: Signature, known: Mapping[str, pa.DataType]
) -> tuple[pa.Table | None, list[Misfit]]:
    try:
        return decision_rows(group, signature, known), []
    except _UNFIT as error:
        if len(group) == 1:
            return None, [Misfit(group[0].journal, group[0].seq, str(error))]
    # One bad record spoils the group: halve until it stands alone.
    middle = len(group) // 2
    parts = [_lay_out(half, signature, known) for half in (group[:middle], group[middle:])]
    tables = [table for table, _ in parts if table is not None]
    return (pa.concat_tables(tables) if tables else None), [misfit for _, unfit in parts for misfit in unfit]


def lay_out_outcomes(entries: Sequence[Resolved]) -> tuple[pa.Table, list[Misfit]]:
    """The rows of outcome records, and the records that make none."""
    if not entries:
        return OUTCOME_SCHEMA.empty_table(), []
    try:
        return outcome_rows(entries), []
    except _UNFIT as error:
        if len(entries) == 1:
            return OUTCOME_SCHEMA.empty_table(), [Misfit(entries[0].journal, entries[0].seq, str(error))]
    middle = len(entries) // 2
    (first, unfit), (second, more) = lay_out_outcomes(entries[:middle]), lay_out_outcomes(entries[middle:])
    return pa.concat_tables([first, second]), unfit + more
