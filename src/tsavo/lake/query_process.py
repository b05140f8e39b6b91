"""The process that runs a stranger's SQL: a copy of ``python -P query_process.py DESCRIPTOR IDLE_SECONDS``.

A query may take all memory there is with one expression (``repeat('x', 3000000000)``) that DuckDB neither counts nor
interrupts. So each runs in a copy of this warm process: the kernel holds it to its memory, whoever waits for it kills
it when its time is over, and nothing of it is left. A copy gives up everything but reading the lake's folder, makes its
connection, and only then takes an order: views, the files that they may read, rows that are in no file, and the query.
It answers in frames, each a letter, a length and that many bytes, with the rows as Arrow IPC.

It imports DuckDB and Arrow only, so that it is there soon: it is run as a file, and its package is not imported. Where
copies are not to be had it is started for one query, with the lake's folder as a third word.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import select
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.dataset  # what DuckDB imports when it is first given rows

from tsavo.runtimes.confinement import Confinement, confine, mapped_bytes
from tsavo.runtimes.copies import serve_copies

__all__ = [
    "BATCH",
    "CHECKED",
    "END",
    "FAILED",
    "HEADER",
    "MOST_FRAME_BYTES",
    "ORDER",
    "READABLE",
    "ROWS",
    "SCHEMA",
    "SETTINGS",
    "Failure",
    "Order",
    "Place",
    "RowTooLarge",
    "receive",
    "send",
    "stream",
]

HEADER: Final = struct.Struct("<cQ")
ORDER, ROWS = b"O", b"R"
"""Frames to a process: an `Order` (JSON), and a table that comes with it."""

CHECKED, SCHEMA, BATCH, END, FAILED = b"C", b"S", b"B", b"E", b"F"
"""Frames of an answer: the statements' kinds (JSON), an empty stream with the columns, a stream with one batch, that
this was all, and a `Failure` (JSON)."""

READABLE: Final = ("SELECT", "EXPLAIN")

MOST_FRAME_BYTES: Final = 64 << 20
_GOOD_FRAME_BYTES: Final = 8 << 20
_MOST_ORDER_BYTES: Final = 8 << 30
_BATCH_ROWS: Final = 10_000
# Beside what is there before the query and what that may take: what is read of files, a frame on its way out.
_OWN_BYTES: Final = 256 << 20
_MOST_BYTES: Final = 64 << 30
_MOST_FILES: Final = 1 << 16
_SPARE_SECONDS: Final = 600.0

# In this order: once external access is off, folders and files cannot be changed any more.
SETTINGS: Final = {
    "temp_directory": "''",
    "TimeZone": "'UTC'",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    # It goes to standard output, which is a file's or a program's.
    "enable_progress_bar": "false",
}


class Place(msgspec.Struct, frozen=True):
    """What a copy may read: the lake's folder."""

    folder: str


class Order(msgspec.Struct, frozen=True):
    """What a copy is to do.

    Attributes
    ----------
    checking
        Only look whether `query` is one statement that reads.
    views
        Statements that make the views, run in this order.
    tables, table_bytes
        Names of the tables that follow the order as Arrow IPC streams, a frame each; and how large all are.
    files
        The only files that may be read, relative to the lake's folder.
    rows, seconds, memory_mib
        The query's limits. One row more is sent, so that a cut answer can be told from a whole one.
    """

    query: str
    checking: bool = False
    views: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    table_bytes: int = 0
    files: tuple[str, ...] = ()
    rows: int = 1
    seconds: float = 1.0
    memory_mib: int = 32


class Failure(msgspec.Struct, frozen=True):
    """What went wrong: the exception's name, and its words."""

    kind: str
    said: str


def send(connection: socket.socket, kind: bytes, payload: Any = b"") -> None:
    """Send a frame."""
    view = memoryview(payload)
    connection.sendall(HEADER.pack(kind, view.nbytes))
    connection.sendall(view)


def receive(connection: socket.socket, most_bytes: int) -> tuple[bytes, bytearray] | None:
    """The next frame; ``None`` when the other side is gone. Raises `OverflowError` before it takes a larger one."""
    header = _exactly(connection, HEADER.size)
    if header is None:
        return None
    kind, size = HEADER.unpack(header)
    if size > most_bytes:
        raise OverflowError(size)
    payload = _exactly(connection, size)
    return None if payload is None else (kind, payload)


def _exactly(connection: socket.socket, size: int) -> bytearray | None:
    payload = bytearray(size)
    view = memoryview(payload)
    while view:
        count = connection.recv_into(view)
        if not count:
            return None
        view = view[count:]
    return payload


def work(message: bytes, descriptors: list[int], *, alone: bool = False) -> int:
    """In the copy: become confined, be ready, and answer one order.

    Parameters
    ----------
    alone
        No warm process ends this one when nobody waits for it any more.
    """
    place = msgspec.json.decode(message, type=Place)
    results = socket.socket(fileno=_only(descriptors[0]))
    # A home where nothing was shipped has no such folder, and its lake no files.
    with contextlib.suppress(FileNotFoundError):
        os.chdir(place.folder)
    confine(
        Confinement(
            read=(place.folder,),
            write=(),
            memory_bytes=mapped_bytes() + _MOST_BYTES,
            cpu_seconds=None,
            open_files=_MOST_FILES,
            file_bytes=0,
            processes=64 + 4 * (os.cpu_count() or 1),
        )
    )
    if alone:
        threading.Thread(target=_end_when_nobody_waits, args=(results.fileno(),), daemon=True).start()
    # A cursor of a copy has random numbers of its own, which a connection that was copied has not.
    with _warm().cursor() as connection:
        for name, value in SETTINGS.items():
            connection.execute(f"SET {name} = {value}")
        connection.execute(f"SET threads = {os.cpu_count() or 1:d}")
        results.settimeout(_SPARE_SECONDS)
        try:
            frame = receive(results, _MOST_ORDER_BYTES)
        except TimeoutError:
            frame = None
        if frame is None:
            return 0
        results.settimeout(None)
        order = msgspec.json.decode(frame[1], type=Order)
        try:
            _answer(connection, order, results)
        except BrokenPipeError:
            return 0
        except Exception as error:  # whatever it is, whoever asked is told
            send(results, FAILED, msgspec.json.encode(Failure(type(error).__name__, str(error))))
    return 0


def _only(descriptor: int) -> int:
    """Keep a descriptor, under the lowest number that is free, and no other but the standard ones."""
    os.dup2(descriptor, 3)
    os.closerange(4, _MOST_FILES)
    return 3


def _end_when_nobody_waits(descriptor: int) -> None:
    waiting = select.poll()
    waiting.register(descriptor, 0)
    waiting.poll()
    os._exit(1)


def _answer(connection: duckdb.DuckDBPyConnection, order: Order, results: socket.socket) -> None:
    # Also before it is parsed: brackets within brackets take a parser minutes, and all memory.
    _limit(order)
    tables = [_received(results) for _ in order.tables]
    kinds = [statement.type.name for statement in connection.extract_statements(order.query)]
    if order.checking or len(kinds) != 1 or kinds[0] not in READABLE:
        send(results, CHECKED, msgspec.json.encode(kinds))
        return
    connection.execute(f"SET memory_limit = '{order.memory_mib:d}MiB'")
    if order.files:
        # The list is text of ours: Delta's own names of files, below folders that are named after endpoints.
        connection.execute(f"SET allowed_paths = [{', '.join(map(_quoted, order.files))}]")
    connection.execute("SET enable_external_access = false")
    for name, table in zip(order.tables, tables, strict=True):
        connection.register(name, table)
    for view in order.views:
        connection.execute(view)
    connection.execute("SET lock_configuration = true")
    reader = connection.sql(order.query).to_arrow_reader(_BATCH_ROWS)
    send(results, SCHEMA, stream(reader.schema))
    left = order.rows + 1
    while left and (batch := next(reader, None)) is not None:
        batch = batch.slice(0, left)
        left -= batch.num_rows
        for piece in _pieces(batch):
            send(results, BATCH, stream(reader.schema, piece))
    send(results, END)


def _received(results: socket.socket) -> pa.Table:
    frame = receive(results, _MOST_ORDER_BYTES)
    if frame is None:
        raise BrokenPipeError
    return pa.ipc.open_stream(pa.py_buffer(frame[1])).read_all()


def _limit(order: Order) -> None:
    """From now on the kernel refuses more memory than this, and ends what works on after its time."""
    most = mapped_bytes() + _OWN_BYTES + order.table_bytes + (order.memory_mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    seconds = math.ceil(order.seconds * (os.cpu_count() or 1)) + 5
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows in parts that make frames of a good size."""
    if batch.nbytes <= _GOOD_FRAME_BYTES or batch.num_rows == 1:
        if batch.nbytes > MOST_FRAME_BYTES - (1 << 20):
            raise RowTooLarge(f"{batch.nbytes >> 20} MiB")
        yield batch
        return
    middle = batch.num_rows // 2
    yield from _pieces(batch.slice(0, middle))
    yield from _pieces(batch.slice(middle))


class RowTooLarge(Exception):
    """A row is larger than a frame."""


def stream(schema: pa.Schema, *batches: pa.RecordBatch) -> pa.Buffer:
    """An Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def _connection() -> duckdb.DuckDBPyConnection:
    """A connection with one thread: this one."""
    try:
        connection = duckdb.connect(":memory:", config={"threads": 1, "async_threads": 0})
    except duckdb.Error:
        # Releases before 2.0 have no threads of that kind.
        connection = duckdb.connect(":memory:", config={"threads": 1})
    for name, value in SETTINGS.items():
        connection.execute(f"SET {name} = {value}")
    return connection


@cache
def _warm() -> duckdb.DuckDBPyConnection:
    """What copies begin with: a database that is open, and what DuckDB and Arrow load when they are first used."""
    connection = _connection()
    connection.register("warm", pa.table({"a": [1]}))
    for batch in connection.sql("SELECT a, now() AS t FROM warm").to_arrow_reader(_BATCH_ROWS):
        stream(batch.schema, batch)
    connection.unregister("warm")
    return connection


if __name__ == "__main__":
    if sys.argv[3:]:
        code = work(msgspec.json.encode(Place(sys.argv[3])), [int(sys.argv[1])], alone=True)
    else:
        code = serve_copies(int(sys.argv[1]), float(sys.argv[2]), _warm, work)
    # Without the interpreter's long farewell; copies that are still at work end with it.
    os._exit(code & 0xFF)
