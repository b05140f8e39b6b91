"""The table of a back-test: what another version answered to recorded decisions, beside what was answered then."""

# ruff: noqa: S608 -- SQL is put together from quoted names, numbers, and our own text only

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsavo.lake.columns import ARROW_TYPES, KINDS, kind_of, logical_columns, quoted, storage_name
from tsavo.lake.recorded import Recorded
from tsavo.lake.sources import Source
from tsavo.lake.tables import Snapshot, dataset
from tsavo.lake.tail import SignatureOf
from tsavo.vocabulary import DType, Signature

__all__ = ["BACKTEST", "backtest_rows", "backtest_view", "backtested_endpoint"]

BACKTEST: Final = "backtest:"
"""What the names of these views begin with; no endpoint's name has a colon."""

Answers: TypeAlias = "tuple[npt.NDArray[Any], ...] | str"

_SYSTEM: Final = pa.schema(
    [
        ("decision_id", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("endpoint", pa.string()),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("role", pa.string()),
        ("segment", pa.string()),
        ("failure", pa.string()),
    ]
)


def backtest_rows(
    recorded: Sequence[Recorded],
    signature: Signature,
    answers: Sequence[Answers],
    signature_of: SignatureOf,
    known: Mapping[str, pa.DataType],
) -> pa.Table:
    """One row a decision: its system columns, and the structs ``prediction`` and ``recorded``.

    Parameters
    ----------
    recorded
        What was asked, in terms of the versions that answered then.
    signature, answers
        Of the version that is tested: its outputs for each, or why there are none, which is then the row's ``failure``.
    known
        The structs of the table that the rows go to.
    """
    tables = []
    structs = dict(known)
    for one, given in zip(recorded, answers, strict=True):
        then = signature_of(one.model, one.version)
        table = _system(one, given if isinstance(given, str) else None)
        outputs = None if isinstance(given, str) else given
        for name, spoken, values in (
            ("prediction", signature, outputs),
            ("recorded", then, one.outputs),
        ):
            struct = _struct(structs.get(name), spoken, values, len(one.rows))
            table = table.append_column(name, struct)
            structs[name] = _unified(structs.get(name), struct.type)
        tables.append(table)
    return pa.concat_tables(tables, promote_options="default")


def _system(one: Recorded, failure: str | None) -> pa.Table:
    size = len(one.rows)
    same = {
        "time": one.time,
        "endpoint": one.endpoint,
        "model": one.model,
        "version": one.version,
        "role": one.role,
        "segment": one.segment,
        "failure": failure,
    }
    columns = {"decision_id": [f"{one.request}:{row}" for row in one.rows]}
    return pa.table(columns | {name: [value] * size for name, value in same.items()}, schema=_SYSTEM)


def _struct(
    known: pa.DataType | None,
    signature: Signature,
    outputs: Sequence[npt.NDArray[Any]] | None,
    rows: int,
) -> pa.StructArray:
    taken = {} if known is None else {field.name: kind_of(field.type) for field in known}
    names, arrays = [], []
    for at, output in enumerate(signature.outputs):
        values = None if outputs is None else outputs[at]
        array = _column(values, output.dtype, output.width, rows)
        place = storage_name(taken, output.name, kind_of(array.type))
        taken[place] = kind_of(array.type)
        names.append(place)
        arrays.append(array)
    return pa.StructArray.from_arrays(arrays, names=names)


def _column(values: npt.NDArray[Any] | None, dtype: DType, width: int | None, rows: int) -> pa.Array:
    kind = ARROW_TYPES[KINDS[dtype]]
    if values is None:
        return pa.nulls(rows, kind if width is None else pa.list_(kind))
    flat = values.ravel()
    wide = flat.astype(np.float64) if dtype == "float32" else flat
    # Not from_pandas: NaN is an answer, null is none.
    array = pa.array(wide, from_pandas=False).cast(kind)
    if width is None:
        return array
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(flat) + 1, width, dtype=np.int32)), array)


def _unified(known: pa.DataType | None, new: pa.DataType) -> pa.DataType:
    if known is None:
        return new
    both = pa.unify_schemas([pa.schema([("x", known)]), pa.schema([("x", new)])])
    return both.field("x").type


def backtested_endpoint(snapshot: Snapshot) -> str:
    """The endpoint whose decisions are in the table of a back-test."""
    return str(dataset(snapshot.files[:1], snapshot.schema).head(1).column("endpoint")[0].as_py())


def backtest_view(sources: Sequence[Source], outcomes: str | None) -> str:
    """The rows with a column for each output, ``then.<output>`` for what was answered then, and the outcome.

    Parameters
    ----------
    outcomes
        A query for ``decision_id``, ``outcome`` and ``observed``; ``None`` when there are none.
    """
    rows = " UNION ALL ".join(
        f"SELECT {', '.join(_columns(source))} FROM {quoted(source.name)}" for source in sources
    )
    if outcomes is None:
        return f"SELECT *, NULL AS outcome, CAST(NULL AS TIMESTAMPTZ) AS observed FROM ({rows})"
    return (
        f"SELECT rows.*, known.outcome, known.observed FROM ({rows}) AS rows"
        f" LEFT JOIN ({outcomes}) AS known USING (decision_id)"
    )


def _columns(source: Source) -> list[str]:
    parts = [quoted(name) for name in _SYSTEM.names]
    for struct, prefix in (("prediction", ""), ("recorded", "then.")):
        parts += [
            f"{column.expression(struct, source.fields(struct))} AS {quoted(_free(prefix + column.name))}"
            for column in logical_columns([source.schema.field(struct).type])
        ]
    return parts


def _free(name: str) -> str:
    taken = {*_SYSTEM.names, "outcome", "observed"}
    return f"prediction.{name}" if name.lower() in taken else name
