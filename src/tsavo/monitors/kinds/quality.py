"""Input quality: values that are missing, far out of range or never seen in the reference."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsavo.monitors.kinds.columns import child, decode, flat, minutes, numbers, of_role, times_us
from tsavo.monitors.kinds.context import BaseMonitor, MonitorContext, MonitorSettings, utc
from tsavo.monitors.kinds.recent import Timeline, TimelineState
from tsavo.monitors.kinds.watched import WatchedMean, WatchedState, reference_bound
from tsavo.stats.conformal import uniform_draws
from tsavo.vocabulary import Damaged, Field, Finding, MonitorKind

__all__ = ["QualityMonitor"]

_REASONS: Final = ("missing", "out of range", "unseen")
# A string column with more distinct values than this is free text: nothing in it is "unseen".
_CLOSED_CATEGORIES: Final = 100
_SPLIT_SEED: Final = 0x7A5A


class _Rule(msgspec.Struct, frozen=True):
    """When a value of one column is bad."""

    missing_is_bad: bool
    low: float | None = None
    high: float | None = None
    categories: pa.Array | None = None

    @classmethod
    def of(cls, field: Field, reference: pa.Array | None, settings: MonitorSettings) -> _Rule:
        if reference is None or len(reference) == 0:
            return cls._from_signature(field, settings)
        missing_is_bad = _missing(field, reference).mean() <= settings.missing_share
        if field.dtype == "string":
            names = pc.unique(pc.drop_null(pc.cast(reference, pa.string())))
            closed = field.categories is not None or len(names) <= _CLOSED_CATEGORIES
            return cls(missing_is_bad, categories=names if closed and len(names) else None)
        values = numbers(reference)
        values = values[np.isfinite(values)]
        if field.dtype == "bool" or values.size == 0:
            return cls(missing_is_bad)
        return cls._range(missing_is_bad, float(values.min()), float(values.max()), settings)

    @classmethod
    def _from_signature(cls, field: Field, settings: MonitorSettings) -> _Rule:
        if field.categories is not None:
            return cls(not field.nullable, categories=pa.array(field.categories, pa.string()))
        if field.low is None or field.high is None:
            return cls(not field.nullable)
        return cls._range(not field.nullable, field.low, field.high, settings)

    @classmethod
    def _range(cls, missing_is_bad: bool, low: float, high: float, settings: MonitorSettings) -> _Rule:
        slack = settings.range_slack * (high - low)
        return cls(missing_is_bad, low=low - slack, high=high + slack)

    def broken(self, field: Field, column: pa.Array) -> npt.NDArray[np.bool_]:
        """Which values are bad, by reason: [3, n] in the order of `_REASONS`."""
        missing = _missing(field, column)
        bad = np.zeros((3, missing.size), dtype=bool)
        if self.missing_is_bad:
            bad[0] = missing
        if self.low is not None and self.high is not None:
            values = numbers(column)
            bad[1] = ~missing & ~((values >= self.low) & (values <= self.high))
        if self.categories is not None:
            known = pc.is_in(pc.cast(column, pa.string()), value_set=self.categories)
            bad[2] = ~missing & ~known.to_numpy(zero_copy_only=False).astype(bool)
        return bad


class _State(msgspec.Struct, frozen=True, array_like=True, tag="quality-1"):
    rows: int
    newest_us: int
    timeline: TimelineState
    reasons: dict[str, list[int]]
    rates: dict[str, WatchedState]


class QualityMonitor(BaseMonitor):
    """The share of bad values in each input, and of rows with a bad value in any.

    A value is bad when it is missing where the reference has few missing, when it lies outside the
    reference's range by more than half the range's width, or when it is a category that the reference does
    not have. The share is compared by `RiskEProcess` with what the reference shows (upper end of an interval,
    measured on rows that did not make the rules) plus a slack. Each of the k columns and the whole have
    alpha/(k + 1) of the error budget.

    Assumes: nothing about independence. Looks at the champion's rows only.
    """

    name: ClassVar[str] = "quality"
    kind: ClassVar[MonitorKind] = "quality"

    def __init__(self, context: MonitorContext) -> None:
        super().__init__(context)
        settings, reference = context.settings, context.reference
        fields = context.signature.inputs
        columns = {f.name: _reference_column(reference, f.name) for f in fields}
        self._rules = {f.name: _Rule.of(f, columns[f.name], settings) for f in fields}
        bounds = _reference_rates(fields, columns, settings)
        alpha = settings.quality_alpha / (len(fields) + 1)
        self._rates = {
            name: WatchedMean(bounds[name] + settings.quality_slack, alpha)
            for name in ("", *(field.name for field in fields))
        }
        self._reasons = {field.name: np.zeros(3, dtype=np.int64) for field in fields}
        self._timeline = Timeline()

    def observe(self, decisions: pa.Table) -> None:
        """Take in decisions, in order of arrival."""
        table = of_role(decisions, "champion", self.context.version)
        if table.num_rows == 0:
            return
        times = times_us(table)
        buckets = list(minutes(times))
        anywhere = np.zeros(table.num_rows, dtype=bool)
        for field in self.context.signature.inputs:
            column = child(table, "features", field.name)
            if column is None:
                raise Damaged("recorded decisions lack an input", field=field.name)
            broken = self._rules[field.name].broken(field, column)
            self._reasons[field.name] += broken.sum(axis=1)
            bad = np.asarray(broken.any(axis=0))
            anywhere |= bad
            self._take(field.name, bad, buckets)
        self._take("", anywhere, buckets)
        self._timeline.add(times)
        self.rows += table.num_rows
        self.newest_us = max(self.newest_us, int(times.max()))

    def _take(
        self, name: str, bad: npt.NDArray[np.bool_], buckets: list[tuple[int, npt.NDArray[np.int64]]]
    ) -> None:
        self._rates[name].update(bad.astype(np.float64))
        for minute, places in buckets:
            self._point(name, minute, bad[places].mean(), places.size)

    def findings(self) -> list[Finding]:
        """One finding for the rows as a whole, then one for each column."""
        return [self._of(name, rate) for name, rate in self._rates.items()] if self.rows else []

    def _of(self, name: str, rate: WatchedMean) -> Finding:
        what = f"{name}: bad values" if name else "Rows with a bad value"
        reasons = dict(zip(_REASONS, self._reasons[name].tolist(), strict=True)) if name else {}
        named = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
        tolerated = rate.tolerated or 0.0
        text = f"{what}: {100 * rate.recent:.2f}% of the last {rate.recent_rows:,} rows"
        text += f", tolerated {100 * tolerated:.2f}%"
        if rate.alarm:
            since = utc(self._timeline.time_of(rate.onset))
            text += f"; too many since about {since:%Y-%m-%d %H:%M} UTC"
        text += f" (so far {named})." if named else "."
        return self._finding(
            name,
            value=rate.mean.mean,
            low=rate.mean.low,
            high=rate.mean.high,
            evidence=rate.evidence,
            threshold=rate.threshold,
            alarm=rate.alarm,
            text=text,
            figures={"recent": rate.recent, "tolerated": tolerated, **reasons},
        )

    def state(self) -> bytes:
        """All there is to go on from, given the same context."""
        return msgspec.msgpack.encode(
            _State(
                self.rows,
                self.newest_us,
                self._timeline.state(),
                {name: counts.tolist() for name, counts in self._reasons.items()},
                {name: rate.state() for name, rate in self._rates.items()},
            )
        )

    def restore(self, state: bytes) -> None:
        """Go on where `state` was taken; raise `Damaged` when it is not this monitor's state."""
        kept: _State = decode(state, _State, self.name)
        if set(kept.rates) != set(self._rates):
            raise Damaged(
                "a monitor's state is about other columns", field=self.name, found=sorted(kept.rates)
            )
        self.rows, self.newest_us = kept.rows, kept.newest_us
        self._timeline = Timeline.from_state(kept.timeline)
        self._reasons = {name: np.array(counts, dtype=np.int64) for name, counts in kept.reasons.items()}
        for name, rate in self._rates.items():
            rate.restore(kept.rates[name])


def _missing(field: Field, column: pa.Array) -> npt.NDArray[np.bool_]:
    """Null, or NaN in a column of numbers: [n]."""
    nan_too = field.dtype != "string" and pa.types.is_floating(column.type)
    missing: npt.NDArray[np.bool_] = pc.is_null(column, nan_is_null=nan_too).to_numpy(zero_copy_only=False)
    return missing


def _reference_column(reference: pa.Table | None, name: str) -> pa.Array | None:
    if reference is None or name not in reference.column_names:
        return None
    return flat(reference.column(name))


def _reference_rates(
    fields: tuple[Field, ...], columns: dict[str, pa.Array | None], settings: MonitorSettings
) -> dict[str, float]:
    """Upper bounds of the reference's shares of bad values, by column and ("") by row.

    The rules for this are made on one random half and tried on the other: on its own rows, no rule would ever
    find anything out of range or unseen.
    """
    bounds: dict[str, float] = {}
    anywhere: npt.NDArray[np.bool_] | None = None
    for field in fields:
        column = columns[field.name]
        if column is None or len(column) == 0:
            bounds[field.name] = 0.0
            continue
        half = uniform_draws(_SPLIT_SEED, 0, len(column)) < 0.5
        rule = _Rule.of(field, column.filter(pa.array(half)), settings)
        bad = np.asarray(rule.broken(field, column.filter(pa.array(~half))).any(axis=0))
        anywhere = bad if anywhere is None else np.logical_or(anywhere, bad)
        bounds[field.name] = reference_bound(bad.astype(np.float64))
    bounds[""] = 0.0 if anywhere is None else reference_bound(anywhere.astype(np.float64))
    return bounds
