"""The rows of a query, taken as they are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa

from tsavo.vocabulary import TooLarge

__all__ = ["Answer"]


class Answer:
    """The rows of a query, computed as they are taken; taken once, by one thread at a time.

    Parameters
    ----------
    batches
        The rows, and at least one more than `limit` where there are so many.
    most_bytes
        How large `table` may become.
    stop
        Stops computing, from any thread.

    Attributes
    ----------
    schema
        The columns.
    rows
        How many rows were handed out so far.
    truncated
        Whether there were more than the limit; known when all were taken.
    """

    def __init__(
        self,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
        limit: int,
        most_bytes: int,
        stop: Callable[[], None],
    ) -> None:
        self.schema = schema
        self.rows = 0
        self.truncated = False
        self._batches, self._limit, self._most_bytes, self._stop = batches, limit, most_bytes, stop

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while not self.truncated:
            batch = next(self._batches, None)
            if batch is None:
                return
            left = self._limit - self.rows
            # One row beyond the limit is looked for, so that an answer of exactly so many rows is not called cut.
            self.truncated = batch.num_rows > left
            batch = batch.slice(0, left) if self.truncated else batch
            self.rows += batch.num_rows
            if batch.num_rows:
                yield batch

    def table(self, skip: int = 0) -> pa.Table:
        """All rows but the first `skip`; a cut answer has ``truncated`` = ``true`` in its schema's metadata.

        Raises
        ------
        TooLarge
            They are more than the query's memory.
        """
        batches, size, passed = [], 0, 0
        for batch in self:
            kept = batch.slice(max(0, skip - passed))
            passed += batch.num_rows
            if not kept.num_rows:
                continue
            batches.append(kept)
            size += kept.nbytes
            if size > self._most_bytes:
                raise _too_large(self._most_bytes)
        table = pa.Table.from_batches(batches, schema=self.schema)
        return table.replace_schema_metadata({"truncated": "true"}) if self.truncated else table

    def stop(self) -> None:
        """Stop computing, from any thread; who takes rows meanwhile gets `Invalid`."""
        self._stop()


def _too_large(most_bytes: int) -> TooLarge:
    return TooLarge(
        "the answer needs more memory than the query may take",
        field="query",
        expected=f"at most {most_bytes >> 20:,} MiB",
        next_step="ask for fewer rows or columns, or write it to a file with 'tsavo sql --output'",
    )
