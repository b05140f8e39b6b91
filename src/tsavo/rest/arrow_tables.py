"""Tables as Arrow IPC streams: requests in, answers out.

Bytes from outside are believed in nothing: rows are counted before a batch is decoded, each batch is validated whole,
and types that can stand for much more than they hold are looked at before they are spread out.

Specification: Apache Arrow, "Columnar Format", section "IPC Streaming Format".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from tsavo.endpoints import Answer, InputTensor
from tsavo.rest.arrow_messages import read_batch_header
from tsavo.rest.scoring_answers import chosen, column_name
from tsavo.vocabulary import Field, Invalid, Output, Signature, TooLarge, Unreadable

__all__ = ["decode_table", "encode_table"]

# Text may be named many times over; spread out it may have the size of the body and this much more.
_MORE_TEXT: Final = 16 << 20
# Each is validated with its dictionaries, however few rows it has.
_MOST_BATCHES: Final = 1_000
# The row numbers of nearly all answers, as text.
_ROW_NUMBERS: Final = pa.array(np.arange(4096)).cast(pa.string())
_NO_READER_THREADS: Final = pyarrow.ipc.IpcReadOptions(
    use_threads=False, ensure_alignment=pyarrow.ipc.Alignment.DataTypeSpecific
)
_EXPECTED: Final = "an Arrow IPC stream (metadata version 5) without compression"


def decode_table(body: bytes, signature: Signature, *, max_rows: int) -> list[InputTensor]:
    """Read a stream of record batches: one column for each of the model's, by name, in any order.

    Nulls and NaN are missing values. Text may be ``string``, ``large_string``, ``string_view``, or a dictionary of one
    of them; numbers may be any integers and floats. Dates, times, decimals and nested types are refused, since no model
    was registered with such columns.

    Raises
    ------
    Unreadable
        When it is not such a stream.
    Invalid
        Naming the column that is missing, unknown, of a type that does not suit, or has a null where none may be.
    TooLarge
        For more than `max_rows` rows, or too much text.
    """
    try:
        _look_ahead(body, max_rows)
        with pyarrow.ipc.open_stream(pa.py_buffer(body), options=_NO_READER_THREADS) as reader:
            fields = _fields_in_order(reader.schema, signature)
            batches = list(_validated(reader))
        rows = sum(batch.num_rows for batch in batches)
        if rows == 0:
            raise Invalid("there are no rows", field="body", found="0 rows", expected="at least one row")
        if _is_matrix(reader.schema, signature):
            return [_matrix(batches, signature)]
        columns = [[batch.column(at) for batch in batches] for at in range(len(fields))]
        _check_text(fields, columns, len(body) + _MORE_TEXT)
        return [
            InputTensor(field.name, (rows,), _column(field, chunks))
            for field, chunks in zip(fields, columns, strict=True)
        ]
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise Unreadable(
            f"the body is not a valid Arrow IPC stream: {str(error)[:200]}", field="body", expected=_EXPECTED
        ) from error


def _is_matrix(schema: Any, signature: Signature) -> bool:
    """Whether all columns are floats of the one type that the model takes."""
    kind = {"float64": pa.float64(), "float32": pa.float32()}.get(signature.matrix_dtype or "")
    return kind is not None and len(schema) > 1 and set(schema.types) == {kind}


def _matrix(batches: Sequence[Any], signature: Signature) -> InputTensor:
    """One matrix in signature order, as it travels on; nulls are NaN."""
    names = [field.name for field in signature.inputs]
    parts = [batch.select(names).to_tensor(null_to_nan=True).to_numpy() for batch in batches]
    matrix = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return InputTensor("body", matrix.shape, matrix)


def _look_ahead(body: bytes, max_rows: int) -> None:
    """Count rows and entries of dictionaries, and see compression, in the headers of all messages."""
    rows = entries = batches = 0
    for message in _messages(body):
        if message.metadata_version != pyarrow.ipc.MetadataVersion.V5:
            # Before Arrow 1.0 compression was marked elsewhere.
            raise Unreadable("the stream is of a version before Arrow 1.0", field="body", expected=_EXPECTED)
        header = read_batch_header(memoryview(message.metadata))
        if header is None:
            continue
        if header.compressed:
            raise Unreadable(
                "the stream is compressed",
                field="body",
                expected=_EXPECTED,
                next_step="write it without compression",
            )
        batches += 1
        if header.dictionary:
            entries += header.rows
        else:
            rows += header.rows
        if header.rows < 0 or max(rows, entries) > max_rows or batches > _MOST_BATCHES:
            raise TooLarge(
                "too many rows in one request",
                field="body",
                found=f"{rows} rows and {entries} entries of dictionaries in {batches} batches, or more",
                expected=f"at most {max_rows} rows, and as many entries, in {_MOST_BATCHES} batches",
                next_step="send them in several requests",
            )


def _messages(body: bytes) -> Iterator[Any]:
    reader = pyarrow.ipc.MessageReader.open_stream(pa.py_buffer(body))
    try:
        while True:
            yield reader.read_next_message()
    except StopIteration:
        return


def _validated(reader: Any) -> Iterator[Any]:
    for batch in reader:
        batch.validate(full=True)
        if batch.num_rows:
            yield batch


def _fields_in_order(schema: Any, signature: Signature) -> list[Field]:
    """The model's field for each column of the schema."""
    known = {field.name: field for field in signature.inputs}
    given = set(schema.names)
    missing = [name for name in known if name not in given]
    if missing:
        raise Invalid(
            f"{'a column is' if len(missing) == 1 else 'columns are'} missing: {', '.join(missing[:10])}",
            field=f"body.{missing[0]}",
            found=schema.names[:20],
            expected=f"a column for each of {list(known)[:50]}",
        )
    fields: list[Field] = []
    for name, kind in zip(schema.names, schema.types, strict=True):
        if name not in known or name not in given:
            raise _not_a_column(name, known)
        given.remove(name)
        field = known[name]
        if not _suits(kind, field):
            raise Invalid(
                f"a wrong type in column '{name}'",
                field=f"body.{name}",
                found=str(kind)[:200],
                expected="text" if field.dtype == "string" else "numbers or booleans",
                next_step="convert it as it was converted for training",
            )
        fields.append(field)
    return fields


def _not_a_column(name: str, known: dict[str, Field]) -> Invalid:
    why = "is there twice" if name in known else "is none of this model's"
    index = name.startswith("__index_level_")
    return Invalid(
        f"column '{name[:100]}' {why}",
        field=f"body.{name[:100]}",
        found=name,
        expected=f"only {list(known)[:50]}",
        next_step="leave the index out: Table.from_pandas(frame, preserve_index=False)" if index else None,
    )


def _suits(kind: Any, field: Field) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_null(kind):
        return True
    if field.dtype == "string":
        return any(is_text(kind) for is_text in _TEXTS)
    return any(is_number(kind) for is_number in _NUMBERS)


_TEXTS: Final = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_NUMBERS: Final = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)


def _column(field: Field, chunks: Sequence[Any]) -> npt.NDArray[Any]:
    _check_nulls(field, chunks)
    arrays = [_texts(chunk) if field.dtype == "string" else _numbers(chunk) for chunk in chunks]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _check_nulls(field: Field, chunks: Sequence[Any]) -> None:
    if field.nullable:
        return
    row = 0
    for chunk in chunks:
        if chunk.null_count:
            row += pc.is_null(chunk).index(True).as_py()
            raise Invalid(
                f"a missing value in column '{field.name}', which this model does not take",
                field=f"body.{field.name}[{row}]",
                found="null",
            )
        row += len(chunk)


def _check_text(fields: Sequence[Field], columns: Sequence[Sequence[Any]], limit: int) -> None:
    """Refuse more text than `limit` bytes, counted as if every row and every entry of a dictionary had its own."""
    size = 0
    for field, chunks in zip(fields, columns, strict=True):
        if field.dtype != "string":
            continue
        size += sum(_text_bytes(chunk) for chunk in chunks)
        if max(size, *(_dictionary_bytes(chunk) for chunk in chunks)) > limit:
            raise TooLarge(
                "too much text",
                field=f"body.{field.name}",
                expected=f"at most {limit} bytes when every row is written out",
                next_step="send fewer rows in each request",
            )


def _text_bytes(chunk: Any) -> int:
    """Bytes of the rows' texts in dictionaries and views, which name one text many times; others have their own."""
    if pa.types.is_dictionary(chunk.type):
        return int(_lengths(chunk.dictionary)[_indices(chunk)].sum())
    return int(_lengths(chunk).sum()) if pa.types.is_string_view(chunk.type) else 0


def _dictionary_bytes(chunk: Any) -> int:
    return int(_lengths(chunk.dictionary).sum()) if pa.types.is_dictionary(chunk.type) else 0


def _indices(chunk: Any) -> npt.NDArray[np.int64]:
    """Which entry of its dictionary each row has that is not null."""
    indices: npt.NDArray[np.int64] = chunk.indices.drop_null().cast(pa.int64()).to_numpy()
    return indices


def _lengths(texts: Any) -> npt.NDArray[np.int64]:
    if pa.types.is_null(texts.type):
        return np.zeros(len(texts), np.int64)
    if pa.types.is_string_view(texts.type):
        # A view has 16 bytes, of which the first four are the length.
        views = np.frombuffer(texts.buffers()[1] or b"", np.int32).reshape(-1, 4)
        lengths = views[texts.offset : texts.offset + len(texts), 0].astype(np.int64)
        return np.where(texts.is_null().to_numpy(zero_copy_only=False), 0, lengths)
    counted: npt.NDArray[np.int64] = pc.fill_null(pc.binary_length(texts).cast(pa.int64()), 0).to_numpy()
    return counted


def _texts(chunk: Any) -> npt.NDArray[Any]:
    """Object array of `str` and ``None``; equal texts of a dictionary are one object."""
    if pa.types.is_null(chunk.type):
        return np.full(len(chunk), None, dtype=object)
    if not pa.types.is_dictionary(chunk.type):
        array: npt.NDArray[Any] = chunk.to_numpy(zero_copy_only=False)
        return array
    # Only entries that rows use are made, for a long dictionary may come with each of many short batches.
    used, which = np.unique(_indices(chunk), return_inverse=True)
    entries = chunk.dictionary
    if pa.types.is_string_view(entries.type):
        entries = entries.cast(pa.large_string())
    values = np.empty(len(used), dtype=object)
    values[:] = entries.take(pa.array(used)).to_pylist()
    spread = np.full(len(chunk), None, dtype=object)
    spread[chunk.indices.is_valid().to_numpy(zero_copy_only=False)] = values[which]
    return spread


def _numbers(chunk: Any) -> npt.NDArray[Any]:
    """Numbers as they came, or floats with NaN where one is missing."""
    if pa.types.is_null(chunk.type):
        return np.full(len(chunk), np.nan)
    if pa.types.is_dictionary(chunk.type):
        return _numbers(chunk.dictionary_decode())
    if pa.types.is_boolean(chunk.type) and chunk.null_count:
        chunk = chunk.cast(pa.int8())
    array: npt.NDArray[Any] = chunk.to_numpy(zero_copy_only=False)
    return array


def encode_table(answer: Answer, wanted: Sequence[str] | None) -> bytes:
    """One record batch: ``decision_id`` (null when not recorded), the outputs, and a list of ``flags`` for each row.

    Where several versions answered, ``version`` and ``role`` say who answered each row. An output of several values a
    row is a fixed-size list; the metadata of the probabilities' field name the classes.
    What holds for all rows is in the schema's metadata: ``tsavo.endpoint``, ``tsavo.version``, ``tsavo.role`` and
    ``tsavo.flags`` (a JSON array).
    """
    if answer.recorded:
        columns = [pc.binary_join_element_wise(answer.request, _row_numbers(answer.rows), ":")]
    else:
        columns = [pa.nulls(answer.rows, pa.string())]
    fields = [pa.field("decision_id", pa.string(), nullable=not answer.recorded)]
    for output, values in chosen(answer, wanted):
        column = _output(values)
        columns.append(column)
        fields.append(pa.field(column_name(output.name), column.type, metadata=_classes(answer, output)))
    for name, told in (("version", answer.row_versions), ("role", answer.row_roles)):
        if told:
            columns.append(pa.array(map(str, told), pa.string()))
            fields.append(pa.field(name, pa.string(), nullable=False))
    flags = _flags(answer)
    columns.append(flags)
    fields.append(pa.field("flags", flags.type, nullable=False))
    about = {
        "tsavo.endpoint": answer.endpoint,
        "tsavo.version": str(answer.version),
        "tsavo.role": answer.role,
        "tsavo.flags": msgspec.json.encode(answer.flags),
    }
    schema = pa.schema(fields, metadata=about)
    sink = pa.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _row_numbers(rows: int) -> Any:
    return _ROW_NUMBERS[:rows] if rows <= len(_ROW_NUMBERS) else pa.array(np.arange(rows)).cast(pa.string())


def _output(values: npt.NDArray[Any]) -> Any:
    flat = values.reshape(-1)
    # A prediction that is NaN is missing: null.
    column = pa.array(flat, pa.string() if flat.dtype == object else None, from_pandas=True)
    if values.ndim == 1:
        return column
    return pa.FixedSizeListArray.from_arrays(column, values.shape[1])


def _classes(answer: Answer, output: Output) -> dict[str, bytes] | None:
    if output.name != "probabilities" or answer.signature.classes is None:
        return None
    return {"classes": msgspec.json.encode(answer.signature.classes)}


def _flags(answer: Answer) -> Any:
    kind = pa.list_(pa.string())
    if answer.row_flags:
        return pa.array([answer.row_flags.get(row, []) for row in range(answer.rows)], kind)
    return pa.ListArray.from_arrays(pa.array(np.zeros(answer.rows + 1, np.int32)), pa.array([], pa.string()))
