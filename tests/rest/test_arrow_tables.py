from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rest.scoring_world import MIXED, NAMES, REQUEST, ROWS, an_answer, texts
from tsavo.endpoints import InputReader
from tsavo.rest.arrow_tables import decode_table, encode_table
from tsavo.vocabulary import (
    DType,
    Field,
    Invalid,
    Output,
    Signature,
    TooLarge,
    TsavoError,
    Unreadable,
)

COLUMNS = {name: [row[at] for row in ROWS] for at, name in enumerate(NAMES)}
TABLE = pa.table(COLUMNS)


def stream(table: pa.Table, rows: int | None = None, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema, options=pyarrow.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return bytes(sink.getvalue())


def read(table: pa.Table, signature: Signature = MIXED, rows: int | None = None) -> dict[str, list[Any]]:
    """What the model gets, missing values as None."""
    tensors = decode_table(stream(table, rows), signature, max_rows=1000)
    batch, _ = InputReader(signature, max_rows=1000).read(tensors)
    columns = list(batch.matrix.T) if batch.matrix is not None else batch.columns
    return {
        field.name: [None if value != value else value for value in column.tolist()]
        for field, column in zip(signature.inputs, columns, strict=True)
    }


def one(dtype: DType, nullable: bool = True) -> Signature:
    """A model with one column of this type."""
    return Signature((Field("x", dtype, nullable),), (Output("value", "float64"),), "regression")


def pair(dtype: DType) -> Signature:
    fields = (Field("x", dtype, nullable=True), Field("y", dtype, nullable=True))
    return Signature(fields, (Output("value", "float64"),), "regression")


@pytest.mark.parametrize("rows", [None, 1, 2])
def test_columns_of_every_kind_in_any_order_and_any_number_of_batches(rows: int | None) -> None:
    expected = COLUMNS | {"size": [None if x is None else float(np.float32(x)) for x in COLUMNS["size"]]}
    assert read(TABLE, rows=rows) == expected
    assert read(TABLE.select(NAMES[::-1]), rows=rows) == expected


WORDS = ["Genève", None, "", "voi", "voi"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(WORDS),
        pa.array(WORDS, pa.large_string()),
        pa.array(WORDS, pa.string_view()),
        pa.array(WORDS).dictionary_encode(),
        pa.array(WORDS, pa.large_string()).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 3, 3], pa.uint8()), pa.array(WORDS[:4])),
        pa.DictionaryArray.from_arrays(
            pa.array([3, None, 2, 0, 0]), pa.array(["voi", "x", "", "Genève"], pa.string_view())
        ),
    ],
    ids=lambda column: str(column.type)[:50],
)
@pytest.mark.parametrize("rows", [None, 2])
def test_text_of_every_type(column: pa.Array, rows: int | None) -> None:
    assert read(pa.table({"x": column}), one("string"), rows) == {"x": WORDS}


NUMBERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]


@pytest.mark.parametrize("kind", NUMBERS + FLOATS, ids=str)
@pytest.mark.parametrize("rows", [None, 2])
def test_numbers_of_every_type_with_missing_ones(kind: pa.DataType, rows: int | None) -> None:
    values = [3, None, 7, 0, None]
    plain = pa.array(values, kind)
    for column in (plain, plain if kind in FLOATS[:1] else plain.dictionary_encode()):
        assert read(pa.table({"x": column}), one("float64"), rows) == {"x": values}
        assert read(pa.table({"x": column, "y": column}), pair("float32"), rows) == {"x": values, "y": values}


@pytest.mark.parametrize("kind", NUMBERS + FLOATS, ids=str)
def test_whole_numbers_of_every_type(kind: pa.DataType) -> None:
    column = pa.array([3, 7, 0], kind)
    assert read(pa.table({"x": column}), one("int64", nullable=False)) == {"x": [3, 7, 0]}


def test_numbers_keep_all_their_bits() -> None:
    whole = [2**63 - 1, -(2**63), 2**53 + 1]
    assert read(pa.table({"x": whole}), one("int64", nullable=False)) == {"x": whole}
    floats = [5e-324, -0.0, 1.7976931348623157e308, 0.1]
    signature = pair("float64")
    tensors = decode_table(stream(pa.table({"y": floats, "x": floats})), signature, max_rows=10)
    assert InputReader(signature, max_rows=10).read(tensors)[0].matrix.tobytes() == (  # type: ignore[union-attr]
        np.array([floats, floats]).T.tobytes()
    )


def test_a_matrix_has_the_order_of_the_signature_and_nan_for_nulls() -> None:
    table = pa.table({"y": [1.0, None, 3.0], "x": [4.0, 5.0, None]})
    for rows in (None, 1):
        assert read(table, pair("float64"), rows) == {"x": [4.0, 5.0, None], "y": [1.0, None, 3.0]}


def test_columns_of_nothing_but_nulls() -> None:
    table = pa.table({"x": pa.nulls(2)})
    assert read(table, one("float64")) == {"x": [None, None]}
    assert read(table, one("string")) == {"x": [None, None]}
    nothing = pa.table({"x": pa.nulls(2).dictionary_encode()})
    assert read(nothing, one("string")) == {"x": [None, None]}
    assert read(nothing, one("float64")) == {"x": [None, None]}


@pytest.mark.parametrize("dtype", ["int64", "bool", "float64", "string"])
@pytest.mark.parametrize("rows", [None, 2])
def test_a_null_where_none_may_be_is_named(dtype: DType, rows: int | None) -> None:
    values: dict[str, list[Any]] = {
        "int64": [1, 2, 3, None],
        "bool": [True, False, True, None],
        "float64": [1.5, 2.5, 3.5, None],
        "string": ["a", "b", "c", None],
    }
    with pytest.raises(Invalid, match="missing value") as caught:
        read(pa.table({"x": values[dtype]}), one(dtype, nullable=False), rows)
    assert str(caught.value.field).endswith("x[3]")


@pytest.mark.parametrize(
    ("dtype", "column"),
    [
        ("string", pa.array([1, 2])),
        ("string", pa.array([b"a", b"b"])),
        ("string", pa.array([date(2026, 1, 1)])),
        ("float64", pa.array(["1", "2"])),
        ("float64", pa.array([Decimal("1.5")])),
        ("float64", pa.array([datetime(2026, 1, 1)])),
        ("int64", pa.array([date(2026, 1, 1)])),
        ("float64", pa.array([[1.0]])),
        ("float64", pa.array([{"a": 1.0}])),
        ("float64", pa.array(["1"]).dictionary_encode()),
        ("float64", pa.RunEndEncodedArray.from_arrays([1, 1000], [1.5, 2.5])),
    ],
    ids=str,
)
def test_types_that_no_model_takes_are_refused_by_name(dtype: DType, column: pa.Array) -> None:
    with pytest.raises(Invalid, match="wrong type in column 'x'") as caught:
        read(pa.table({"x": column}), one(dtype))
    assert caught.value.field == "body.x"
    assert caught.value.found == str(column.type)


def test_a_truth_is_no_number_and_a_number_no_truth() -> None:
    for dtype, values in (("float64", [True]), ("bool", [1]), ("int64", [True])):
        with pytest.raises(Invalid, match="wrong type"):
            read(pa.table({"x": values}), one(dtype, nullable=False))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (TABLE.drop_columns(["age", "city"]), "missing: age, city"),
        (TABLE.append_column("zip", [[1, 2, 3]]), "'zip' is none of"),
        (TABLE.append_column("age", [[1, 2, 3]]), "'age' is there twice"),
        (TABLE.slice(0, 0), "no rows"),
        (pa.table({}), "missing"),
    ],
)
def test_tables_that_do_not_fit(table: pa.Table, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read(table)


def test_an_index_of_pandas_is_explained() -> None:
    with pytest.raises(Invalid) as caught:
        read(TABLE.append_column("__index_level_0__", [[1, 2, 3]]))
    assert "preserve_index=False" in str(caught.value.next_step)


def test_rows_are_counted_before_they_are_made() -> None:
    # Nulls take no bytes on their way.
    batch = pa.record_batch({"x": pa.nulls(10_000_000)})
    sink = pa.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    assert len(sink.getvalue()) < 1000
    with pytest.raises(TooLarge, match="too many rows"):
        decode_table(bytes(sink.getvalue()), one("float64"), max_rows=1000)
    entries = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.nulls(10_000_000))
    with pytest.raises(TooLarge, match="entries of dictionaries"):
        decode_table(stream(pa.table({"x": entries})), one("string"), max_rows=1000)
    many = stream(pa.table({"x": np.zeros(1001)}), 10)
    with pytest.raises(TooLarge, match="too many rows"):
        decode_table(many, one("float64"), max_rows=1000)
    assert decode_table(many, one("float64"), max_rows=1001)[0].shape == (1001,)
    with pytest.raises(TooLarge, match="too many rows"):
        decode_table(stream(pa.table({"x": np.zeros(1001)}), 1), one("float64"), max_rows=2000)


@pytest.mark.parametrize("kind", ["dictionary", "view", "dictionary of views"])
def test_text_is_counted_before_it_is_written_out(kind: str) -> None:
    page = "x" * (1 << 20)
    if kind == "view":
        views = pa.array([page], pa.string_view())
        header = views.buffers()[1].to_pybytes()
        column = pa.StringViewArray.from_buffers(
            pa.string_view(), 100, [None, pa.py_buffer(header * 100), views.buffers()[2]]
        )
    else:
        pages = pa.array([page], pa.string_view() if "views" in kind else pa.string())
        column = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int8()), pages)
    body = stream(pa.table({"x": column}))
    assert len(body) < 2 << 20
    with pytest.raises(TooLarge, match="too much text"):
        decode_table(body, one("string"), max_rows=1000)
    fewer = decode_table(stream(pa.table({"x": column.slice(3, 10)})), one("string"), max_rows=1000)
    assert [len(text) for text in fewer[0].data] == [1 << 20] * 10


def test_entries_that_no_row_uses_are_counted_too() -> None:
    views = pa.array(["x" * (1 << 20)], pa.string_view())
    header, text = views.buffers()[1].to_pybytes(), views.buffers()[2]
    pages = pa.StringViewArray.from_buffers(pa.string_view(), 1000, [None, pa.py_buffer(header * 1000), text])
    column = pa.DictionaryArray.from_arrays(pa.array([7, None], pa.int16()), pages)
    with pytest.raises(TooLarge, match="too much text"):
        decode_table(stream(pa.table({"x": column})), one("string"), max_rows=1000)


def test_text_is_counted_over_all_columns() -> None:
    page = pa.array(["x" * (1 << 20)])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 15, pa.int8()), page)
    fields = tuple(Field(name, "string", nullable=True) for name in "abcd")
    signature = Signature(fields, (Output("value", "float64"),), "regression")
    with pytest.raises(TooLarge, match="too much text") as caught:
        decode_table(stream(pa.table(dict.fromkeys("abcd", column))), signature, max_rows=1000)
    assert caught.value.field == "body.b"


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_streams_are_refused_in_words(compression: str) -> None:
    with pytest.raises(Unreadable, match="compressed"):
        decode_table(stream(TABLE, compression=compression), MIXED, max_rows=1000)


def test_streams_of_before_arrow_1_are_refused() -> None:
    old = stream(TABLE, metadata_version=pyarrow.ipc.MetadataVersion.V4)
    with pytest.raises(Unreadable, match=r"before Arrow 1\.0"):
        decode_table(old, MIXED, max_rows=1000)


def test_indices_that_point_outside_their_dictionary_are_refused() -> None:
    sound = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 0x55555555], pa.int32()), pa.array(["a"]), safe=False
    )
    with pytest.raises(Unreadable):
        decode_table(stream(pa.table({"x": sound})), one("string"), max_rows=1000)


def test_text_that_is_no_utf8_is_refused() -> None:
    broken = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    with pytest.raises(Unreadable):
        decode_table(stream(pa.table({"x": broken})), one("string"), max_rows=1000)


SEEDS = [
    stream(pa.table({"x": column}), rows)
    for column in (pa.array(WORDS), pa.array(WORDS).dictionary_encode(), pa.array(WORDS, pa.string_view()))
    for rows in (None, 2)
]


@given(st.sampled_from(SEEDS), st.data())
def test_damaged_streams_are_read_or_refused(seed: bytes, data: st.DataObject) -> None:
    damaged = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        noise = data.draw(st.binary(min_size=1, max_size=8))
        damaged[at : at + data.draw(st.sampled_from([0, len(noise), 64]))] = noise
    try:
        decode_table(bytes(damaged), one("string"), max_rows=100)
    except TsavoError as error:
        assert error.reason


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"ARROW1\0\0", b"\xff" * 8, b"\xff\xff\xff\xff\xff\xff\xff\x7f"]
)
def test_what_is_no_stream_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable, match="not a valid Arrow IPC stream"):
        decode_table(body, MIXED, max_rows=100)


def read_answer(body: bytes) -> pa.Table:
    table = pyarrow.ipc.open_stream(body).read_all()
    table.validate(full=True)
    return table


def test_an_answer_has_ids_outputs_and_flags() -> None:
    shares: npt.NDArray[Any] = np.array([[0.9, 0.1], [0.25, 0.75]], np.float32)
    answer = an_answer(
        MIXED, texts("no", "yes"), shares, row_flags={1: ["unseen:city"]}, flags=("fallback:plug",)
    )
    table = read_answer(encode_table(answer, None))
    assert table.column_names == ["decision_id", "label", "probabilities", "flags"]
    assert table["decision_id"].to_pylist() == [f"{REQUEST}:0", f"{REQUEST}:1"]
    assert table["label"].to_pylist() == ["no", "yes"]
    assert table.schema.field("probabilities").type == pa.list_(pa.float32(), 2)
    assert np.array(table["probabilities"].to_pylist(), np.float32).tobytes() == shares.tobytes()
    assert table["flags"].to_pylist() == [[], ["unseen:city"]]
    assert json.loads(table.schema.field("probabilities").metadata[b"classes"]) == ["no", "yes"]
    assert table.schema.metadata == {
        b"tsavo.endpoint": b"e",
        b"tsavo.version": b"credit@3",
        b"tsavo.role": b"champion",
        b"tsavo.flags": b'["fallback:plug"]',
    }
    assert read_answer(encode_table(answer, ["label"])).column_names == ["decision_id", "label", "flags"]


def test_a_missing_prediction_is_null_and_names_of_ours_are_kept_apart() -> None:
    outputs = (Output("flags", "float64"), Output("decision_id", "bool"), Output("rank", "int64", 2))
    signature = Signature(one("float64").inputs, outputs, "generic")
    wide = np.array([[1, 2**62], [3, 4]])
    answer = an_answer(signature, np.array([np.nan, 1.5]), np.array([True, False]), wide)
    table = read_answer(encode_table(answer, None))
    assert table.column_names == ["decision_id", "output.flags", "output.decision_id", "rank", "flags"]
    assert table["output.flags"].to_pylist() == [None, 1.5]
    assert table["output.decision_id"].to_pylist() == [True, False]
    assert table["rank"].to_pylist() == wide.tolist()
    assert table["flags"].to_pylist() == [[], []]


def test_an_answer_of_very_many_rows() -> None:
    signature = one("float64")
    table = read_answer(encode_table(an_answer(signature, np.arange(5000.0)), None))
    assert table["decision_id"].to_pylist() == [f"{REQUEST}:{row}" for row in range(5000)]
