"""Performance: what the champion's decisions turned out to cost, from outcomes."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pyarrow as pa

from tsavo.monitors.kinds.columns import decode, minutes, of_role, times_us
from tsavo.monitors.kinds.context import BaseMonitor, MonitorContext, utc
from tsavo.monitors.kinds.losses import loss_rule, reference_losses
from tsavo.monitors.kinds.recent import Timeline, TimelineState
from tsavo.monitors.kinds.watched import WatchedMean, WatchedState, reference_bound
from tsavo.vocabulary import Damaged, Finding, MonitorKind

__all__ = ["PerformanceMonitor"]

_WORDS = {"error_rate": "Error rate", "brier": "Brier score", "absolute_error": "Mean absolute error"}


class _State(msgspec.Struct, frozen=True, array_like=True, tag="performance-1"):
    rows: int
    newest_us: int
    timeline: TimelineState
    metrics: dict[str, WatchedState]


class PerformanceMonitor(BaseMonitor):
    """Error rate and Brier score of a classifier, absolute error of a regression (`losses` says how).

    Each metric has an interval that holds at every look (budget 0.05). Where the reference has target and
    predictions, `RiskEProcess` compares the loss with the upper end of the interval for the reference's own
    loss plus a slack; the error budget is shared evenly between the metrics. Without that there is nothing to
    compare with and never an alarm.

    Assumes: nothing about independence. But outcomes that come for some decisions only (labels for accepted
    loans, say) speak for those decisions only. `rows` counts labelled decisions of the champion.
    """

    name: ClassVar[str] = "performance"
    kind: ClassVar[MonitorKind] = "performance"

    def __init__(self, context: MonitorContext) -> None:
        super().__init__(context)
        self._rule = loss_rule(context)
        self._metrics: dict[str, WatchedMean] = {}
        self._own: dict[str, float] = {}
        self._timeline = Timeline()
        if self._rule is None:
            return
        own = reference_losses(context, self._rule)
        self._own = {metric: float(losses.mean()) for metric, losses in own.items()}
        settings = context.settings
        for metric in self._rule.metrics:
            bound = reference_bound(own[metric]) + settings.performance_slack if metric in own else None
            self._metrics[metric] = WatchedMean(bound, settings.performance_alpha / len(self._rule.metrics))

    def observe_labelled(self, rows: pa.Table) -> None:
        """Take in decisions with their `outcome`, each decision once, in order of arrival."""
        table = of_role(rows, "champion", self.context.version)
        if table.num_rows == 0 or self._rule is None:
            return
        losses, known = self._rule.losses(table)
        if known.size == 0:
            return
        times = times_us(table)[known]
        for metric, values in losses.items():
            self._metrics[metric].update(values)
            for minute, places in minutes(times):
                self._point(metric, minute, values[places].mean() * self._unit(metric), places.size)
        self._timeline.add(times)
        self.rows += known.size
        self.newest_us = max(self.newest_us, int(times.max()))

    def findings(self) -> list[Finding]:
        """One finding for each metric with rows."""
        return [self._of(metric, watched) for metric, watched in self._metrics.items() if watched.mean.rows]

    def _unit(self, metric: str) -> float:
        """What a loss of 1 is in the metric's own unit."""
        return self._rule.cap if self._rule is not None and metric == "absolute_error" else 1.0

    def _of(self, metric: str, watched: WatchedMean) -> Finding:
        unit, mean = self._unit(metric), watched.mean
        value, low, high = mean.mean * unit, mean.low * unit, mean.high * unit
        text = f"{_WORDS[metric]} {value:.4g} ({low:.4g} to {high:.4g}) over {mean.rows:,} outcomes"
        figures = {"recent": watched.recent * unit, "scale": unit}
        if watched.tolerated is None:
            text += "; the reference has no predictions with outcomes to compare with"
        else:
            figures |= {"tolerated": watched.tolerated * unit, "reference": self._own[metric] * unit}
            text += (
                f"; {figures['recent']:.4g} on the last {watched.recent_rows:,}, {figures['reference']:.4g}"
            )
            text += f" on the reference, tolerated {figures['tolerated']:.4g}"
        if watched.alarm:
            since = utc(self._timeline.time_of(watched.onset))
            text += f"; too high since about {since:%Y-%m-%d %H:%M} UTC, as outcomes {watched.onset + 1:,} to"
            text += f" {watched.alarm_row:,} prove"
        return self._finding(
            metric,
            rows=mean.rows,
            value=value,
            low=low,
            high=high,
            evidence=watched.evidence,
            threshold=watched.threshold,
            alarm=watched.alarm,
            text=f"{text}.",
            figures=figures,
        )

    def state(self) -> bytes:
        """All there is to go on from, given the same context."""
        metrics = {metric: watched.state() for metric, watched in self._metrics.items()}
        return msgspec.msgpack.encode(_State(self.rows, self.newest_us, self._timeline.state(), metrics))

    def restore(self, state: bytes) -> None:
        """Go on where `state` was taken; raise `Damaged` when it is not this monitor's state."""
        kept: _State = decode(state, _State, self.name)
        if set(kept.metrics) != set(self._metrics):
            raise Damaged(
                "a monitor's state is about other metrics", field=self.name, found=sorted(kept.metrics)
            )
        self.rows, self.newest_us = kept.rows, kept.newest_us
        self._timeline = Timeline.from_state(kept.timeline)
        for metric, watched in self._metrics.items():
            watched.restore(kept.metrics[metric])
