"""A stranger's query, answered by a process of its own within its limits, or refused in words."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import pyarrow as pa

from tsavo.lake.answers import Answer
from tsavo.lake.query_process import (
    CHECKED,
    END,
    FAILED,
    MOST_FRAME_BYTES,
    ORDER,
    READABLE,
    ROWS,
    Failure,
    Order,
    receive,
    send,
    stream,
)
from tsavo.lake.query_processes import QueryProcess, QueryProcesses, processes
from tsavo.lake.question import Question
from tsavo.lake.refusals import broken, not_one_statement, not_reading, refused, stopped, too_slow

__all__ = ["answered", "check_statement", "warm"]

_CHECKING: Final = Order("", checking=True, seconds=10.0, memory_mib=256)

Names: TypeAlias = Callable[[], Collection[str]]


def warm(folder: str) -> None:
    """Start what answers need, if it does not run; does not wait for it."""
    _processes(folder).warm()


@contextmanager
def answered(
    question: Question,
    query: str,
    *,
    rows: int,
    seconds: float,
    memory_mib: int,
    names: Names = tuple,
    stop: threading.Event | None = None,
) -> Iterator[Answer]:
    """Run a query; its rows are computed as they are taken, at most `rows` of them.

    Parameters
    ----------
    seconds
        For everything until the block ends.
    names
        Gives every view that there could be, for a refusal to name those that were perhaps meant.
    stop
        Set by somebody else, it stops the query; it is set when the block ends.

    Raises
    ------
    Invalid
        It is not one statement that reads; with DuckDB's reason in plain words; or it takes too long, or too much.
    """
    order = Order(
        query,
        views=tuple(question.views),
        tables=tuple(name for name, _ in question.tables),
        table_bytes=sum(table.nbytes for _, table in question.tables),
        files=tuple(question.files),
        rows=rows,
        seconds=seconds,
        memory_mib=memory_mib,
    )
    tables = [table for _, table in question.tables]
    with _asked(question.folder, order, tables, names, stop or threading.Event()) as asked:
        kind, payload = asked.frame()
        if kind == CHECKED:
            raise _not_allowed(payload)
        schema = pa.ipc.open_stream(pa.py_buffer(payload)).schema
        yield Answer(schema, asked.batches(), rows, memory_mib << 20, asked.stop)


def check_statement(query: str) -> None:
    """Raise `Invalid` unless `query` is one statement that only reads."""
    order = msgspec.structs.replace(_CHECKING, query=query)
    with _asked(None, order, [], tuple, threading.Event()) as asked:
        _, payload = asked.frame()
        if tuple(msgspec.json.decode(payload)) not in {(kind,) for kind in READABLE}:
            raise _not_allowed(payload)


def _not_allowed(payload: bytearray) -> Exception:
    kinds = msgspec.json.decode(payload, type=list[str])
    return not_reading(kinds[0]) if len(kinds) == 1 else not_one_statement(len(kinds))


def _processes(folder: str | None) -> QueryProcesses:
    """Those that may read `folder`: for the machine's root, they run as whoever owns it."""
    if folder is not None and os.geteuid() == 0:
        with contextlib.suppress(FileNotFoundError):
            owner = Path(folder).stat()
            if owner.st_uid:
                return processes(owner.st_uid, owner.st_gid)
    return processes()


@contextmanager
def _asked(
    folder: str | None, order: Order, tables: list[pa.Table], names: Names, stop: threading.Event
) -> Iterator[_Asked]:
    pool = _processes(folder)
    process = pool.take(folder)
    try:
        asked = _Asked(process, order, names, stop)
        with asked:
            with contextlib.suppress(OSError):
                # Who does not listen to the end has answered already, or died; that is found when the answer is read.
                send(process.results, ORDER, msgspec.json.encode(order))
                for table in tables:
                    send(process.results, ROWS, stream(table.schema, *table.to_batches()))
            yield asked
    finally:
        process.close()
        if folder is not None:
            pool.prepare(folder)


class _Asked:
    """A process at work, stopped when time is over or nobody waits; says afterwards which it was."""

    def __init__(self, process: QueryProcess, order: Order, names: Names, wake: threading.Event) -> None:
        self._process, self._order, self._names = process, order, names
        self._late = False
        self._wake = wake
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._wake.set()
        self._thread.join()

    def stop(self) -> None:
        """Stop it, from any thread."""
        self._wake.set()

    def _watch(self) -> None:
        self._late = not self._wake.wait(self._order.seconds)
        if not self._done.is_set():
            self._process.stop()

    def frame(self) -> tuple[bytes, bytearray]:
        """The next part of the answer; a failure, being late, and the process's end are raised."""
        if (why := self._why()) is not None:
            raise why
        try:
            found = receive(self._process.results, MOST_FRAME_BYTES)
        except (OSError, OverflowError):
            # An answer that does not keep to its size is none.
            found = None
        if found is not None and found[0] != FAILED:
            return found
        if (why := self._why()) is not None:
            raise why
        if found is None:
            raise broken(self._order.query, self._process.code(), self._order.memory_mib)
        failure = msgspec.json.decode(found[1], type=Failure)
        raise refused(
            self._order.query,
            failure.said,
            self._names(),
            kind=failure.kind,
            memory_mib=self._order.memory_mib,
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows."""
        while True:
            kind, payload = self.frame()
            if kind == END:
                return
            yield pa.ipc.open_stream(pa.py_buffer(payload)).read_next_batch()

    def _why(self) -> Exception | None:
        if self._late:
            return too_slow(self._order.query, self._order.seconds)
        if self._wake.is_set() and not self._done.is_set():
            return stopped(self._order.query)
        return None
