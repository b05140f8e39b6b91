"""Drift of one column away from its reference."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo import kernels
from tsavo.stats.betting import EProcess, WealthState, decode_state
from tsavo.stats.conformal import ConformalPValues, ConformalState

__all__ = ["DriftEProcess"]


class _State(msgspec.Struct, frozen=True, array_like=True, tag="drift-1"):
    wealth: WealthState
    ranks: ConformalState


class DriftEProcess(EProcess):
    """Evidence that a column's stream is not exchangeable with its reference.

    Definition: conformal p-values in a growing bag (`ConformalPValues`) are uniform as long as nothing
    changes. Ten bets are laid on their being otherwise: on location, ``1 ± λ(2p - 1)``, and on spread, ``1 ±
    λ(3(2p - 1)² - 1)/2``, mixed over λ and over the row at which the change begins (`betting`).

    Guarantee: when reference and stream are exchangeable, the chance that `alarm` ever becomes true is at
    most `alpha`, however often it is looked at and however long it runs.

    Assumes: exchangeability under the null hypothesis. Rows with a daily cycle, a trend or autocorrelation
    are not exchangeable with a shuffled reference, and an alarm then says so: true, though perhaps not news.

    Costs: about 50 ns a row; about 1.2 KB of state.

    References
    ----------
    Vovk, Nouretdinov & Gammerman (2003), Testing exchangeability on-line, ICML. Vovk (2021), Testing
    randomness online, Statistical Science 36(4). Shin, Ramdas & Rinaldo (2023), E-detectors.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> drift = DriftEProcess.numeric(rng.normal(size=5_000), alpha=0.01, seed=1)
    >>> drift.update(rng.normal(size=2_000))
    >>> drift.alarm
    False
    >>> drift.update(rng.normal(loc=0.5, size=1_000))
    >>> drift.alarm, 2_000 < drift.alarm_row < 2_250, abs(drift.onset - 2_000) < 100
    (True, True, True)
    >>> restored = DriftEProcess.from_bytes(drift.state_bytes())
    >>> restored.evidence == drift.evidence
    True
    """

    def __init__(self, ranks: ConformalPValues, alpha: float) -> None:
        super().__init__(kernels.UNIFORM_BETS, alpha)
        self._ranks = ranks

    @classmethod
    def numeric(
        cls, reference: npt.ArrayLike, *, alpha: float = 0.01, bins: int = 128, seed: int
    ) -> DriftEProcess:
        """Watch a column of numbers against `reference` [n]; NaN is missing and counts as a value of its own.

        Parameters
        ----------
        alpha
            Error budget, between 0 and 1.
        bins
            At most so many intervals, 3 to 4096.
        seed
            Of the draws that break ties and choose the rows that cut the bins, 0 to 2**64 - 1.

        Raises
        ------
        Invalid
            When the reference is empty or not a column of numbers, or a parameter is out of range.
        """
        return cls(ConformalPValues.numeric(reference, bins=bins, seed=seed), alpha)

    @classmethod
    def categorical(
        cls, reference: npt.ArrayLike, *, alpha: float = 0.01, bins: int = 128, seed: int
    ) -> DriftEProcess:
        """Watch a column of integer codes or strings against `reference` [n].

        Parameters and errors as `numeric`. Negative codes, ``None`` and NaN are missing. The `bins` - 2 most
        frequent categories have a bin each, all others share one, and so does whatever never occurred.
        """
        return cls(ConformalPValues.categorical(reference, bins=bins, seed=seed), alpha)

    def update(self, values: npt.ArrayLike) -> None:
        """Take in `values` [n], in order. How they are cut into batches makes no difference to any bit."""
        self._bet(values, None)

    def trace(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """As `update`, and return the evidence [n] after each row."""
        trace = np.empty(np.shape(values)[0] if np.ndim(values) else 0)
        self._bet(values, trace)
        return trace

    def _bet(self, values: npt.ArrayLike, trace: npt.NDArray[np.float64] | None) -> None:
        p = self._ranks.next(values)
        answer = kernels.bet_on_uniform(
            p, self.rows, self.evidence, self.threshold, self._wealth, self._cusum, self._start, trace
        )
        self._take(answer, p.size)

    def state_bytes(self) -> bytes:
        """All there is to go on from, about 1.2 KB."""
        return msgspec.msgpack.encode(_State(self._wealth_state(), self._ranks.state()))

    @classmethod
    def from_bytes(cls, data: bytes) -> DriftEProcess:
        """Go on where `state_bytes` was taken; raise `Damaged` when `data` is not such a state."""
        state: _State = decode_state(data, _State)
        process = cls(ConformalPValues.from_state(state.ranks), state.wealth.alpha)
        process._restore_wealth(state.wealth)
        return process
