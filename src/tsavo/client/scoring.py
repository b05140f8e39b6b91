"""Rows to an endpoint and answers back, by the Open Inference Protocol."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsavo.client.transport import Transport
from tsavo.vocabulary import Invalid, decision_id, parse_decision_id

__all__ = ["Scores", "score"]

_CHUNK_ROWS: Final = 1000


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: list[Any] = []
    parameters: dict[str, Any] = {}


class _Metadata(msgspec.Struct):
    inputs: list[_Tensor]
    outputs: list[_Tensor]


class _Answer(msgspec.Struct):
    outputs: list[_Tensor]
    parameters: dict[str, Any]


class Scores(msgspec.Struct, frozen=True):
    """Answers for a table, row by row.

    Attributes
    ----------
    decision_ids
        One id a row; outcomes are sent under it.
    outputs
        Output name -> array [rows], or [rows, width].
    versions, roles, flags
        Which version answered each row, in which role, and what applies to it.
    """

    decision_ids: list[str]
    outputs: dict[str, npt.NDArray[Any]]
    versions: list[str]
    roles: list[str]
    flags: list[list[str]]

    def __len__(self) -> int:
        return len(self.decision_ids)

    def to_arrow(self) -> pa.Table:
        """A table with ``decision_id``, the outputs, ``version``, ``role`` and ``flags``."""
        columns: dict[str, Any] = {"decision_id": self.decision_ids}
        columns |= {name: values.tolist() for name, values in self.outputs.items()}
        columns |= {"version": self.versions, "role": self.roles}
        flags = pa.array(self.flags, pa.list_(pa.string()))
        return pa.table(columns).append_column("flags", flags)

    def to_pandas(self) -> Any:
        """The same as a pandas DataFrame."""
        return self.to_arrow().to_pandas()


def score(gateway: Transport, endpoint: str, table: pa.Table) -> Scores:
    """Send `table` to `endpoint`, in requests of at most 1,000 rows.

    Raises
    ------
    Invalid
        When a column is missing or does not fit; the row is counted from the table's first.
    """
    path = f"/v2/models/{endpoint}"
    told: _Metadata = gateway.get(path, _Metadata)
    names = [tensor.name for tensor in told.inputs]
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise Invalid(
            f"{'a column is' if len(missing) == 1 else 'columns are'} missing: {', '.join(missing[:10])}",
            field=missing[0],
            found=table.column_names[:20],
            expected=f"the columns {names}",
        )
    if not table.num_rows:
        raise Invalid("the table is empty", field="table", found="0 rows", expected="at least one row")
    answers = []
    for start in range(0, table.num_rows, _CHUNK_ROWS):
        piece = table.slice(start, _CHUNK_ROWS)
        tensors = [_as_tensor(tensor, piece) for tensor in told.inputs]
        try:
            answers.append(gateway.post(f"{path}/infer", {"inputs": tensors}, _Answer))
        except Invalid as error:
            if start and error.field and error.field.endswith("]"):
                error.field += f" of the rows from {start} on"
            raise
    return _joined(answers)


def _as_tensor(told: _Tensor, table: pa.Table) -> dict[str, Any]:
    values = [_value(value) for value in table.column(told.name).to_pylist()]
    if told.datatype == "BYTES":
        values = [value if value is None or isinstance(value, str) else str(value) for value in values]
    return {"name": told.name, "datatype": told.datatype, "shape": [len(values)], "data": values}


def _value(value: Any) -> Any:
    """NaN is a missing value; JSON has no other word for it than null."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _joined(answers: list[_Answer]) -> Scores:
    ids: list[str] = []
    versions: list[str] = []
    roles: list[str] = []
    flags: list[list[str]] = []
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    for answer in answers:
        told = answer.parameters
        request, _ = parse_decision_id(told["decision_id"])
        rows = answer.outputs[0].shape[0]
        ids.extend(decision_id(request, row) for row in range(rows))
        versions.extend([told["version"]] * rows)
        roles.extend([told["role"]] * rows)
        flags.extend(_flags(told, rows))
        for output in answer.outputs:
            parts.setdefault(output.name, []).append(_array(output))
    outputs = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return Scores(ids, outputs, versions, roles, flags)


def _flags(told: dict[str, Any], rows: int) -> Iterator[list[str]]:
    by_row = told.get("row_flags", {})
    for row in range(rows):
        yield [*told["flags"], *by_row.get(str(row), [])]


_DTYPES: Final = {
    "FP64": np.float64,
    "FP32": np.float32,
    "INT64": np.int64,
    "INT32": np.int32,
    "BOOL": np.bool_,
}


def _array(output: _Tensor) -> npt.NDArray[Any]:
    if output.datatype == "BYTES":
        array = np.empty(len(output.data), dtype=object)
        array[:] = output.data
        return array.reshape(output.shape)
    return np.array(output.data, dtype=_DTYPES.get(output.datatype, np.float64)).reshape(output.shape)
