"""Drift of the inputs away from the reference that the champion was registered with."""

from __future__ import annotations

import hashlib
from typing import ClassVar

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsavo.monitors.kinds.columns import (
    category_codes,
    child,
    decode,
    flat,
    minutes,
    numbers,
    of_role,
    times_us,
)
from tsavo.monitors.kinds.context import BaseMonitor, MonitorContext, utc
from tsavo.monitors.kinds.recent import RecentState, RecentSums, Timeline, TimelineState
from tsavo.stats import DriftEProcess
from tsavo.vocabulary import Damaged, Field, Finding, MonitorKind

__all__ = ["DriftMonitor"]

Floats = npt.NDArray[np.float64]
_SHOWN_CATEGORIES = 30


class _ColumnState(msgspec.Struct, frozen=True, array_like=True):
    process: bytes
    recent: RecentState


class _State(msgspec.Struct, frozen=True, array_like=True, tag="drift-1"):
    rows: int
    newest_us: int
    evidence: float
    max_evidence: float
    alarm_row: int
    timeline: TimelineState
    columns: dict[str, _ColumnState]


class DriftMonitor(BaseMonitor):
    """Every input column against its reference, and all of them together.

    Each column has a `DriftEProcess`. The endpoint's evidence is the average over the k columns, an e-process
    under any dependence between them; it alarms at 1/alpha. A column alarms at k/alpha, which it cannot reach
    without the average reaching 1/alpha at the same row: one error budget covers the endpoint and all its
    columns.

    Assumes: rows are exchangeable with the reference. Daily cycles and trends are not, and will be found.

    Looks at the champion's rows only.
    """

    name: ClassVar[str] = "drift"
    kind: ClassVar[MonitorKind] = "drift"

    def __init__(self, context: MonitorContext) -> None:
        super().__init__(context)
        reference = context.reference
        fields = [] if reference is None or reference.num_rows == 0 else context.signature.inputs
        fields = [field for field in fields if reference is not None and field.name in reference.column_names]
        alpha = context.settings.drift_alpha
        seed = f"{context.endpoint}/{context.version}"
        self._columns = [_column(field, reference, alpha / len(fields), seed) for field in fields]
        self._threshold = 1.0 / alpha
        self._evidence = 1.0
        self._max_evidence = 1.0
        self._alarm_row = 0
        self._timeline = Timeline()

    def observe(self, decisions: pa.Table) -> None:
        """Take in decisions, in order of arrival."""
        table = of_role(decisions, "champion", self.context.version)
        if table.num_rows == 0 or not self._columns:
            return
        times = times_us(table)
        buckets = [(minute, int(places[-1]), places.size) for minute, places in minutes(times)]
        average = np.zeros(table.num_rows)
        for column in self._columns:
            trace = column.take(table, self.rows)
            average += trace
            for minute, last, rows in buckets:
                self._point(column.name, minute, trace[last], rows)
        average /= len(self._columns)
        for minute, last, rows in buckets:
            self._point("", minute, average[last], rows)
        over = np.flatnonzero(average >= self._threshold)
        if over.size and not self._alarm_row:
            self._alarm_row = self.rows + int(over[0]) + 1
        self._evidence = float(average[-1])
        self._max_evidence = max(self._max_evidence, float(average.max()))
        self._timeline.add(times)
        self.rows += table.num_rows
        self.newest_us = max(self.newest_us, int(times.max()))

    def findings(self) -> list[Finding]:
        """One finding for the endpoint, then one for each column, strongest evidence first."""
        if self.rows == 0:
            return []
        ranked = sorted(self._columns, key=lambda column: -column.process.max_evidence)
        return [self._overall(ranked), *(self._of_column(column) for column in ranked)]

    def _overall(self, ranked: list[_Column]) -> Finding:
        moved = [column for column in ranked if column.process.alarm]
        alarm = bool(self._alarm_row)
        if alarm:
            # The average can alarm on many weak signs, none of which is an alarm of its own.
            shown = [column.name for column in (moved or ranked)[:3]]
            since = utc(self._timeline.time_of((moved or ranked)[0].process.onset or 1))
            text = f"The inputs have left their reference since about {since:%Y-%m-%d %H:%M} UTC: "
            text += ", ".join(shown)
            text += f" and {len(moved) - 3} more." if len(moved) > 3 else "."
        else:
            text = f"No drift found in {self.rows:,} rows over {len(self._columns)} inputs."
        return self._finding(
            "",
            value=self._max_evidence,
            evidence=self._evidence,
            threshold=self._threshold,
            alarm=alarm,
            text=text,
            figures={
                "max_evidence": self._max_evidence,
                "alarm_row": self._alarm_row,
                "columns": len(self._columns),
                "moved": [column.name for column in moved],
                "assumes": "rows exchangeable with the reference",
            },
        )

    def _of_column(self, column: _Column) -> Finding:
        process, (before, now, what) = column.process, column.change()
        since = utc(self._timeline.time_of(process.onset or 1))
        change = f"{column.name}: {what} was {_show(before, what)} in the reference"
        change += f", is {_show(now, what)} recently"
        moved = f"moved since about {since:%Y-%m-%d %H:%M} UTC" if process.alarm else "no drift found"
        text = f"{change}; {moved}."
        return self._finding(
            column.name,
            value=now,
            evidence=process.evidence,
            threshold=process.threshold,
            alarm=process.alarm,
            text=text,
            figures={
                "what": what,
                "reference": before,
                "recent": now,
                "max_evidence": process.max_evidence,
                "alarm_row": process.alarm_row or 0,
                "since_row": process.onset or 0,
                "since": since.isoformat(),
            },
        )

    def state(self) -> bytes:
        """All there is to go on from, given the same context."""
        columns = {c.name: _ColumnState(c.process.state_bytes(), c.recent.state()) for c in self._columns}
        return msgspec.msgpack.encode(
            _State(
                self.rows,
                self.newest_us,
                self._evidence,
                self._max_evidence,
                self._alarm_row,
                self._timeline.state(),
                columns,
            )
        )

    def restore(self, state: bytes) -> None:
        """Go on where `state` was taken; raise `Damaged` when it is not this monitor's state."""
        kept: _State = decode(state, _State, self.name)
        if set(kept.columns) != {column.name for column in self._columns}:
            raise Damaged(
                "a monitor's state is about other columns", field=self.name, found=sorted(kept.columns)
            )
        self.rows, self.newest_us = kept.rows, kept.newest_us
        self._evidence, self._max_evidence = kept.evidence, kept.max_evidence
        self._alarm_row = kept.alarm_row
        self._timeline = Timeline.from_state(kept.timeline)
        for column in self._columns:
            column.process = DriftEProcess.from_bytes(kept.columns[column.name].process)
            column.recent = RecentSums.from_state(kept.columns[column.name].recent)


class _Column:
    """One input: its process, and what its reference and its recent rows look like."""

    def __init__(
        self, name: str, process: DriftEProcess, reference: Floats, categories: _Categories | None
    ) -> None:
        self.name = name
        self.process = process
        self.recent = RecentSums(reference.size)
        self._reference = reference
        self._categories = categories

    def take(self, table: pa.Table, start: int) -> Floats:
        """Take in the column's values and return the evidence [n] after each."""
        column = child(table, "features", self.name)
        if column is None:
            raise Damaged(
                "recorded decisions lack an input", field=self.name, expected="every input of the signature"
            )
        if self._categories is None:
            values = numbers(column)
            self.recent.add(start, values.size, lambda piece: _number_summands(values[piece]))
            return self.process.trace(values)
        kinds, codes = self._categories, category_codes(column, self._categories.names)
        self.recent.add(start, codes.size, lambda piece: kinds.one_hot(codes[piece]))
        return self.process.trace(codes)

    def change(self) -> tuple[float, float, str]:
        """What differs most: its figure in the reference, recently, and its name."""
        before, now = self._reference, self.recent.total
        if self._categories is None:
            share = (before[2] / max(before[3], 1), now[2] / max(now[3], 1))
            if abs(share[0] - share[1]) > 0.05 or now[1] == 0 or before[1] == 0:
                return float(share[0]), float(share[1]), "share missing"
            return float(before[0] / before[1]), float(now[0] / now[1]), "mean"
        old, new = before / max(before.sum(), 1), now / max(now.sum(), 1)
        at = int(np.argmax(np.abs(new - old)))
        return float(old[at]), float(new[at]), f"share {self._categories.label(at)}"


class _Categories:
    """The categories of a reference column, and which of them are shown by name.

    Codes follow the alphabet and not the counts: how bins are cut must not depend on the rows in the bag.
    """

    def __init__(self, reference: pa.Array) -> None:
        counted = pc.value_counts(pc.drop_null(pc.cast(reference, pa.string())))
        order = pc.array_sort_indices(flat(counted.field("values")))
        self.names = flat(counted.field("values")).take(order)
        counts = counted.field("counts").take(order).to_numpy(zero_copy_only=False)
        self._shown = np.argsort(-counts, kind="stable")[:_SHOWN_CATEGORIES]
        # code -> place among the shown; then one place for all others, and one (for code -1) for missing
        self._place = np.full(len(self.names) + 2, self._shown.size, dtype=np.int64)
        self._place[self._shown] = np.arange(self._shown.size)
        self._place[-1] = self._shown.size + 1
        self.width = self._shown.size + 2

    def one_hot(self, codes: npt.NDArray[np.int64]) -> Floats:
        """[n, width]: the shown categories, all others, missing."""
        hot = np.zeros((codes.size, self.width))
        hot[np.arange(codes.size), self._place[codes]] = 1.0
        return hot

    def counts(self, codes: npt.NDArray[np.int64]) -> Floats:
        """The sum of `one_hot` over rows [width]."""
        return np.bincount(self._place[codes], minlength=self.width).astype(np.float64)

    def label(self, place: int) -> str:
        """What a place stands for, in words."""
        if place < self._shown.size:
            return f"'{self.names[int(self._shown[place])].as_py()}'"
        return "rare or unseen" if place == self._shown.size else "missing"


def _number_summands(values: Floats) -> Floats:
    """Sum of finite values, how many; how many missing, how many rows: [n, 4]."""
    finite = np.isfinite(values)
    return np.column_stack([np.where(finite, values, 0.0), finite, np.isnan(values), np.ones(values.size)])


def _column(field: Field, reference: pa.Table, alpha: float, seed_text: str) -> _Column:
    seed = int.from_bytes(
        hashlib.blake2b(f"{seed_text}/{field.name}".encode(), digest_size=8).digest(), "big"
    )
    column = flat(reference.column(field.name))
    if field.dtype != "string":
        values = numbers(column)
        process = DriftEProcess.numeric(values, alpha=alpha, seed=seed)
        return _Column(field.name, process, _number_summands(values).sum(axis=0), None)
    categories = _Categories(column)
    codes = category_codes(column, categories.names)
    process = DriftEProcess.categorical(codes, alpha=alpha, seed=seed)
    return _Column(field.name, process, categories.counts(codes), categories)


def _show(value: float, what: str) -> str:
    return f"{100 * value:.1f}%" if what.startswith("share") else f"{value:.4g}"
