"""Rows to an endpoint and answers back, by the Open Inference Protocol."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.client.columns import InputColumn, fitted
from tsavo.client.tables import as_table
from tsavo.client.transport import Transport
from tsavo.vocabulary import (
    BadInput,
    Conflict,
    Invalid,
    Overloaded,
    Unavailable,
    decision_id,
    parse_decision_id,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Metadata", "OutputTensor", "Scores", "counted_from", "metadata_of", "output_array", "score"]

T = TypeVar("T")

_CHUNK_ROWS: Final = 1000
_RETRIES: Final = 3
_MOST_RETRIES: Final = 20
# The number of a request's first row comes behind it.
_MOST_KEY: Final = 200
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 10.0
_SYSTEM: Final = ("decision_id", "version", "role", "flags")
_LAST_INDEX: Final = re.compile(r"\[(\d+)\](?=\D*$)")


class Metadata(msgspec.Struct):
    """What an endpoint takes now: its champion's inputs, and ``version`` among the parameters."""

    inputs: list[InputColumn]
    parameters: dict[str, Any] = {}


class OutputTensor(msgspec.Struct):
    """An output as the protocol writes it."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


class _Answer(msgspec.Struct):
    outputs: list[OutputTensor]
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

    @property
    def version(self) -> str:
        """The version that answered; when the route changed between two requests, that of the last row."""
        return self.versions[-1]

    @property
    def role(self) -> str:
        """``champion`` or ``fallback``; when the route changed between two requests, that of the last row."""
        return self.roles[-1]

    def to_arrow(self) -> pa.Table:
        """A table with ``decision_id``, the outputs, ``version``, ``role`` and ``flags``.

        An output that is itself called like one of these is ``prediction.<output>``.
        """
        import pyarrow as pa

        columns: dict[str, Any] = {"decision_id": self.decision_ids}
        for name, values in self.outputs.items():
            plain = values if values.ndim == 1 and values.dtype != object else values.tolist()
            columns[f"prediction.{name}" if name in _SYSTEM else name] = plain
        columns |= {"version": self.versions, "role": self.roles}
        return pa.table(columns).append_column("flags", pa.array(self.flags, pa.list_(pa.string())))

    def to_pandas(self) -> Any:
        """The same as a pandas DataFrame."""
        return self.to_arrow().to_pandas()


def metadata_of(gateway: Transport, endpoint: str) -> Metadata:
    """What `endpoint` takes now."""
    told: Metadata = gateway.get(f"/v2/models/{endpoint}", Metadata)
    return told


def score(
    gateway: Transport,
    endpoint: str,
    data: Any,
    *,
    key: str | None = None,
    retries: int | None = None,
    subject: str = "",
) -> Scores:
    """Send a table to `endpoint`, in requests of at most 1,000 rows.

    Parameters
    ----------
    key
        Names this table: rows that were answered under the same key before, within the gateway's window, get the
        recorded answers and are not decided again. 1 to 200 visible ASCII characters.
    retries
        How often a request is sent again when the gateway is gone, late or too busy: by default 3 times with a key, and
        never without. With retries and without a key, one is made for this call.
    subject
        Whose data all rows are, where they do not say so themselves and the endpoint records personal data.

    Raises
    ------
    Invalid
        When a column is missing or a value does not fit; then nothing was sent. The row is counted from the
        table's first.
    """
    asking = _asking(key, retries, subject)
    inputs = _again(asking, lambda: metadata_of(gateway, endpoint)).inputs
    table = _named(as_table(data), inputs) if isinstance(data, np.ndarray) else as_table(data)
    missing = [told.name for told in inputs if told.name not in table.column_names]
    if missing:
        raise Invalid(
            f"{'a column is' if len(missing) == 1 else 'columns are'} missing: {', '.join(missing[:10])}",
            field=f"inputs.{missing[0]}",
            found=table.column_names[:20],
            expected=f"the columns {[told.name for told in inputs]}",
        )
    if not table.num_rows:
        raise Invalid("the table is empty", field="table", found="0 rows", expected="at least one row")
    columns = [fitted(told, table.column(told.name)) for told in inputs]
    return _joined(
        [
            _ask(gateway, endpoint, inputs, columns, start, asking)
            for start in range(0, table.num_rows, _CHUNK_ROWS)
        ]
    )


class _Asking(NamedTuple):
    """How requests are sent: under which key, how often again, and whose data they are."""

    key: str | None
    retries: int
    subject: str = ""


def _asking(key: str | None, retries: int | None, subject: str = "") -> _Asking:
    if key is not None and (not 0 < len(key) <= _MOST_KEY or any(not "!" <= one <= "~" for one in key)):
        raise Invalid(
            "not a key", field="key", found=key[:300], expected=f"1 to {_MOST_KEY} visible ASCII characters"
        )
    again = (0 if key is None else _RETRIES) if retries is None else retries
    if not 0 <= again <= _MOST_RETRIES:
        raise Invalid(
            "not a number of retries", field="retries", found=again, expected=f"0 to {_MOST_RETRIES}"
        )
    return _Asking(str(uuid.uuid4()) if key is None and again else key, again, subject)


def _named(table: pa.Table, inputs: list[InputColumn]) -> pa.Table:
    """The columns of an array have no names of their own; they are the endpoint's, in its order."""
    if table.num_columns != len(inputs):
        raise Invalid(
            "the array has another number of columns than the model",
            field="table",
            found=table.num_columns,
            expected=f"{len(inputs)}: {[told.name for told in inputs]}",
        )
    return table.rename_columns([told.name for told in inputs])


def _ask(
    gateway: Transport,
    endpoint: str,
    inputs: list[InputColumn],
    columns: list[list[Any]],
    start: int,
    asking: _Asking,
) -> _Answer:
    tensors = []
    for told, column in zip(inputs, columns, strict=True):
        values = column[start : start + _CHUNK_ROWS]
        tensors.append({"name": told.name, "datatype": told.datatype, "shape": [len(values)], "data": values})
    headers: dict[str, str | bytes] = {}
    if asking.key is not None:
        headers["Idempotency-Key"] = f"{asking.key}:{start}"
    if asking.subject:
        headers["X-Tsavo-Subject"] = asking.subject.encode()
    path, body = f"/v2/models/{endpoint}/infer", {"inputs": tensors}
    try:
        answer: _Answer = _again(asking, lambda: gateway.post(path, body, _Answer, headers=headers))
    except BadInput as error:
        error.field = counted_from(start, error.field)
        raise
    return answer


def _again(asking: _Asking, ask: Callable[[], T]) -> T:
    """Ask, and ask again while nobody can answer now."""
    left, pause = asking.retries, _FIRST_PAUSE_SECONDS
    while True:
        try:
            return ask()
        except (Unavailable, Overloaded, Conflict) as error:
            if not left:
                raise
            time.sleep(error.retry_after or pause)
        left, pause = left - 1, min(2 * pause, _LONGEST_PAUSE_SECONDS)


def counted_from(start: int, field: str | None) -> str | None:
    """The field of an error about one piece, with its row counted from the first piece's first.

    >>> counted_from(2000, "inputs.age[5]")
    'inputs.age[2005]'
    """
    if field is None:
        return None
    return _LAST_INDEX.sub(lambda found: f"[{int(found[1]) + start}]", field)


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
        versions.extend(told.get("row_versions") or [told["version"]] * rows)
        roles.extend(told.get("row_roles") or [told["role"]] * rows)
        flags.extend(_flags(told, rows))
        for output in answer.outputs:
            parts.setdefault(output.name, []).append(output_array(output))
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


def output_array(output: OutputTensor) -> npt.NDArray[Any]:
    """An output as an array of its shape and type."""
    if output.datatype == "BYTES":
        array = np.empty(len(output.data), dtype=object)
        array[:] = output.data
        return array.reshape(output.shape)
    # A number that is not one comes as null, and reads back as NaN.
    return np.array(output.data, dtype=_DTYPES.get(output.datatype, np.float64)).reshape(output.shape)
