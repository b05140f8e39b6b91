from __future__ import annotations

import csv
import io
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rest.scoring_world import MIXED, NAMES, RECORDS, ROWS
from tsavo.endpoints import InputTensor
from tsavo.rest.scoring_tables import decode_json, from_columns, from_csv, from_rows
from tsavo.vocabulary import Field, Invalid, Output, Signature, TsavoError, Unreadable

ONE_COLUMN = Signature((Field("x", "float64"),), (Output("value", "float64"),), "regression")
ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder(dict[str, list[Any]])


def columns_of(tensors: list[InputTensor]) -> dict[str, list[Any]]:
    for tensor in tensors:
        assert tensor.shape[0] == len(tensor.data)
    return {tensor.name: list(tensor.data) for tensor in tensors}


COLUMNS = {name: [row[at] for row in ROWS] for at, name in enumerate(NAMES)}


def test_rows_in_any_form_are_the_same_columns() -> None:
    backwards = [dict(reversed(row.items())) for row in RECORDS]
    cut = [row[::-1] for row in ROWS]
    assert columns_of(from_rows(ROWS, MIXED, "rows")) == COLUMNS
    assert columns_of(from_rows(RECORDS, MIXED, "rows")) == COLUMNS
    assert columns_of(from_rows(backwards, MIXED, "rows")) == COLUMNS
    assert columns_of(from_rows(cut, MIXED, "data", NAMES[::-1])) == COLUMNS
    assert columns_of(from_columns(COLUMNS, "inputs")) == COLUMNS


def test_a_model_of_one_column_takes_bare_values() -> None:
    for rows in ([1.5, None], [[1.5], [None]], [{"x": 1.5}, {"x": None}]):
        assert columns_of(from_rows(rows, ONE_COLUMN, "instances")) == {"x": [1.5, None]}
    (tensor,) = from_columns({"x": [[1.5], [2.5]]}, "inputs")
    assert tensor.shape == (2, 1)


@pytest.mark.parametrize(
    ("rows", "field", "words"),
    [
        ([], "rows", "no rows"),
        ([7], "rows[0]", "not a row"),
        ([RECORDS[0], {"age": 1}], "rows[1].income", "missing: income, member, city, size"),
        ([RECORDS[0], RECORDS[1] | {"zip": 1}], "rows[1].zip", "no column 'zip'"),
        ([RECORDS[0], ROWS[1]], "rows[1]", "all rows must be objects"),
        ([RECORDS[0], None], "rows[1]", "all rows must be objects"),
        ([ROWS[0], RECORDS[1]], "rows[1]", "not a row of this model"),
        ([ROWS[0], ROWS[1][:4]], "rows[1]", "not a row of this model"),
    ],
)
def test_rows_that_do_not_fit_are_named(rows: list[Any], field: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        from_rows(rows, MIXED, "rows")
    assert caught.value.field == field


def test_a_column_that_is_no_list_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        from_columns({"age": [1], "income": 3}, "inputs")
    assert caught.value.field == "inputs.income"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=3) | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=4), st.none() | st.just(NAMES[:2]))
def test_anything_becomes_columns_or_is_refused(rows: list[Any], columns: list[str] | None) -> None:
    try:
        tensors = from_rows(rows, MIXED, "rows", columns)
    except Invalid as error:
        assert str(error.field).startswith("rows")
    else:
        assert {tensor.shape for tensor in tensors} == {(len(rows),)}


def test_a_bare_nan_is_a_missing_value_and_infinity_is_refused() -> None:
    assert decode_json(b'{"a": [1.5, NaN, "NaN"]}', ANYTHING, "x") == {"a": [1.5, None, "NaN"]}
    with pytest.raises(Unreadable, match="Infinity"):
        decode_json(b'{"a": [Infinity, NaN]}', ANYTHING, "x")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"a": NaN', b'{"a": ' + b"[" * 100_000, b"NaN["])
def test_what_is_not_json_cannot_be_read(body: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        decode_json(body, ANYTHING, "an object")
    assert caught.value.expected == "an object"


@pytest.mark.parametrize("body", [b"[]", b'{"a": 1}', b'{"a": NaN}', b'{"b": [NaN], "a": 5}'])
def test_json_of_another_shape_is_invalid(body: bytes) -> None:
    with pytest.raises(Invalid):
        decode_json(body, ANYTHING, "an object")


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for read in (lambda: decode_json(body, ANYTHING, "x"), lambda: from_csv(body, MIXED)):
        try:
            read()
        except TsavoError as error:
            assert error.reason


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=5)


@given(
    st.lists(st.tuples(st.integers(-(2**53), 2**53), st.floats(allow_infinity=False), st.booleans(), CELLS))
)
def test_csv_is_read_back_as_pandas_wrote_it(rows: list[Any]) -> None:
    frame = pd.DataFrame(rows, columns=["age", "income", "member", "city"])
    written = frame.to_csv(index=False).encode()
    if not rows:
        with pytest.raises(Invalid, match="no rows"):
            from_csv(written, MIXED)
        return
    read = columns_of(from_csv(written, MIXED))
    expected = {name: [None if value != value else value for value in frame[name].tolist()] for name in frame}
    assert read == expected


def test_in_csv_text_stays_text_and_an_empty_cell_is_missing() -> None:
    body = "\ufeffcity,age,income,member\nNA,3.0,,TRUE\n007, 4 ,nan,0\n,5,x,maybe\n".encode()
    read = columns_of(from_csv(body, MIXED))
    assert read["city"] == ["NA", "007", None]
    assert read["age"] == [3.0, 4, 5]
    assert read["income"][0] is None
    assert read["income"][1] != read["income"][1]
    # What is no number stays what it is, and the data plane refuses it by its row.
    assert read["income"][2] == "x"
    assert read["member"] == [True, False, "maybe"]


@pytest.mark.parametrize("cell", ["1_0", "null", "true", "1,2", "]", "[1]", "x", "0x1", '"1"'])
@pytest.mark.parametrize("beside", ["7", "", "+7"])
def test_what_is_no_number_in_csv_stays_text(cell: str, beside: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["age", "income"], [cell, cell], [beside, beside]])
    other = 7 if beside else None
    read = columns_of(from_csv(buffer.getvalue().encode(), MIXED))
    assert read == {"age": [cell, other], "income": [cell, other]}


def test_numbers_in_csv_may_be_written_in_any_usual_way() -> None:
    for cell, value in (("+7", 7), ("007", 7), ("7.0", 7), ("7.", 7), ("7e0", 7), (" 7 ", 7), (".7e1", 7)):
        read = columns_of(from_csv(f"age,income\n{cell},{cell}\n".encode(), MIXED))
        assert read == {"age": [value], "income": [value]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no rows"),
        (b"age\n", "no rows"),
        (b",age\n0,3\n", "no name"),
        (b"age,income\n1\n", "row 0 has 1 cells"),
        (b"age\n\xff\n", "not valid CSV"),
        (b'age,city\n1,"x\n', "not valid CSV"),
        (b"age,city\n1," + b"x" * 200_000, "not valid CSV"),
    ],
)
def test_what_is_no_table_is_refused(body: bytes, words: str) -> None:
    with pytest.raises((Invalid, Unreadable), match=words):
        from_csv(body, MIXED)


def test_an_index_in_csv_is_explained() -> None:
    buffer = io.StringIO()
    pd.DataFrame({"x": [1.0]}).to_csv(buffer)
    with pytest.raises(Invalid) as caught:
        from_csv(buffer.getvalue().encode(), ONE_COLUMN)
    assert "index=False" in str(caught.value.next_step)


@pytest.mark.parametrize(
    "body", [b'{"x": [NaN, "\\ud800"]}', b'{"\\udfff": [NaN]}', b'{"x": ["\\ud800", NaN, "\\u0041"]}']
)
def test_half_a_character_is_no_text(body: bytes) -> None:
    with pytest.raises(Unreadable):
        decode_json(body, ANYTHING, "columns")
    whole = decode_json(b'{"x": [NaN, "\\ud83d\\udc18"]}', ANYTHING, "columns")
    assert whole == {"x": [None, "\N{ELEPHANT}"]}


@pytest.mark.parametrize("rows", [[{}], [[]], [1]])
def test_a_table_without_columns_is_refused(rows: list[Any]) -> None:
    with pytest.raises(Invalid) as refused:
        from_rows(rows, MIXED, "dataframe_split.data", [])
    assert refused.value.field == "dataframe_split.data"
