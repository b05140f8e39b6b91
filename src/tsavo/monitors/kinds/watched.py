"""A rate or loss between 0 and 1 under watch: where its mean is, and evidence that it is too high."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.monitors.kinds.recent import RecentState, RecentSums
from tsavo.stats import MeanConfidenceSequence, RiskEProcess

__all__ = ["WatchedMean", "WatchedState", "reference_bound"]

_INTERVAL_ALPHA = 0.05


class WatchedState(msgspec.Struct, frozen=True, array_like=True):
    """A watched mean at rest."""

    mean: bytes
    risk: bytes | None
    recent: RecentState


class WatchedMean:
    """Interval, evidence against ``E[loss | past] <= tolerated``, and recent mean of a loss in [0, 1].

    Parameters
    ----------
    tolerated
        ``None`` when nothing is known to compare with: then there is no evidence and never an alarm.
    alpha
        Error budget of the alarm; the interval has one of 0.05.
    """

    def __init__(self, tolerated: float | None, alpha: float) -> None:
        self.tolerated = None if tolerated is None else min(max(tolerated, 1e-6), 1.0 - 1e-6)
        self.mean = MeanConfidenceSequence(alpha=_INTERVAL_ALPHA)
        self.risk = None if self.tolerated is None else RiskEProcess(self.tolerated, alpha=alpha)
        self._recent = RecentSums(2)

    def update(self, losses: npt.NDArray[np.float64]) -> None:
        """Take in `losses` [n], in order."""
        summands = np.column_stack([losses, np.ones(losses.size)])
        self._recent.add(self.mean.rows, losses.size, lambda piece: summands[piece])
        self.mean.update(losses)
        if self.risk is not None:
            self.risk.update(losses)

    @property
    def recent(self) -> float:
        """The mean over the latest 2,048 to 4,096 rows; NaN before the first."""
        total, rows = self._recent.total
        return float(total / rows) if rows else float("nan")

    @property
    def recent_rows(self) -> int:
        """Over how many rows `recent` is."""
        return int(self._recent.total[1])

    @property
    def alarm(self) -> bool:
        """Whether the evidence has ever reached the threshold."""
        return self.risk is not None and self.risk.alarm

    @property
    def alarm_row(self) -> int:
        """The row at which it first alarmed; 0 before."""
        return 0 if self.risk is None else self.risk.alarm_row or 0

    @property
    def evidence(self) -> float | None:
        """The present e-value, where there is something to compare with."""
        return None if self.risk is None else self.risk.evidence

    @property
    def threshold(self) -> float | None:
        """The evidence at which it alarms."""
        return None if self.risk is None else self.risk.threshold

    @property
    def onset(self) -> int:
        """About which row (from 1) the excess began."""
        return (self.risk.onset if self.risk is not None else None) or 1

    def state(self) -> WatchedState:
        """All there is to go on from."""
        risk = None if self.risk is None else self.risk.state_bytes()
        return WatchedState(self.mean.state_bytes(), risk, self._recent.state())

    def restore(self, state: WatchedState) -> None:
        """Go on where `state` was taken, under the limit that held then."""
        self.mean = MeanConfidenceSequence.from_bytes(state.mean)
        self.risk = None if state.risk is None else RiskEProcess.from_bytes(state.risk)
        self.tolerated = None if self.risk is None else self.risk.tolerated
        self._recent = RecentSums.from_state(state.recent)


def reference_bound(losses: npt.NDArray[np.float64]) -> float:
    """The upper end of the interval (0.05) for the mean of `losses` [n] on the reference."""
    sequence = MeanConfidenceSequence(alpha=_INTERVAL_ALPHA)
    sequence.update(losses)
    return sequence.high
