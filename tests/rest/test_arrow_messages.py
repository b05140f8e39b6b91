from __future__ import annotations

import contextlib
import struct
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.rest.arrow_messages import BatchHeader, read_batch_header


def messages(table: pa.Table, **options: Any) -> list[memoryview]:
    sink = pa.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema, options=pyarrow.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=4)
    reader = pyarrow.ipc.MessageReader.open_stream(sink.getvalue())
    found = []
    while True:
        try:
            found.append(memoryview(reader.read_next_message().metadata))
        except StopIteration:
            return found


TABLE = pa.table({"x": range(10), "s": pa.array(["a", None] * 5).dictionary_encode()})


def expected(*, compressed: bool) -> list[BatchHeader | None]:
    """The schema, a dictionary of one text, and the rows in three batches."""
    rows = [BatchHeader(rows, dictionary=False, compressed=compressed) for rows in (4, 4, 2)]
    return [None, BatchHeader(1, dictionary=True, compressed=compressed), *rows]


def test_rows_and_compression_are_what_was_written() -> None:
    headers = [read_batch_header(message) for message in messages(TABLE)]
    assert headers == expected(compressed=False)
    for compression in ("lz4", "zstd"):
        headers = [read_batch_header(message) for message in messages(TABLE, compression=compression)]
        assert headers == expected(compressed=True)


def test_offsets_before_the_beginning_are_refused() -> None:
    # The table at 4 says that its directory is 12 bytes before it; Python would count from the end.
    with pytest.raises(ValueError, match="nowhere"):
        read_batch_header(memoryview(struct.pack("<Ii", 4, 12) + bytes(24)))


SEEDS = [bytes(message) for message in messages(TABLE)]


@pytest.mark.parametrize("metadata", SEEDS)
def test_a_header_that_is_cut_off_is_refused_or_read(metadata: bytes) -> None:
    for length in range(len(metadata)):
        try:
            read_batch_header(memoryview(metadata[:length]))
        except ValueError as error:
            assert "nowhere" in str(error)


@given(st.sampled_from(SEEDS), st.integers(0, 40), st.binary(min_size=1, max_size=8))
def test_a_damaged_header_raises_nothing_else(metadata: bytes, at: int, noise: bytes) -> None:
    damaged = metadata[:at] + noise + metadata[at + len(noise) :]
    with contextlib.suppress(ValueError):
        read_batch_header(memoryview(damaged))
