from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.endpoints import InputReader, InputTensor
from tsavo.vocabulary import Field, Invalid, Output, Signature, TooLarge

MIXED = Signature(
    (
        Field("age", "int64"),
        Field("income", "float64", nullable=True),
        Field("city", "string", nullable=True, categories=("nairobi", "voi"), unseen="flag"),
        Field("plan", "string", categories=("a", "b"), unseen="refuse"),
        Field("active", "bool"),
    ),
    (Output("label", "int64"),),
    "binary",
    (0, 1),
)
NUMBERS = Signature(
    (Field("x", "float64"), Field("y", "float64", nullable=True)), (Output("value", "float64"),), "regression"
)


def columns(**given: Any) -> list[InputTensor]:
    whole: dict[str, Any] = {
        "age": [30],
        "income": [1.5],
        "city": ["voi"],
        "plan": ["a"],
        "active": [True],
    } | given
    return [InputTensor(name, (len(values),), values) for name, values in whole.items()]


def read(signature: Signature, tensors: list[InputTensor], max_rows: int = 100) -> Any:
    return InputReader(signature, max_rows=max_rows).read(tensors)


def refused(signature: Signature, tensors: list[InputTensor], **limits: int) -> Invalid:
    with pytest.raises(Invalid) as caught:
        read(signature, tensors, **limits)
    return caught.value


def test_columns_come_out_in_signature_order_and_type() -> None:
    batch, flags = read(MIXED, list(reversed(columns())))
    assert batch.rows == 1
    assert batch.matrix is None
    assert [column.dtype.kind for column in batch.columns] == ["i", "f", "O", "O", "b"]
    assert [column[0] for column in batch.columns] == [30, 1.5, "voi", "a", True]
    assert flags == {}


def test_columns_of_one_numeric_type_become_one_matrix() -> None:
    batch, _ = read(NUMBERS, [InputTensor("y", (2,), [3, None]), InputTensor("x", (2, 1), [1, 2.5])])
    np.testing.assert_array_equal(batch.matrix, [[1.0, 3.0], [2.5, np.nan]])
    assert batch.matrix.flags.c_contiguous


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]]], ids=["flat", "nested"])
def test_a_matrix_is_read_in_signature_order(data: list[Any]) -> None:
    batch, _ = read(NUMBERS, [InputTensor("anything", (2, 2), data)])
    np.testing.assert_array_equal(batch.matrix, [[1.0, 2.0], [3.0, 4.0]])


def test_a_matrix_serves_mixed_numeric_types() -> None:
    signature = Signature(
        (Field("n", "int64"), Field("x", "float64", nullable=True)),
        (Output("value", "float64"),),
        "regression",
    )
    batch, _ = read(signature, [InputTensor("input", (2, 2), [1, 0.5, 2, None])])
    assert batch.columns[0].tolist() == [1, 2]
    assert batch.columns[0].dtype == np.int64
    np.testing.assert_array_equal(batch.columns[1], [0.5, np.nan])


def test_one_column_models_take_both_forms() -> None:
    signature = Signature((Field("x", "float64"),), (Output("value", "float64"),), "regression")
    for tensor in (
        InputTensor("x", (2,), [1, 2]),
        InputTensor("x", (2, 1), [[1], [2]]),
        InputTensor("m", (2, 1), [1, 2]),
    ):
        batch, _ = read(signature, [tensor])
        assert batch.matrix.tolist() == [[1.0], [2.0]]


def test_missing_values_where_they_are_taken() -> None:
    batch, _ = read(MIXED, columns(income=[None], city=[None]))
    assert np.isnan(batch.columns[1][0])
    assert batch.columns[2][0] is None


@pytest.mark.parametrize(
    ("column", "value"),
    [("age", None), ("plan", None), ("active", None)],
)
def test_missing_values_where_they_are_not_taken_name_column_and_row(column: str, value: None) -> None:
    good = columns()[[tensor.name for tensor in columns()].index(column)].data[0]
    tensors = [
        InputTensor(t.name, (2,), [good, value] if t.name == column else list(t.data) * 2) for t in columns()
    ]
    error = refused(MIXED, tensors)
    assert error.field == f"inputs.{column}[1]"
    assert "missing value" in error.reason


def test_a_missing_value_in_a_matrix_names_the_column() -> None:
    error = refused(NUMBERS, [InputTensor("m", (2, 2), [1, None, None, 4])])
    assert error.field == "inputs.x[1]"


@pytest.mark.parametrize("value", [float("inf"), -float("inf")])
def test_infinite_numbers_are_refused_even_where_missing_ones_are_not(value: float) -> None:
    assert refused(MIXED, columns(income=[value])).field == "inputs.income[0]"
    assert refused(NUMBERS, [InputTensor("m", (1, 2), [1.0, value])]).field == "inputs.y[0]"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("age", "30"),
        ("age", 30.5),
        ("age", True),
        ("age", 2**63),
        ("income", "1.5"),
        ("income", True),
        ("income", {}),
        ("income", 10**400),
        ("city", 1),
        ("plan", False),
        ("active", 1),
        ("active", "true"),
    ],
)
def test_wrong_types_name_the_column(column: str, value: Any) -> None:
    error = refused(MIXED, columns(**{column: [value]}))
    assert error.field is not None
    assert error.field.startswith(f"inputs.{column}")


def test_the_first_wrong_value_is_named_by_its_row() -> None:
    tensors = [InputTensor(t.name, (3,), list(t.data) * 3) for t in columns()]
    tensors[1] = InputTensor("income", (3,), [1.0, "x", "y"])
    assert refused(MIXED, tensors).field == "inputs.income[1]"


def test_whole_floats_are_whole_numbers() -> None:
    batch, _ = read(MIXED, columns(age=[30.0]))
    assert batch.columns[0].dtype == np.int64
    assert batch.columns[0][0] == 30


def test_unseen_categories_are_flagged_or_refused_as_the_model_can_bear() -> None:
    _, flags = read(MIXED, columns(city=["kisumu"]))
    assert flags == {0: ["unseen:city"]}
    error = refused(MIXED, columns(plan=["z"]))
    assert error.field == "inputs.plan[0]"
    assert error.found == "z"
    assert "'a'" in str(error.expected)


def test_missing_unknown_and_double_columns_are_named() -> None:
    assert refused(MIXED, columns()[1:]).field == "inputs.age"
    assert refused(MIXED, [*columns(), InputTensor("shoe", (1,), [1])]).field == "inputs.shoe"
    assert refused(MIXED, [*columns(), columns()[0]]).field == "inputs.age"
    assert refused(MIXED, []).field == "inputs"
    assert "income" in str(refused(MIXED, [columns()[0]]))


def test_batches_without_rows_and_with_too_many() -> None:
    assert "empty" in refused(NUMBERS, [InputTensor("m", (0, 2), [])]).reason
    assert "empty" in refused(MIXED, [InputTensor(t.name, (0,), []) for t in columns()]).reason
    with pytest.raises(TooLarge):
        read(NUMBERS, [InputTensor("m", (3, 2), [0] * 6)], max_rows=2)


@pytest.mark.parametrize(
    "tensor",
    [
        InputTensor("m", (2, 2), [1, 2, 3]),
        InputTensor("m", (2, 2), [[1, 2], [3]]),
        InputTensor("m", (2, 2), [[1, 2], 3]),
        InputTensor("m", (2, 3), [1, 2, 3, 4, 5, 6]),
        InputTensor("m", (4,), [1, 2, 3, 4]),
        InputTensor("m", (1, 1, 2), [1, 2]),
        InputTensor("m", (10**9, 2), [1, 2]),
    ],
)
def test_shapes_that_do_not_fit_are_refused(tensor: InputTensor) -> None:
    with pytest.raises((Invalid, TooLarge)):
        read(NUMBERS, [tensor])


def test_columns_of_different_length_are_refused() -> None:
    tensors = [InputTensor("x", (2,), [1, 2]), InputTensor("y", (1,), [1])]
    assert refused(NUMBERS, tensors).field == "inputs.y"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)


@given(
    st.lists(
        st.builds(
            InputTensor,
            st.sampled_from(["age", "income", "city", "plan", "active", "other"]),
            st.lists(st.integers(0, 4), max_size=3).map(tuple),
            st.lists(JSON, max_size=4),
        ),
        max_size=6,
    )
)
def test_whatever_comes_is_read_or_refused_in_words(tensors: list[InputTensor]) -> None:
    for signature in (MIXED, NUMBERS):
        try:
            batch, _ = read(signature, tensors)
        except (Invalid, TooLarge) as error:
            assert error.reason
        else:
            assert batch.rows >= 1


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=20))
def test_floats_arrive_bit_for_bit(values: list[float]) -> None:
    rows = len(values) // 2
    batch, _ = read(NUMBERS, [InputTensor("m", (rows, 2), values[: rows * 2])])
    assert batch.matrix.tobytes() == np.array(values[: rows * 2]).tobytes()


@pytest.mark.parametrize(
    "values", [[3e9], np.array([3e9]), np.array([-3e9], np.float32), [2**31], [-(2**31) - 1]]
)
def test_whole_numbers_beyond_the_column_are_refused_whatever_they_come_as(values: Any) -> None:
    signature = Signature((Field("n", "int32"),), (Output("value", "float64"),), "regression")
    assert refused(signature, [InputTensor("n", (1,), values)]).field == "inputs.n[0]"


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i2", "u2", "u4", "u8"])
def test_whole_numbers_of_any_type_are_taken(dtype: str) -> None:
    signature = Signature((Field("n", "int32"),), (Output("value", "float64"),), "regression")
    batch, _ = read(signature, [InputTensor("n", (2,), np.array([0, 127], dtype))])
    assert batch.matrix.tolist() == [[0], [127]]


STRINGS = Signature(
    (Field("city", "string", nullable=True, categories=("voi",)), Field("plan", "string")),
    (Output("label", "string"),),
    "binary",
    ("no", "yes"),
)
UNLIKE = Signature(
    (Field("age", "int64"), Field("income", "float64"), Field("member", "bool")),
    (Output("label", "string"),),
    "binary",
    ("no", "yes"),
)


def test_a_matrix_of_strings_is_its_columns() -> None:
    batch, flags = read(STRINGS, [InputTensor("m", (2, 2), ["voi", "a", "lamu", "b"])])
    assert [column.tolist() for column in batch.columns] == [["voi", "lamu"], ["a", "b"]]
    assert flags == {1: ["unseen:city"]}
    assert refused(STRINGS, [InputTensor("m", (1, 2), ["voi", None])]).field == "inputs.plan[0]"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ([30, None, True], "inputs.income[0]"),
        ([30, 1.5, [True]], "inputs.member[0]"),
        ([[30], [1.5], [True]], "inputs.m.data"),
        ([30, True, True], "inputs.income[0]"),
    ],
)
def test_a_matrix_of_unlike_columns_is_read_by_column(values: list[Any], field: str) -> None:
    batch, _ = read(UNLIKE, [InputTensor("m", (2, 3), [30, 1.5, True, 31, 2, False])])
    assert [column.tolist() for column in batch.columns] == [[30, 31], [1.5, 2.0], [True, False]]
    assert refused(UNLIKE, [InputTensor("m", (1, 3), values)]).field == field


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ((2, 3), [[1, 2], [3, 4], [5, 6]]),
        ((1, 2), [[[1], [2]]]),
        ((1, 2), [[[1, 2]]]),
        ((2, 2), [[1, 2], [3, [4]]]),
        ((2, 2), [[[1, 2]], [[3], [4, 5]]]),
        ((2, 1), [[1, 2]]),
    ],
)
def test_data_nested_in_another_way_than_the_shape_is_refused(
    shape: tuple[int, int], data: list[Any]
) -> None:
    fields = tuple(Field(f"x{column}", "float64", nullable=True) for column in range(shape[1]))
    signature = Signature(fields, (Output("value", "float64"),), "regression")
    assert (refused(signature, [InputTensor("m", shape, data)]).field or "").startswith("inputs.m")
    assert (refused(UNLIKE, [InputTensor("m", (1, 3), data)]).field or "").startswith("inputs.")


def test_a_column_is_not_nested_deeper_than_its_shape() -> None:
    one = Signature((Field("x", "float64"),), (Output("value", "float64"),), "regression")
    for data in ([[[1], [2]]], [[[1]], [[2]]], [[1, 2]], [[[1, 2]], [[3, 4]]]):
        refused(one, [InputTensor("x", (2, 1), data)])


def test_the_largest_numbers_beside_a_missing_one() -> None:
    batch, _ = read(NUMBERS, columns_of(x=[1.0, 1.0], y=[1.7e308, None]))
    assert batch.matrix[0, 1] == 1.7e308
    assert refused(NUMBERS, columns_of(x=[1.0, 1.0], y=[2**1024, None])).field == "inputs.y[0]"
    assert refused(NUMBERS, columns_of(x=[1.0, 1.0], y=[True, None])).field == "inputs.y[0]"


def columns_of(**given: list[Any]) -> list[InputTensor]:
    return [InputTensor(name, (len(values),), values) for name, values in given.items()]
