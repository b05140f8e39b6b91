"""Journal records as Arrow tables, in the shape in which they lie in Delta.

`decision_rows` needs the version's signature for names and types; `system_rows` does without, for views over all
endpoints. A missing number is NaN in a record and null here: a signature allows NaN for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsavo.lake.columns import ARROW_TYPES, KINDS, kind_of, storage_name
from tsavo.vocabulary import NUMPY_DTYPES, Damaged, DecisionRecord, DType, OutcomeRecord, Signature, Tensor

__all__ = [
    "OUTCOME_SCHEMA",
    "SYSTEM_SCHEMA",
    "Decided",
    "Resolved",
    "decision_rows",
    "outcome_rows",
    "system_rows",
]

TIME: Final = pa.timestamp("us", tz="UTC")

SYSTEM_SCHEMA: Final = pa.schema(
    [
        ("decision_id", pa.string()),
        ("time", TIME),
        ("endpoint", pa.string()),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("role", pa.string()),
        ("segment", pa.string()),
        ("caller", pa.string()),
        ("latency_us", pa.int64()),
        ("flags", pa.list_(pa.string())),
        # Not in the tables of earlier releases, whose rows have nulls here.
        ("trace", pa.string()),
        ("request_digest", pa.string()),
        ("queue_us", pa.int64()),
        ("decode_us", pa.int64()),
        ("predict_us", pa.int64()),
        # The rows that were predicted together, and the row's place among them: what a replay needs.
        ("batch_rows", pa.int64()),
        ("batch_row", pa.int64()),
        ("runtime", pa.string()),
        # Whose data a row is, and its hidden values as only their key opens them; null where nothing is personal.
        ("pseudonym", pa.string()),
        ("sealed", pa.binary()),
        # Ahead of the structs: behind them, deltalake does not hand out a column's bounds.
        ("journal", pa.string()),
        ("seq", pa.int64()),
    ]
)

# `outcome` is the value as text, `number` the same as a number (true is 1) where it is one, `kind` says what it was.
# A withdrawn outcome (null) has none of the three.
OUTCOME_SCHEMA: Final = pa.schema(
    [
        ("decision_id", pa.string()),
        ("endpoint", pa.string()),
        ("kind", pa.string()),
        ("outcome", pa.string()),
        ("number", pa.float64()),
        ("observed", TIME),
        ("recorded", TIME),
        ("journal", pa.string()),
        ("seq", pa.int64()),
        ("row", pa.int64()),
    ]
)

_MICRO: Final = 1000
_INT64: Final = 1 << 63


class Decided(NamedTuple):
    """One decision record and where it was journalled."""

    journal: str
    seq: int
    record: DecisionRecord


class Resolved(NamedTuple):
    """One outcome record and where it was journalled."""

    journal: str
    seq: int
    record: OutcomeRecord


def system_rows(entries: Sequence[Decided]) -> pa.Table:
    """The system columns of every row of every record, in order."""
    repeats = np.array([entry.record.rows for entry in entries], dtype=np.int64)

    def spread(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
        array = pa.array(values, kind)
        return array if single else array.take(places)

    single = bool(np.all(repeats == 1))
    places = pa.array(np.repeat(np.arange(len(entries)), repeats))
    records = [entry.record for entry in entries]
    columns = [
        pa.array(
            [f"{record.request}:{number}" for record in records for number in record.numbers], pa.string()
        ),
        spread([record.time // _MICRO for record in records], TIME),
        spread([record.endpoint for record in records], pa.string()),
        spread([record.model for record in records], pa.string()),
        spread([record.version for record in records], pa.int64()),
        spread([record.role for record in records], pa.string()),
        spread([record.segment for record in records], pa.string()),
        spread([record.caller for record in records], pa.string()),
        spread([record.latency_us for record in records], pa.int64()),
        pa.array(list(_flags(records)), pa.list_(pa.string())),
        spread([record.trace for record in records], pa.string()),
        spread([record.digest.hex() for record in records], pa.string()),
        spread([record.queue_us for record in records], pa.int64()),
        spread([record.decode_us for record in records], pa.int64()),
        spread([record.predict_us for record in records], pa.int64()),
        pa.array(np.repeat(repeats, repeats)),
        pa.array(_places(repeats)),
        spread([record.runtime for record in records], pa.string()),
        pa.array(_each(records, lambda record: record.subjects), pa.string()),
        pa.array(_each(records, lambda record: record.sealed), pa.binary()),
        spread([entry.journal for entry in entries], pa.string()),
        spread([entry.seq for entry in entries], pa.int64()),
    ]
    return pa.table(columns, schema=SYSTEM_SCHEMA)


def _each(records: Sequence[DecisionRecord], of: Callable[[DecisionRecord], Sequence[Any]]) -> list[Any]:
    """What each row has of its own; ``None`` for the rows of records that have nothing of the kind."""
    found: list[Any] = []
    for record in records:
        values = of(record)
        found.extend(values if len(values) == record.rows else [None] * record.rows)
    return found


def _places(repeats: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Each row's place within its record.

    >>> _places(np.array([2, 1, 3]))
    array([0, 1, 0, 0, 1, 2])
    """
    firsts = np.cumsum(repeats) - repeats
    return np.arange(int(repeats.sum()), dtype=np.int64) - np.repeat(firsts, repeats)


def _flags(records: Iterable[DecisionRecord]) -> Iterator[list[str]]:
    for record in records:
        common = list(record.flags)
        for row in range(record.rows):
            yield common + record.row_flags[row] if row in record.row_flags else common


def decision_rows(
    entries: Sequence[Decided], signature: Signature, known: Mapping[str, pa.DataType] | None = None
) -> pa.Table:
    """All columns of records that one version made.

    Parameters
    ----------
    known
        The structs ``features``, ``prediction`` and ``explanation`` of the table that the rows go to; column
        names are chosen so that they fit there.

    Raises
    ------
    Damaged
        A record does not have the shape that the signature promises.
    """
    known = known or {}
    inputs = [(field.name, field.dtype) for field in signature.inputs]
    features = _struct(known.get("features"), inputs, _input_columns(entries, signature))
    outputs = [
        _output_column(entries, place, output.dtype, output.width)
        for place, output in enumerate(signature.outputs)
    ]
    prediction = _struct(known.get("prediction"), [(o.name, o.dtype) for o in signature.outputs], outputs)
    table = system_rows(entries)
    return (
        table.append_column("features", features)
        .append_column("prediction", prediction)
        .append_column("explanation", _no_explanation(known.get("explanation"), signature, table.num_rows))
    )


def _struct(
    known: pa.DataType | None, names: Sequence[tuple[str, DType]], arrays: Sequence[pa.Array]
) -> pa.Array:
    taken = {} if known is None else {field.name: kind_of(field.type) for field in known}
    stored = []
    for (name, _), array in zip(names, arrays, strict=True):
        kind = kind_of(array.type)
        place = storage_name(taken, name, kind)
        taken[place] = kind
        stored.append(place)
    return pa.StructArray.from_arrays(arrays, names=stored)


def _no_explanation(known: pa.DataType | None, signature: Signature, rows: int) -> pa.Array:
    # The column is there from the first row on, so that readers can rely on it; values come with the explanations.
    nothing = pa.nulls(rows, pa.float64())
    struct = _struct(
        known, [(field.name, "float64") for field in signature.inputs], [nothing] * len(signature.inputs)
    )
    return pa.nulls(rows, struct.type)


def _input_columns(entries: Sequence[Decided], signature: Signature) -> list[pa.Array]:
    """The inputs column by column; null where a value is hidden."""
    columns = _recorded_columns(entries, signature)
    if any(entry.record.hidden for entry in entries):
        repeats = [entry.record.rows for entry in entries]
        for place in {place for entry in entries for place in entry.record.hidden if place < len(columns)}:
            hidden = np.repeat([place in entry.record.hidden for entry in entries], repeats)
            columns[place] = pc.if_else(
                pa.array(hidden), pa.scalar(None, columns[place].type), columns[place]
            )
    return columns


def _recorded_columns(entries: Sequence[Decided], signature: Signature) -> list[pa.Array]:
    width = len(signature.inputs)
    matrix = signature.matrix_dtype
    if matrix is not None:
        parts = []
        for entry in entries:
            tensors = entry.record.inputs
            if (
                len(tensors) != 1
                or tensors[0].dtype != matrix
                or tensors[0].shape != (entry.record.rows, width)
            ):
                raise _misshapen(entry, "inputs", f"one {matrix} matrix [{entry.record.rows}, {width}]")
            parts.append(_bytes(tensors[0], entry))
        joined = np.frombuffer(b"".join(parts), dtype=NUMPY_DTYPES[matrix]).reshape(-1, width)
        return [_array(joined[:, place], matrix, missing=True) for place in range(width)]
    for entry in entries:
        if len(entry.record.inputs) != width:
            raise _misshapen(entry, "inputs", f"{width} columns")
    return [
        _column([(entry, entry.record.inputs[place]) for entry in entries], field.dtype, missing=True)
        for place, field in enumerate(signature.inputs)
    ]


def _output_column(entries: Sequence[Decided], place: int, dtype: DType, width: int | None) -> pa.Array:
    tensors = []
    for entry in entries:
        if place >= len(entry.record.outputs):
            raise _misshapen(entry, "outputs", f"at least {place + 1} outputs")
        tensors.append((entry, entry.record.outputs[place]))
    if width is None:
        return _column(tensors, dtype, missing=False)
    for entry, tensor in tensors:
        if tensor.shape != (entry.record.rows, width):
            raise _misshapen(entry, "outputs", f"shape [{entry.record.rows}, {width}]")
    flat = _column([(entry, tensor) for entry, tensor in tensors], dtype, missing=False, per_row=width)
    offsets = pa.array(np.arange(0, len(flat) + 1, width, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, flat)


def _column(
    tensors: Sequence[tuple[Decided, Tensor]], dtype: DType, *, missing: bool, per_row: int = 1
) -> pa.Array:
    if dtype == "string":
        texts: list[str | None] = []
        for entry, tensor in tensors:
            if isinstance(tensor.data, bytes) or len(tensor.data) != entry.record.rows * per_row:
                raise _misshapen(entry, "values", f"{entry.record.rows * per_row} strings")
            texts.extend(tensor.data)
        return pa.array(texts, pa.string())
    size = NUMPY_DTYPES[dtype].itemsize
    parts = []
    for entry, tensor in tensors:
        if tensor.dtype != dtype or len(tensor.data) != entry.record.rows * per_row * size:
            raise _misshapen(entry, "values", f"{entry.record.rows * per_row} of {dtype}")
        parts.append(_bytes(tensor, entry))
    return _array(np.frombuffer(b"".join(parts), dtype=NUMPY_DTYPES[dtype]), dtype, missing=missing)


def _array(values: Any, dtype: DType, *, missing: bool) -> pa.Array:
    # from_pandas makes NaN null.
    wide = values.astype(np.float64) if dtype == "float32" else np.ascontiguousarray(values)
    return pa.array(wide, from_pandas=missing).cast(ARROW_TYPES[KINDS[dtype]])


def _bytes(tensor: Tensor, entry: Decided) -> bytes:
    if not isinstance(tensor.data, bytes):
        raise _misshapen(entry, "values", "numbers")
    return tensor.data


def _misshapen(entry: Decided, field: str, expected: str) -> Damaged:
    record = entry.record
    return Damaged(
        f"a record does not fit the signature of {record.model}@{record.version}",
        field=field,
        found=f"record {entry.seq} of journal {entry.journal}",
        expected=expected,
    )


def outcome_rows(entries: Sequence[Resolved]) -> pa.Table:
    """One row an outcome; raise `Damaged` when a record's lists are not in step."""
    rows: dict[str, list[Any]] = {name: [] for name in OUTCOME_SCHEMA.names}
    for entry in entries:
        record = entry.record
        size = len(record.decisions)
        if len(record.values) != size or len(record.observed) not in (0, size):
            raise Damaged(
                "an outcome record's lists are not in step",
                field="values",
                found=f"record {entry.seq} of journal {entry.journal}",
                expected=f"{size} values and as many times, or none",
            )
        rows["decision_id"].extend(record.decisions)
        for value in record.values:
            kind, text, number = _value(value)
            rows["kind"].append(kind)
            rows["outcome"].append(text)
            rows["number"].append(number)
        observed = record.observed or [None] * size
        rows["observed"].extend(None if moment is None else moment // _MICRO for moment in observed)
        for name, same in (
            ("endpoint", record.endpoint),
            ("recorded", record.time // _MICRO),
            ("journal", entry.journal),
            ("seq", entry.seq),
        ):
            rows[name].extend([same] * size)
        rows["row"].extend(range(size))
    return pa.table(rows, schema=OUTCOME_SCHEMA)


def _value(value: str | float | int | bool | None) -> tuple[str | None, str | None, float | None]:
    match value:
        case None:
            return None, None, None
        case bool():
            return "boolean", "true" if value else "false", float(value)
        case int() if -_INT64 <= value < _INT64:
            return "integer", str(value), float(value)
        case int() | float():
            return "number", repr(value), float(value)
        case str():
            return "string", value, None
