"""Requests as they were recorded: the rows that a version was asked together, as the arrays that it was asked with.

The lake keeps rows in columns wide enough for every version (see `columns`). Here they become batches again, bit for
bit: numbers of 32 bits were widened without loss, and a missing number, null in the lake, was NaN.
"""

# ruff: noqa: S608 -- SQL is put together from quoted names, numbers, and our own text only

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsavo.lake.columns import ARROW_TYPES, KINDS, kind_of, logical_name, quoted
from tsavo.lake.endpoint_rows import Rows, decision_sources
from tsavo.lake.looking import moment
from tsavo.lake.relations import text, union
from tsavo.lake.session import Session
from tsavo.lake.tables import DataFile
from tsavo.lake.tail import SignatureOf
from tsavo.privacy import sealed_columns
from tsavo.vocabulary import NUMPY_DTYPES, Batch, DType, Role, Signature, decision_context

__all__ = ["Recorded", "Unseal", "read_recorded", "request_ids"]

_SYSTEM = (
    "decision_id",
    "time",
    "endpoint",
    "model",
    "version",
    "role",
    "segment",
    "flags",
    "batch_rows",
    "batch_row",
    "runtime",
    "sealed",
)

Unseal: TypeAlias = Callable[[Sequence[tuple[bytes, str]]], list[dict[int, Any] | None]]
"""Opens sealed rows, each for its context: place -> value, a number as its bytes; ``None`` for an erased subject."""


class Recorded(NamedTuple):
    """Rows of one request that one version was asked together.

    Attributes
    ----------
    rows
        Numbers of the rows within the request, in the order in which they were asked.
    flags
        Of each row.
    runtime
        Digest of what scored; empty when that was not kept.
    whole
        Whether all rows are there that were asked together; of decisions of earlier releases that is not known, and
        taken to be so.
    batch, outputs
        What the version was asked, and what it answered, in the order of its signature.
    erased
        Places, among these rows, of those whose hidden values cannot be had any more: the key of whose they are was
        destroyed.
    hidden
        Places of the inputs that are hidden from people.
    """

    request: str
    time: datetime
    endpoint: str
    model: str
    version: int
    role: Role
    segment: str
    rows: tuple[int, ...]
    flags: tuple[tuple[str, ...], ...]
    runtime: str
    whole: bool
    batch: Batch
    outputs: tuple[npt.NDArray[Any], ...]
    erased: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()


def request_ids(
    session: Session,
    rows: Rows,
    *,
    since: datetime | None,
    until: datetime | None,
    version: tuple[str, int] | None,
    after: str,
    limit: int,
    most_rows: int,
) -> tuple[list[str], bool]:
    """Ids of the first requests behind `after`, in their order, which is that of their time; and whether more come.

    At most `limit` of them, and no more than have `most_rows` rows together; one at least.

    Parameters
    ----------
    since, until
        Decided in [`since`, `until`).
    version
        Those that this model and version answered, also as a shadow; else those that anybody but a shadow answered.
    """
    sources = decision_sources(session, rows, lambda file: _ends_behind(file, after, since, until))
    if not sources:
        return [], False
    # Every id of a request that was seen begins with the request and a colon; a semicolon is the next character.
    conditions = [f"decision_id >= {text(after + ';' if after else '')}"]
    if since is not None:
        conditions.append(f"time >= {moment(since)}")
    if until is not None:
        conditions.append(f"time < {moment(until)}")
    if version is not None:
        conditions.append(f"model = {text(version[0])} AND version = {version[1]:d}")
    else:
        conditions.append("role <> 'shadow'")
    names = "decision_id, time, role, model, version"
    found = session.table(
        f"SELECT split_part(decision_id, ':', 1) AS request, count(*) AS n FROM ({union(sources, names)})"
        f" WHERE {' AND '.join(conditions)} GROUP BY 1 ORDER BY 1 LIMIT {limit + 1:d}"
    )
    requests: list[str] = found.column("request").to_pylist()
    sizes = np.cumsum(found.column("n").to_numpy())
    taken = min(limit, max(1, int(np.searchsorted(sizes, most_rows, side="right"))))
    return requests[:taken], len(requests) > taken


def _ends_behind(file: DataFile, after: str, since: datetime | None, until: datetime | None) -> bool:
    low, high = file.low, file.high
    return not (
        ("decision_id" in high and high["decision_id"] < after)
        or (since is not None and "time" in high and high["time"] < since)
        or (until is not None and "time" in low and low["time"] >= until)
    )


def read_recorded(
    session: Session, rows: Rows, requests: Collection[str], signature_of: SignatureOf, unseal: Unseal
) -> list[Recorded]:
    """All that versions were asked in these requests, shadows included, in the order of time.

    Raises what `signature_of` and `unseal` raise.
    """
    wanted = sorted(requests)
    sources = decision_sources(session, rows, lambda file: _overlaps(file, wanted))
    ids = session.source(pa.table({"request": pa.array(wanted, pa.string())}))
    found: list[Recorded] = []
    for source in sources:
        known = set(source.schema.names)
        names = [name if name in known else f"NULL AS {name}" for name in _SYSTEM]
        table = session.table(
            f"SELECT {', '.join(names)}, journal, seq, features, prediction FROM {quoted(source.name)}"
            f" WHERE decision_id >= {text(wanted[0] if wanted else '')}"
            f" AND decision_id < {text(wanted[-1] + ';' if wanted else '')}"
            f" AND split_part(decision_id, ':', 1) IN (SELECT request FROM {quoted(ids.name)})"
            " ORDER BY model, version, journal, seq, batch_row, CAST(split_part(decision_id, ':', 2) AS BIGINT)"
        )
        found += _of_table(table, signature_of, unseal)
    return sorted(found, key=lambda one: (one.time, one.request, one.role == "shadow", one.rows))


def _overlaps(file: DataFile, wanted: Sequence[str]) -> bool:
    low, high = file.low.get("decision_id"), file.high.get("decision_id")
    if low is None or high is None:
        return True
    # A file's bounds are ids of rows, which sort behind the ids of their requests.
    place = bisect_left(wanted, low.partition(":")[0])
    return place < len(wanted) and wanted[place] <= high


def _of_table(table: pa.Table, signature_of: SignatureOf, unseal: Unseal) -> Iterator[Recorded]:
    """The records of rows that are sorted by version, record and place."""
    if not table.num_rows:
        return
    table = table.combine_chunks()
    models, versions = table.column("model").to_pylist(), table.column("version").to_numpy()
    for start, end in _runs([f"{model}@{version}" for model, version in zip(models, versions, strict=True)]):
        part = table.slice(start, end - start)
        signature = signature_of(models[start], int(versions[start]))
        columns = [_values(part.column("features"), field.name, field.dtype) for field in signature.inputs]
        outputs = [
            _outputs(part.column("prediction"), output.name, output.dtype, output.width)
            for output in signature.outputs
        ]
        system = {name: part.column(name).to_pylist() for name in (*_SYSTEM, "journal", "seq")}
        lost = _fill_in(columns, system, unseal)
        for first, last in _runs(list(zip(system["journal"], system["seq"], strict=True))):
            yield _one(system, signature, columns, outputs, lost, first, last)


def _runs(keys: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """Where equal neighbours begin and end."""
    start = 0
    for at in range(1, len(keys) + 1):
        if at == len(keys) or keys[at] != keys[start]:
            yield start, at
            start = at


def _one(
    system: dict[str, list[Any]],
    signature: Signature,
    columns: Sequence[npt.NDArray[Any]],
    outputs: Sequence[npt.NDArray[Any]],
    lost: frozenset[int],
    first: int,
    last: int,
) -> Recorded:
    request, _, _ = system["decision_id"][first].partition(":")
    size = last - first
    return Recorded(
        request=request,
        time=system["time"][first],
        endpoint=system["endpoint"][first],
        model=system["model"][first],
        version=system["version"][first],
        role=system["role"][first],
        segment=system["segment"][first] or "",
        rows=tuple(int(one.rpartition(":")[2]) for one in system["decision_id"][first:last]),
        flags=tuple(tuple(flags or ()) for flags in system["flags"][first:last]),
        runtime=system["runtime"][first] or "",
        whole=(system["batch_rows"][first] or size) == size,
        batch=_batch(signature, [column[first:last] for column in columns]),
        outputs=tuple(output[first:last] for output in outputs),
        erased=tuple(row - first for row in sorted(lost) if first <= row < last),
        hidden=() if (sealed := system["sealed"][first]) is None else sealed_columns(sealed),
    )


def _fill_in(columns: list[npt.NDArray[Any]], system: dict[str, list[Any]], unseal: Unseal) -> frozenset[int]:
    """Put hidden values where they belong; return the rows whose values cannot be had any more."""
    rows = [row for row, sealed in enumerate(system["sealed"]) if sealed is not None]
    if not rows:
        return frozenset()
    contexts = [
        (
            system["sealed"][row],
            decision_context(
                system["decision_id"][row],
                system["endpoint"][row],
                f"{system['model'][row]}@{system['version'][row]}",
            ),
        )
        for row in rows
    ]
    lost = []
    for at in {place for sealed, _ in contexts for place in sealed_columns(sealed) if place < len(columns)}:
        columns[at] = columns[at].copy()
    for row, opened in zip(rows, unseal(contexts), strict=True):
        if opened is None:
            lost.append(row)
            continue
        for place, value in opened.items():
            column = columns[place]
            column[row] = np.frombuffer(value, column.dtype)[0] if isinstance(value, bytes) else value
    return frozenset(lost)


def _batch(signature: Signature, columns: Sequence[npt.NDArray[Any]]) -> Batch:
    rows = len(columns[0])
    if signature.matrix_dtype is None:
        return Batch(rows, None, tuple(columns))
    return Batch(rows, np.ascontiguousarray(np.stack(columns, axis=1)))


def _stored(struct: pa.ChunkedArray, name: str, kind: str) -> pa.Array:
    """The values of `name` that are of `kind`: of the columns that hold some, each row has a value in one at most."""
    array = struct.combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    parts = [
        pc.struct_field(array, [place])
        for place, field in enumerate(array.type)
        if logical_name(field.name) == name and kind_of(field.type) == kind
    ]
    if not parts:
        return pa.nulls(len(array), pa.null())
    return parts[0] if len(parts) == 1 else pc.coalesce(*parts)


def _values(struct: pa.ChunkedArray, name: str, dtype: DType) -> npt.NDArray[Any]:
    """[rows] of one column, as it was recorded."""
    return _array(_stored(struct, name, KINDS[dtype]), dtype)


def _array(stored: pa.Array, dtype: DType) -> npt.NDArray[Any]:
    kind = NUMPY_DTYPES[dtype]
    if dtype == "string":
        values = np.empty(len(stored), dtype=object)
        values[:] = stored.to_pylist()
        return values
    if kind.kind == "f":
        wide = stored.cast(pa.float64())
        stored = wide.fill_null(np.nan) if wide.null_count else wide
    elif stored.null_count:
        # What is hidden: only numbers with a fraction can be missing.
        stored = stored.cast(ARROW_TYPES[KINDS[dtype]]).fill_null(False if kind.kind == "b" else 0)
    plain: npt.NDArray[Any] = stored.to_numpy(zero_copy_only=False)
    return plain.astype(kind)


def _outputs(struct: pa.ChunkedArray, name: str, dtype: DType, width: int | None) -> npt.NDArray[Any]:
    """[rows] or [rows, width] of one output, as it was recorded."""
    if width is None:
        return _values(struct, name, dtype)
    lists = _stored(struct, name, f"{KINDS[dtype]}[]")
    return _array(lists.flatten(), dtype).reshape(len(lists), width)
