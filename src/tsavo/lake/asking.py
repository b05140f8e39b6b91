"""Questions to a lake: a stranger's SQL within its limits, and which decisions outcomes belong to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa

from tsavo.lake.answering import answered, warm
from tsavo.lake.answers import Answer
from tsavo.lake.catalog import define_views, view_names
from tsavo.lake.endpoint_rows import Rows, read_rows
from tsavo.lake.folders import Folders
from tsavo.lake.matching import (
    Before,
    Labels,
    Sought,
    find_keyed,
    known_before,
    labels_of,
    without_decision,
)
from tsavo.lake.question import Question
from tsavo.lake.session import Session
from tsavo.lake.tail import SignatureOf, TailReader
from tsavo.vocabulary import Invalid, check_name

__all__ = ["Allowance", "Asking"]

_MOST_ROWS = 100_000_000
_MOST_SECONDS = 300.0
_LEAST_MEMORY_MIB, _MOST_MEMORY_MIB = 32, 8192


class Allowance(NamedTuple):
    """What a query may take: rows of its answer, seconds until all are taken, memory for its own work.

    >>> Allowance(rows=0).checked()
    Traceback (most recent call last):
    tsavo.vocabulary.errors.Invalid: not a limit (field: limit; found: 0; expected: 1 to 100,000,000)
    """

    rows: int = 10_000
    seconds: float = 30.0
    memory_mib: int = 2048

    def checked(self) -> Allowance:
        """The same; raise `Invalid` for one that makes no sense."""
        for name, low, high in (
            ("limit", 1, _MOST_ROWS),
            ("seconds", 0.001, _MOST_SECONDS),
            ("memory_mib", _LEAST_MEMORY_MIB, _MOST_MEMORY_MIB),
        ):
            value = self.rows if name == "limit" else getattr(self, name)
            if not low <= value <= high:
                raise Invalid("not a limit", field=name, found=value, expected=f"{low:,} to {high:,}")
        return self


class Asking:
    """What of a lake answers SQL, and finds the decisions that outcomes belong to."""

    _folders: Folders
    _tail: TailReader
    _signature_of: SignatureOf

    @contextmanager
    def ask(
        self,
        query: str,
        allowance: Allowance | None = None,
        *,
        as_of: datetime | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Answer]:
        """Answer one SELECT over the lake's views; its rows are computed as they are taken.

        It sees every decision exactly once, shipped or not, as of the call. Times are in UTC.

        Parameters
        ----------
        allowance
            What it may take; by default as `sql`.
        as_of
            What was known at this moment: later decisions, and outcomes recorded later, are left out.
        stop
            Set it to stop the query; who takes rows meanwhile gets `Invalid`.

        Raises
        ------
        Invalid
            It is not one reading statement, DuckDB refuses it, or it takes too long or too much memory.
        """
        allowance = (allowance or Allowance()).checked()
        question = Question(self._folders.root)
        warm(question.folder)
        tail = self._tail.read()
        define_views(question, query, self._folders, tail, self._signature_of, as_of)
        with answered(
            question,
            query,
            rows=allowance.rows,
            seconds=allowance.seconds,
            memory_mib=allowance.memory_mib,
            names=lambda: view_names(self._folders, tail),
            stop=stop,
        ) as answer:
            yield answer

    def warm(self) -> None:
        """Start what `ask` needs, so that the first question need not wait for it; does not wait either."""
        warm(str(self._folders.root.absolute()))

    def sql(
        self,
        query: str,
        *,
        rows: int = 10_000,
        seconds: float = 30.0,
        memory_mib: int = 2048,
        as_of: datetime | None = None,
    ) -> pa.Table:
        """All of the answer of `ask` as one table.

        Parameters
        ----------
        rows, seconds, memory_mib
            Limits. A longer answer is cut, and its schema's metadata has ``truncated`` = ``true``.
        """
        with self.ask(query, Allowance(rows, seconds, memory_mib), as_of=as_of) as answer:
            return answer.table()

    def find_keyed(self, endpoint: str, key: str, sought: Sought) -> list[list[str]] | None:
        """For each business key sought, the ids of the decisions that it means; ``None``: nothing was ever decided."""
        with Session() as session:
            return find_keyed(session, self._all_of(endpoint), key, sought)

    def known_before(self, endpoint: str, ids: Sequence[str]) -> dict[str, Before]:
        """Of each decision id: whether there is such a decision, and its last outcome as text."""
        with Session() as session:
            return known_before(session, self._all_of(endpoint), ids)

    def without_decision(self, endpoint: str, offset: int, limit: int) -> tuple[list[dict[str, Any]], int]:
        """Outcomes whose decision is not there, the oldest first: a page of them, and how many there are."""
        with Session() as session:
            return without_decision(session, self._all_of(endpoint), offset, limit)

    def labels(self, endpoint: str) -> Labels:
        """How many of an endpoint's outcomes are known, and how late they come; counted again when there are new."""
        rows = self._all_of(endpoint)
        state = (0 if rows.outcomes is None else rows.outcomes.version, rows.tail_outcomes.num_rows)
        kept = self._kept_labels.get(endpoint)
        if kept is None or kept[0] != state:
            with Session() as session:
                kept = state, labels_of(session, rows)
            self._kept_labels[endpoint] = kept
        return kept[1]

    @cached_property
    def _kept_labels(self) -> dict[str, tuple[tuple[int, int], Labels]]:
        return {}

    def _all_of(self, endpoint: str) -> Rows:
        check_name(endpoint, "endpoint")
        return read_rows(self._folders, endpoint, self._tail.read(), self._signature_of)
