from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import CLASSIFIER, REGRESSOR
from tsavo.actions.fallbacks import rules_fallback
from tsavo.actions.rules import MOST_RULES, can_be
from tsavo.endpoints.rules import rule_outputs
from tsavo.vocabulary import (
    NUMPY_DTYPES,
    Batch,
    Condition,
    DType,
    Field,
    Invalid,
    Output,
    Rule,
    RulesFallback,
    Signature,
)

YOUNG = {"column": "age", "below": 25}
WIDE = Signature(
    (
        Field("age", "int32"),
        Field("income", "float32", nullable=True),
        Field("city", "string", nullable=True),
        Field("member", "bool"),
    ),
    (Output("value", "float64", 2), Output("count", "int64")),
    "generic",
)
ANSWER = {"value": [0.5, 1], "count": 3}


def test_a_table_says_all_outputs_where_a_person_wrote_the_main_one() -> None:
    given = [
        {"when": YOUNG, "outputs": 1},
        {"when": [{"column": "city", "one_of": ["voi"]}, {"column": "age", "at_least": 60}], "outputs": 0},
    ]
    table = rules_fallback(CLASSIFIER, given, {"label": 0, "probabilities": [0.8, 0.2]})
    assert table == RulesFallback(
        (
            Rule((Condition("age", below=25),), {"label": 1, "probabilities": [0.0, 1.0]}),
            Rule(
                (Condition("city", one_of=("voi",)), Condition("age", at_least=60)),
                {"label": 0, "probabilities": [1.0, 0.0]},
            ),
        ),
        {"label": 0, "probabilities": [0.8, 0.2]},
    )


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ([], "fallback.rules"),
        ({}, "fallback.rules"),
        ("age < 25", "fallback.rules"),
        ([{"when": YOUNG, "outputs": 1}] * (MOST_RULES + 1), "fallback.rules"),
        ([{"when": YOUNG}], "fallback.rules[0]"),
        ([{"when": YOUNG, "outputs": 1, "then": 2}], "fallback.rules[0]"),
        ([5], "fallback.rules[0]"),
        ([{"when": [], "outputs": 1}], "fallback.rules[0].when"),
        ([{"when": [YOUNG] * 51, "outputs": 1}], "fallback.rules[0].when"),
        ([{"when": "age < 25", "outputs": 1}], "fallback.rules[0].when[0]"),
        ([{"when": {"column": "age", "above": 3}, "outputs": 1}], "fallback.rules[0].when[0]"),
        ([{"when": {"below": 3}, "outputs": 1}], "fallback.rules[0].when[0]"),
        ([{"when": {"column": "age", "below": "3"}, "outputs": 1}], "fallback.rules[0].when[0]"),
        ([{"when": {"column": "age"}, "outputs": 1}], "fallback.rules[0].when[0]"),
        ([{"when": {"column": "height", "below": 3}, "outputs": 1}], "fallback.rules[0].when[0].column"),
        ([{"when": {"column": "city", "below": 3}, "outputs": 1}], "fallback.rules[0].when[0].below"),
        ([{"when": {"column": "age", "at_least": 3, "below": 3}, "outputs": 1}], "fallback.rules[0].when[0]"),
        ([{"when": {"column": "age", "one_of": []}, "outputs": 1}], "fallback.rules[0].when[0].one_of"),
        ([{"when": {"column": "age", "one_of": ["3"]}, "outputs": 1}], "fallback.rules[0].when[0].one_of"),
        ([{"when": {"column": "age", "one_of": [2.5]}, "outputs": 1}], "fallback.rules[0].when[0].one_of"),
        ([{"when": {"column": "age", "one_of": [True]}, "outputs": 1}], "fallback.rules[0].when[0].one_of"),
        ([{"when": {"column": "city", "one_of": [3]}, "outputs": 1}], "fallback.rules[0].when[0].one_of"),
        (
            [{"when": YOUNG, "outputs": 1}, {"when": YOUNG, "outputs": 2}],
            "fallback.rules[1].outputs",
        ),
        ([{"when": YOUNG, "outputs": {"label": 1}}], "fallback.rules[0].outputs"),
        ([{"when": YOUNG, "outputs": None}], "fallback.rules[0].outputs"),
    ],
)
def test_a_wrong_rule_is_named(rules: Any, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        rules_fallback(CLASSIFIER, rules, 0)
    assert str(caught.value.field).startswith(field)
    assert caught.value.expected


def test_a_wrong_otherwise_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        rules_fallback(REGRESSOR, [{"when": YOUNG, "outputs": 1}], "much")
    assert caught.value.field == "fallback.otherwise.value"


@pytest.mark.parametrize(
    "condition",
    [
        {"column": "income", "one_of": [1e39]},
        {"column": "income", "one_of": [True]},
        {"column": "age", "one_of": [2**40]},
        {"column": "member", "one_of": [1]},
        {"column": "member", "at_least": 0},
        {"column": "city", "missing": 1},
    ],
)
def test_a_condition_fits_its_column_or_is_refused(condition: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        rules_fallback(WIDE, [{"when": condition, "outputs": ANSWER}], ANSWER)


def test_a_bound_beyond_the_type_is_a_bound_all_the_same() -> None:
    (rule,) = rules_fallback(
        WIDE, [{"when": {"column": "income", "below": 1e39}, "outputs": ANSWER}], ANSWER
    ).rules
    assert rule.when == (Condition("income", below=1e39),)


@given(st.data())
def test_a_table_that_was_accepted_can_answer_whatever_comes(data: st.DataObject) -> None:
    number = st.integers(-5, 5) | st.floats(-5, 5)
    condition = st.fixed_dictionaries(
        {"column": st.sampled_from(["age", "income", "city", "member", "height"])},
        optional={
            "at_least": number,
            "below": number,
            "one_of": st.lists(number | st.booleans() | st.sampled_from(["voi", "tsavo"]), max_size=2),
            "missing": st.booleans(),
        },
    )
    rules = data.draw(st.lists(st.lists(condition, max_size=2), max_size=2))
    try:
        table = rules_fallback(WIDE, [{"when": when, "outputs": ANSWER} for when in rules], ANSWER)
    except Invalid:
        return
    columns = (
        np.array([1, -3], np.int32),
        np.array([np.nan, 2.0], np.float32),
        np.array([None, "voi"], dtype=object),
        np.array([True, False]),
    )
    value, count = rule_outputs(WIDE, table, Batch(2, None, columns))
    assert (value.tolist(), count.tolist()) == ([[0.5, 1.0]] * 2, [3, 3])


@given(
    st.sampled_from(list(NUMPY_DTYPES)),
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers()),
)
def test_a_value_of_a_type_is_kept_by_it(dtype: DType, value: Any) -> None:
    if not can_be(dtype, value):
        return
    cell = np.empty(1, NUMPY_DTYPES[dtype])
    cell[0] = value
    kept = cell[0].item() if dtype != "string" else cell[0]
    assert type(kept) is (float if dtype.startswith("float") else type(value))
    assert kept == (float(np.float32(value)) if dtype == "float32" else value) or dtype == "float64"
