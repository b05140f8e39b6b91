"""Comparison: a challenger against the champion on the very same decisions."""

from __future__ import annotations

from typing import ClassVar, Final, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsavo.monitors.kinds.columns import decode, flat, of_role, times_us
from tsavo.monitors.kinds.context import BaseMonitor, MonitorContext
from tsavo.monitors.kinds.losses import loss_rule
from tsavo.stats import MeanConfidenceSequence
from tsavo.vocabulary import Damaged, Finding, MonitorKind, VersionRef

__all__ = ["ComparisonMonitor"]

Verdict: TypeAlias = Literal["better", "worse", "not yet"]

# Losses that wait for the other side of their pair; the oldest are given up first.
_WAITING: Final = 5_000


class _Side(msgspec.Struct, array_like=True):
    """Losses by decision that have not met their counterpart."""

    decisions: list[str] = []
    times: list[int] = []
    losses: dict[str, list[float]] = {}

    def add(self, other: _Side) -> None:
        self.decisions = self.decisions + other.decisions
        self.times = self.times + other.times
        self.losses = {
            metric: self.losses.get(metric, []) + other.losses.get(metric, [])
            for metric in {**self.losses, **other.losses}
        }

    def keep(self, places: npt.NDArray[np.int64]) -> None:
        at = places[-_WAITING:].tolist()
        self.decisions = [self.decisions[i] for i in at]
        self.times = [self.times[i] for i in at]
        self.losses = {metric: [values[i] for i in at] for metric, values in self.losses.items()}


class _DuelState(msgspec.Struct, frozen=True, array_like=True):
    difference: dict[str, bytes]
    totals: dict[str, tuple[float, float]]
    champion: _Side
    challenger: _Side


class _State(msgspec.Struct, frozen=True, array_like=True, tag="comparison-1"):
    rows: int
    newest_us: int
    duels: dict[str, _DuelState]


class _Duel:
    """One challenger against the champion: paired differences, challenger's loss less champion's."""

    def __init__(self, metrics: tuple[str, ...], alpha: float) -> None:
        self.differences = {
            metric: MeanConfidenceSequence(alpha=alpha / len(metrics), support=(-1.0, 1.0))
            for metric in metrics
        }
        self.totals = dict.fromkeys(metrics, (0.0, 0.0))
        self.champion = _Side()
        self.challenger = _Side()

    def pair(self, champion: _Side, challenger: _Side) -> npt.NDArray[np.int64]:
        """Take in both sides' new losses, pair what can be paired; return the pairs' times [n]."""
        self.champion.add(champion)
        self.challenger.add(challenger)
        ours = pa.array(self.champion.decisions, pa.string())
        theirs = pa.array(self.challenger.decisions, pa.string())
        place = pc.fill_null(pc.index_in(ours, value_set=theirs), -1).to_numpy(zero_copy_only=False)
        first = np.flatnonzero(place >= 0)
        second = place[first]
        for metric, difference in self.differences.items():
            # A metric that one side lacks (no probabilities, say) is not compared.
            a, b = self.champion.losses.get(metric, []), self.challenger.losses.get(metric, [])
            if len(a) == len(self.champion.decisions) and len(b) == len(self.challenger.decisions):
                mine, other = np.array(a, dtype=np.float64)[first], np.array(b, dtype=np.float64)[second]
                difference.update(other - mine)
                before = self.totals[metric]
                self.totals[metric] = (before[0] + float(mine.sum()), before[1] + float(other.sum()))
        times = np.array(self.champion.times, dtype=np.int64)[first]
        self.champion.keep(np.flatnonzero(place < 0))
        self.challenger.keep(np.setdiff1d(np.arange(len(theirs)), second))
        return times

    def state(self) -> _DuelState:
        differences = {metric: sequence.state_bytes() for metric, sequence in self.differences.items()}
        return _DuelState(differences, self.totals, self.champion, self.challenger)

    def restore(self, state: _DuelState) -> None:
        self.differences = {
            metric: MeanConfidenceSequence.from_bytes(data) for metric, data in state.difference.items()
        }
        self.totals = dict(state.totals)
        self.champion, self.challenger = state.champion, state.challenger


class ComparisonMonitor(BaseMonitor):
    """Each shadow challenger against the champion, on decisions that both scored and whose outcome is known.

    The paired difference of losses (challenger's less champion's, `losses` says how they are computed) has an
    interval that holds at every look; the budget is shared evenly between metrics. The verdict is "better" or
    "worse" as soon as the interval leaves zero out, else "not yet", with about how many more decisions that
    would take.

    Assumes: the challenger gives the same classes as the champion, in the same order. Nothing about
    independence.

    `rows` counts pairs over all challengers. Records of the two sides may come in different batches; a loss
    waits for its counterpart until 5,000 newer ones wait.
    """

    name: ClassVar[str] = "comparison"
    kind: ClassVar[MonitorKind] = "comparison"

    def __init__(self, context: MonitorContext) -> None:
        super().__init__(context)
        self._rule = loss_rule(context)
        self._duels: dict[str, _Duel] = {}
        self._expect()

    def observe(self, decisions: pa.Table) -> None:
        """Learn which challengers there are, so that the champion's first losses wait for theirs."""
        for ref in _challengers(decisions):
            self._duel(ref)

    def observe_labelled(self, rows: pa.Table) -> None:
        """Take in decisions of all roles with their `outcome`, each once, in order of arrival."""
        if self._rule is None:
            return
        self.observe(rows)
        if not self._duels:
            return
        champion = self._side(of_role(rows, "champion", self.context.version))
        for name, duel in self._duels.items():
            times = duel.pair(champion, self._side(of_role(rows, "shadow", VersionRef.parse(name))))
            if times.size:
                self.rows += times.size
                self.newest_us = max(self.newest_us, int(times.max()))
                for metric, difference in duel.differences.items():
                    if difference.rows:
                        self._interval_point(f"{name} {metric}", int(times.max()), difference, times.size)

    def _interval_point(self, subject: str, time: int, difference: MeanConfidenceSequence, rows: int) -> None:
        unit = self._unit()
        self._point(subject, time // 60_000_000, difference.mean * unit, rows)
        last = self._points[-1]
        self._points[-1] = msgspec.structs.replace(
            last, low=difference.low * unit, high=difference.high * unit
        )

    def findings(self) -> list[Finding]:
        """One finding for each challenger and metric with pairs."""
        return [
            self._of(name, metric, difference, duel.totals[metric])
            for name, duel in self._duels.items()
            for metric, difference in reversed(duel.differences.items())
            if difference.rows
        ]

    def _of(
        self, name: str, metric: str, difference: MeanConfidenceSequence, totals: tuple[float, float]
    ) -> Finding:
        unit, rows = self._unit(), difference.rows
        value, low, high = difference.mean * unit, difference.low * unit, difference.high * unit
        verdict: Verdict = "better" if high < 0 else "worse" if low > 0 else "not yet"
        more = difference.rows_to_exclude(0.0)
        text = f"{name} against {self.context.version} on the same {rows:,} decisions: "
        text += f"{metric.replace('_', ' ')} {value:+.4g} ({low:+.4g} to {high:+.4g}), "
        if verdict != "not yet":
            text += verdict
        elif more is None:
            text += "no difference in sight"
        else:
            text += f"not yet decided, about {more:,} more decisions if this goes on"
        return self._finding(
            f"{name} {metric}",
            rows=rows,
            value=value,
            low=low,
            high=high,
            text=f"{text}.",
            figures={
                "challenger": name,
                "metric": metric,
                "verdict": verdict,
                "more_decisions": more,
                "champion_mean": totals[0] / rows * unit,
                "challenger_mean": totals[1] / rows * unit,
            },
        )

    def state(self) -> bytes:
        """All there is to go on from, given the same context."""
        duels = {name: duel.state() for name, duel in self._duels.items()}
        return msgspec.msgpack.encode(_State(self.rows, self.newest_us, duels))

    def restore(self, state: bytes) -> None:
        """Go on where `state` was taken; raise `Damaged` when it is not this monitor's state."""
        kept: _State = decode(state, _State, self.name)
        self.rows, self.newest_us = kept.rows, kept.newest_us
        self._duels = {}
        for name, duel in kept.duels.items():
            if self._rule is None or set(duel.difference) != set(self._rule.metrics):
                raise Damaged(
                    "a monitor's state is about other metrics", field=self.name, found=sorted(duel.difference)
                )
            self._duel(name).restore(duel)
        self._expect()

    def _expect(self) -> None:
        """Wait for the known challenger from the start."""
        if self.context.challenger is not None and self._rule is not None:
            self._duel(str(self.context.challenger))

    def _duel(self, name: str) -> _Duel:
        if name not in self._duels:
            metrics = self._rule.metrics if self._rule is not None else ("none",)
            self._duels[name] = _Duel(metrics, self.context.settings.comparison_alpha)
        return self._duels[name]

    def _side(self, table: pa.Table) -> _Side:
        if self._rule is None or table.num_rows == 0:
            return _Side()
        losses, known = self._rule.losses(table)
        ids = flat(table.column("decision_id")).take(pa.array(known)).to_pylist()
        times = times_us(table)[known].tolist()
        return _Side(ids, times, {metric: values.tolist() for metric, values in losses.items()})

    def _unit(self) -> float:
        return self._rule.cap if self._rule is not None and "absolute_error" in self._rule.metrics else 1.0


def _challengers(table: pa.Table) -> list[str]:
    """The versions that have shadow rows in `table`, as text, sorted."""
    shadows = of_role(table, "shadow").select(["model", "version"])
    found = shadows.group_by(["model", "version"]).aggregate([])
    return sorted(str(VersionRef(row["model"], row["version"])) for row in found.to_pylist())
