from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.endpoints.rules import rule_outputs
from tsavo.vocabulary import (
    NUMPY_DTYPES,
    Batch,
    Condition,
    DType,
    Field,
    Output,
    Rule,
    RulesFallback,
    Signature,
    Unavailable,
)

OUTPUTS = (Output("label", "string"), Output("probabilities", "float32", 2))
CLASSES = ("no", "yes")
MIXED = Signature(
    (
        Field("carrier", "string", nullable=True),
        Field("age", "int64"),
        Field("income", "float64", nullable=True),
        Field("member", "bool"),
    ),
    OUTPUTS,
    "binary",
    CLASSES,
)
NARROW = Signature(
    (Field("a", "float32", nullable=True), Field("b", "float32", nullable=True)), OUTPUTS, "binary", CLASSES
)

NUMBERS = st.sampled_from([-1.0, 0.0, 0.1, 0.25, 1.0, 3.0, 1e30])
CELLS: dict[DType, st.SearchStrategy[Any]] = {
    "string": st.sampled_from(["AA", "BB", "", None]),
    "int64": st.integers(-2, 4),
    "float64": NUMBERS | st.just(float("nan")),
    "float32": NUMBERS | st.just(float("nan")),
    "bool": st.booleans(),
}
LISTED: dict[DType, st.SearchStrategy[Any]] = {
    "string": st.sampled_from(["AA", "BB", "CC"]),
    "int64": st.integers(-2, 4),
    "float64": NUMBERS,
    "float32": NUMBERS,
    "bool": st.booleans(),
}


def said(draw: st.DrawFn) -> dict[str, Any]:
    yes = draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    return {"label": draw(st.sampled_from(CLASSES)), "probabilities": [1 - yes, yes]}


@st.composite
def conditions(draw: st.DrawFn, signature: Signature) -> Condition:
    field = draw(st.sampled_from(signature.inputs))
    number = field.dtype in ("int64", "float64", "float32")
    bounds = st.none() | NUMBERS | st.just(1e300) if number else st.none()
    listed = draw(st.none() | st.lists(LISTED[field.dtype], min_size=1, max_size=3))
    return Condition(
        field.name,
        at_least=draw(bounds),
        below=draw(bounds),
        one_of=None if listed is None else tuple(listed),
        missing=draw(st.none() | st.booleans()),
    )


@st.composite
def cases(draw: st.DrawFn, signature: Signature) -> tuple[RulesFallback, list[list[Any]]]:
    rules = draw(st.lists(st.lists(conditions(signature), min_size=1, max_size=3), max_size=4))
    table = RulesFallback(tuple(Rule(tuple(when), said(draw)) for when in rules), said(draw))
    rows = draw(st.lists(st.tuples(*(CELLS[field.dtype] for field in signature.inputs)), min_size=1))
    return table, [list(row) for row in rows]


def batch_of(signature: Signature, rows: list[list[Any]]) -> Batch:
    columns = []
    for at, field in enumerate(signature.inputs):
        column = np.empty(len(rows), NUMPY_DTYPES[field.dtype])
        column[:] = [row[at] for row in rows]
        columns.append(column)
    if signature.matrix_dtype is not None:
        return Batch(len(rows), np.ascontiguousarray(np.stack(columns, axis=1)))
    return Batch(len(rows), None, tuple(columns))


def one_row(signature: Signature, table: RulesFallback, row: list[Any]) -> dict[str, Any]:
    """What a person would do with the table and one row, cell by cell."""
    cells = dict(zip((field.name for field in signature.inputs), row, strict=True))
    for rule in table.rules:
        if all(meets(condition, cells[condition.column], signature) for condition in rule.when):
            return rule.outputs
    return table.otherwise


def meets(condition: Condition, cell: Any, signature: Signature) -> bool:
    narrow = signature is NARROW

    def as_stored(value: Any) -> Any:
        with np.errstate(over="ignore"):
            return float(np.float32(value)) if narrow else value

    missing = cell is None or (isinstance(cell, float) and cell != cell)
    if condition.missing is not None and condition.missing != missing:
        return False
    if condition.at_least is not None and (missing or as_stored(cell) < as_stored(condition.at_least)):
        return False
    if condition.below is not None and (missing or as_stored(cell) >= as_stored(condition.below)):
        return False
    if condition.one_of is None:
        return True
    return not missing and as_stored(cell) in [as_stored(value) for value in condition.one_of]


@given(st.data())
def test_a_table_says_for_a_batch_what_it_says_row_by_row(data: st.DataObject) -> None:
    signature = data.draw(st.sampled_from([MIXED, NARROW]))
    table, rows = data.draw(cases(signature))
    labels, probabilities = rule_outputs(signature, table, batch_of(signature, rows))
    expected = [one_row(signature, table, row) for row in rows]
    assert labels.tolist() == [outputs["label"] for outputs in expected]
    assert probabilities.tolist() == [outputs["probabilities"] for outputs in expected]
    assert (labels.dtype, probabilities.dtype) == (np.dtype(object), np.dtype(np.float32))


def test_the_first_rule_wins_and_rows_that_meet_none_get_the_otherwise() -> None:
    signature = Signature((Field("age", "float64"),), (Output("value", "float64"),), "regression")
    table = RulesFallback(
        (
            Rule((Condition("age", below=18),), {"value": 0.0}),
            Rule((Condition("age", below=65),), {"value": 1.0}),
        ),
        {"value": 2.0},
    )
    rows = [[10.0], [18.0], [64.9], [65.0], [float("nan")]]
    (values,) = rule_outputs(signature, table, batch_of(signature, rows))
    assert values.tolist() == [0.0, 1.0, 1.0, 2.0, 2.0]


def test_a_table_for_other_columns_cannot_answer() -> None:
    table = RulesFallback((Rule((Condition("height", below=1),), {"label": "no"}),), {"label": "yes"})
    with pytest.raises(Unavailable, match="height"):
        rule_outputs(NARROW, table, batch_of(NARROW, [[0.0, 0.0]]))
