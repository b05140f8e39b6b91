"""What every e-process here has in common: stakes on a few bets, laid down over time.

Bet j multiplies its stakes by a factor e_t >= 0 at row t whose mean, given the past, is at most one while the
null hypothesis holds. A prior over start rows (sum of w_t = 1) lays down w_t at row t on each bet, so ``M <-
(M + w_t) e_t``. The evidence is the wealth of all stakes averaged over bets, plus what is not staked yet: a
non-negative supermartingale that starts at one. By Ville's inequality the chance that it *ever* reaches
1/alpha is at most alpha, so it may be looked at after every row, for ever. A change at row t costs only about
log(1/w_t) of evidence.

The prior is w_t = 3 / ((k + 3)(k + 4) 2^k) for t in [2^k, 2^(k+1)): a tail as heavy as that of the usual
1/log t, in closed form and without a logarithm, so that every machine computes the same bits.

References
----------
Ville (1939), Étude critique de la notion de collectif. Shafer (2021), Testing by betting, JRSS A 184(2).
Shin, Ramdas & Rinaldo (2023), E-detectors: a nonparametric framework for sequential change detection.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.vocabulary import Damaged, Invalid

__all__ = ["EProcess", "WealthState", "check_alpha", "decode_state"]

Floats = npt.NDArray[np.float64]
Answer = tuple[float, float, int, int]


class WealthState(msgspec.Struct, frozen=True, array_like=True):
    """An e-process at rest; arrays are little-endian float64."""

    alpha: float
    rows: int
    evidence: float
    max_evidence: float
    alarm_row: int
    alarm_onset: int
    wealth: bytes
    cusum: bytes
    start: list[int]


class EProcess:
    """Evidence against a null hypothesis, valid at every moment. See the module head for the guarantee.

    Attributes
    ----------
    alpha
        Error budget: the largest chance that `alarm` ever becomes true while the null hypothesis holds.
    rows
        Rows seen.
    evidence, max_evidence
        The present e-value and the largest so far; both 1 before the first row, at most 1e300.
    alarm_row
        The row (from 1) at which the evidence first reached 1/alpha, or ``None``.
    """

    def __init__(self, bets: int, alpha: float) -> None:
        self.alpha = check_alpha(alpha)
        self.rows = 0
        self.evidence = 1.0
        self.max_evidence = 1.0
        self.alarm_row: int | None = None
        self._alarm_onset = 0
        self._wealth = np.zeros(bets)
        self._cusum = np.zeros(bets)
        self._start = np.zeros(bets)

    @property
    def threshold(self) -> float:
        """The evidence at which it alarms: 1/alpha."""
        return 1.0 / self.alpha

    @property
    def alarm(self) -> bool:
        """Whether the evidence has ever reached the threshold."""
        return self.alarm_row is not None

    @property
    def onset(self) -> int | None:
        """The row at which the winning bet began to win: a point estimate of when the change began.

        It is the last zero of the CUSUM of the bet with the most wealth (Page 1954), taken at the alarm and
        kept from then on; before an alarm it is only where the leading bet stands now. ``None`` before the
        first row.
        """
        if self.alarm_row is not None:
            return self._alarm_onset
        return int(self._start[int(np.argmax(self._wealth))]) if self.rows else None

    def _take(self, answer: Answer, rows: int) -> None:
        """Take over what a kernel said about `rows` new rows."""
        self.evidence, highest, alarm_row, onset = answer
        self.max_evidence = max(self.max_evidence, highest)
        if self.alarm_row is None and alarm_row:
            self.alarm_row, self._alarm_onset = alarm_row, onset
        self.rows += rows

    def _wealth_state(self) -> WealthState:
        return WealthState(
            alpha=self.alpha,
            rows=self.rows,
            evidence=self.evidence,
            max_evidence=self.max_evidence,
            alarm_row=self.alarm_row or 0,
            alarm_onset=self._alarm_onset,
            wealth=self._wealth.astype("<f8").tobytes(),
            cusum=self._cusum.astype("<f8").tobytes(),
            start=self._start.astype(np.int64).tolist(),
        )

    def _restore_wealth(self, state: WealthState) -> None:
        self.rows = state.rows
        self.evidence = state.evidence
        self.max_evidence = state.max_evidence
        self.alarm_row = state.alarm_row or None
        self._alarm_onset = state.alarm_onset
        arrays = (
            np.frombuffer(state.wealth, "<f8").astype(np.float64),
            np.frombuffer(state.cusum, "<f8").astype(np.float64),
            np.array(state.start, dtype=np.float64),
        )
        if any(array.size != self._wealth.size for array in arrays):
            raise Damaged("a statistic's state is not whole", found=[array.size for array in arrays])
        self._wealth, self._cusum, self._start = arrays


def check_alpha(alpha: float) -> float:
    """Return `alpha`, or raise `Invalid` when it is not between 0 and 1."""
    if not 0.0 < alpha < 1.0:
        raise Invalid("not an error budget", field="alpha", found=alpha, expected="a number between 0 and 1")
    return float(alpha)


def decode_state(data: bytes, kind: type[Any]) -> Any:
    """Read a statistic's state; raise `Damaged` when it is not one."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Damaged("a statistic's state cannot be read", found=str(error)) from error
