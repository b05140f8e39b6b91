"""A lake with journals, and records for it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tsavo.journal import JournalWriter
from tsavo.lake import Lake
from tsavo.vocabulary import (
    NUMPY_DTYPES,
    DecisionRecord,
    Field,
    NotFound,
    OutcomeRecord,
    Output,
    Record,
    Role,
    Signature,
    Tensor,
    encode_record,
)

SECOND = 1_000_000_000
START = 1_760_000_000 * SECOND

BINARY = (Output("label", "int64"), Output("probabilities", "float32", 2))
MATRIX = Signature(
    (Field("age", "float64", True), Field("income", "float64", True)), BINARY, "binary", (0, 1)
)
MIXED = Signature(
    (Field("age", "int64"), Field("carrier", "string", True), Field("late", "bool")), BINARY, "binary", (0, 1)
)
TEXT_AGE = Signature((Field("age", "string"),), (Output("value", "float64"),), "regression")
SIGNATURES = {1: MATRIX, 2: MIXED, 3: TEXT_AGE}


def signature_of(model: str, version: int) -> Signature:
    """Versions 1 to 3 of any model are known."""
    try:
        return SIGNATURES[version]
    except KeyError:
        raise NotFound("no such version", field="version", found=f"{model}@{version}") from None


def request_id(number: int) -> str:
    """A UUIDv7 whose time is `number` seconds after the start."""
    digits = f"{START // 1_000_000 + number * 1000:012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-{number:012x}"


def decision(
    number: int,
    *,
    version: int = 1,
    endpoint: str = "credit-risk",
    role: Role = "champion",
    rows: int = 1,
    inputs: Sequence[Sequence[Any]] | None = None,
    row_flags: dict[int, list[str]] | None = None,
) -> DecisionRecord:
    """The request `number`; its values follow from the number."""
    signature = SIGNATURES[version]
    columns = inputs or [
        [_value(field.dtype, number, row) for row in range(rows)] for field in signature.inputs
    ]
    if signature.matrix_dtype is not None:
        matrix = np.array(columns, dtype=NUMPY_DTYPES[signature.matrix_dtype]).T
        tensors: tuple[Tensor, ...] = (Tensor.of(np.ascontiguousarray(matrix)),)
    else:
        tensors = tuple(
            Tensor.of(np.array(column, dtype=NUMPY_DTYPES[field.dtype]))
            for column, field in zip(columns, signature.inputs, strict=True)
        )
    outputs = []
    for output in signature.outputs:
        shape = (rows,) if output.width is None else (rows, output.width)
        array = np.empty(shape, dtype=NUMPY_DTYPES[output.dtype])
        array[...] = number % 2 if output.width is None else (0.25, 0.75)
        outputs.append(Tensor.of(array))
    return DecisionRecord(
        request=request_id(number),
        time=START + number * SECOND,
        endpoint=endpoint,
        model="m",
        version=version,
        role=role,
        rows=rows,
        latency_us=100 + number % 100,
        inputs=tensors,
        outputs=tuple(outputs),
        row_flags=row_flags or {},
    )


def _value(dtype: str, number: int, row: int) -> Any:
    return {"string": f"s{number}", "bool": bool(number % 2)}.get(dtype, number + row)


def outcome(
    decisions: Sequence[str], values: Sequence[Any], *, at: int = 0, endpoint: str = "credit-risk"
) -> OutcomeRecord:
    """Outcomes recorded `at` seconds after the start."""
    return OutcomeRecord(START + at * SECOND, endpoint, list(decisions), list(values))


def row_id(number: int, row: int = 0) -> str:
    """The decision id of a row of request `number`."""
    return f"{request_id(number)}:{row}"


class Scene:
    """A home with a lake and as many journals as are written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journals = folder / "journal"
        self.journals.mkdir(exist_ok=True)
        self.root = folder / "lake"
        self.lake = Lake(self.root, self.journals, signature_of)

    def write(self, *records: Record | bytes, journal: str = "gateway-0") -> None:
        """Journal records, durably, and close the journal."""
        writer = JournalWriter(self.journals / f"{journal}.db")
        for record in records:
            writer.append_blocking(record if isinstance(record, bytes) else encode_record(record))
        writer.close()

    def ship(self) -> None:
        """Ship all there is."""
        while self.lake.ship().more:
            continue

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of an SQL answer."""
        return [tuple(row.values()) for row in self.lake.sql(query).to_pylist()]

    def reopened(self) -> Lake:
        """The lake as another process sees it."""
        return Lake(self.root, self.journals, signature_of)


def fresh_id() -> str:
    """A decision id that was never made."""
    return f"{uuid.uuid4()}:0"
