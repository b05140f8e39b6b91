"""Latency and throughput: how long requests take against an objective, and how many rows come."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsavo.monitors.kinds.columns import decode, flat, minutes, numbers, times_us
from tsavo.monitors.kinds.context import BaseMonitor, MonitorContext, utc
from tsavo.monitors.kinds.recent import Timeline, TimelineState
from tsavo.monitors.kinds.watched import WatchedMean, WatchedState
from tsavo.stats import QuantileSketch
from tsavo.vocabulary import Finding, MonitorKind

__all__ = ["LatencyMonitor"]

_QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class _State(msgspec.Struct, frozen=True, array_like=True, tag="latency-1"):
    rows: int
    newest_us: int
    oldest_us: int
    minute: int
    minute_rows: int
    full_rows: int | None
    sketch: bytes
    over: WatchedState
    timeline: TimelineState


class LatencyMonitor(BaseMonitor):
    """Quantiles of the time a request takes, rows per second, and requests over the objective.

    Looks at every answer that a caller waited for, champion's and fallback's, and counts a request once
    however many rows it has. The share of requests over the objective is compared by `RiskEProcess` with the
    tolerated one.

    Assumes: nothing about independence.
    """

    name: ClassVar[str] = "latency"
    kind: ClassVar[MonitorKind] = "latency"

    def __init__(self, context: MonitorContext) -> None:
        super().__init__(context)
        self._sketch = QuantileSketch()
        self._over = WatchedMean(context.settings.latency_share, context.settings.latency_alpha)
        self._timeline = Timeline()
        self._oldest_us = 0
        self._minute = 0
        self._minute_rows = 0
        self._full_rows: int | None = None

    def observe(self, decisions: pa.Table) -> None:
        """Take in decisions, in order of arrival."""
        # Neither what nobody waited for, nor what somebody tried.
        served = pc.is_in(decisions.column("role"), pa.array(["champion", "challenger", "fallback"]))
        table = decisions.filter(served)
        if table.num_rows == 0:
            return
        times = times_us(table)
        self._count_rows(times)
        first_row = pc.ends_with(flat(table.column("decision_id")), ":0").to_numpy(zero_copy_only=False)
        latency, asked = numbers(table.column("latency_us"))[first_row], times[first_row]
        self._sketch.update(latency)
        self._over.update((latency > self.context.settings.latency_objective_us).astype(np.float64))
        self._timeline.add(asked)
        for minute, places in minutes(asked):
            values = np.quantile(latency[places], list(_QUANTILES.values()))
            for subject, value in zip(_QUANTILES, values, strict=True):
                self._point(subject, minute, value, places.size)

    def _count_rows(self, times: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        self._oldest_us = int(times.min()) if self.rows == 0 else min(self._oldest_us, int(times.min()))
        self.newest_us = max(self.newest_us, int(times.max()))
        self.rows += times.size
        for minute, places in minutes(times):
            self._point("rows_per_second", minute, places.size / 60.0, places.size)
            if minute > self._minute:
                # A minute without a row in between means that the last full minute had none.
                if self._minute:
                    self._full_rows = self._minute_rows if minute == self._minute + 1 else 0
                self._minute, self._minute_rows = minute, 0
            self._minute_rows += places.size if minute == self._minute else 0

    def findings(self) -> list[Finding]:
        """Whether the objective is kept, then the quantiles in microseconds, then rows per second."""
        if self.rows == 0:
            return []
        values = {subject: self._sketch.quantile(q) for subject, q in _QUANTILES.items()}
        return [
            self._objective(),
            *(
                self._finding(
                    subject,
                    rows=self._sketch.rows,
                    value=value,
                    text=f"{subject[1:]}% of {self._sketch.rows:,} requests took {value / 1000:.3g} ms.",
                )
                for subject, value in values.items()
                if self._sketch.rows
            ),
            self._throughput(),
        ]

    def _objective(self) -> Finding:
        settings, over = self.context.settings, self._over
        limit = f"{settings.latency_objective_us / 1000:g} ms"
        text = f"{100 * over.recent:.2f}% of the last {over.recent_rows:,} requests took over {limit}"
        text += f", tolerated {100 * settings.latency_share:g}%"
        if over.alarm:
            text += f"; too many since about {utc(self._timeline.time_of(over.onset)):%Y-%m-%d %H:%M} UTC"
        return self._finding(
            "",
            rows=over.mean.rows,
            value=over.mean.mean,
            low=over.mean.low,
            high=over.mean.high,
            evidence=over.evidence,
            threshold=over.threshold,
            alarm=over.alarm,
            text=f"{text}.",
            figures={
                "recent": over.recent if over.recent_rows else None,
                "objective_us": settings.latency_objective_us,
                "tolerated": settings.latency_share,
            },
        )

    def _throughput(self) -> Finding:
        if self._full_rows is None:
            seconds = max((self.newest_us - self._oldest_us) / 1e6, 1.0)
            rate, when = self.rows / seconds, "so far"
        else:
            rate, when = self._full_rows / 60.0, "in the last full minute"
        return self._finding("rows_per_second", value=rate, text=f"{rate:.3g} rows per second {when}.")

    def state(self) -> bytes:
        """All there is to go on from, given the same context."""
        return msgspec.msgpack.encode(
            _State(
                self.rows,
                self.newest_us,
                self._oldest_us,
                self._minute,
                self._minute_rows,
                self._full_rows,
                self._sketch.state_bytes(),
                self._over.state(),
                self._timeline.state(),
            )
        )

    def restore(self, state: bytes) -> None:
        """Go on where `state` was taken; raise `Damaged` when it is not this monitor's state."""
        kept: _State = decode(state, _State, self.name)
        self.rows, self.newest_us, self._oldest_us = kept.rows, kept.newest_us, kept.oldest_us
        self._minute, self._minute_rows, self._full_rows = kept.minute, kept.minute_rows, kept.full_rows
        self._sketch = QuantileSketch.from_bytes(kept.sketch)
        self._over.restore(kept.over)
        self._timeline = Timeline.from_state(kept.timeline)
