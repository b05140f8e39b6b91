"""Risk: evidence that the average loss is above what is tolerated."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo import kernels
from tsavo.stats.betting import EProcess, WealthState, decode_state
from tsavo.stats.binning import as_numbers
from tsavo.vocabulary import Invalid

__all__ = ["RiskEProcess", "check_unit_interval"]

# Each bet expects the odds of a loss to be so many times the tolerated odds.
_ODDS: Final = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


class _State(msgspec.Struct, frozen=True, array_like=True, tag="risk-1"):
    tolerated: float
    wealth: WealthState


class RiskEProcess(EProcess):
    """Evidence that a loss in [0, 1] has a conditional mean above a tolerated one.

    Definition: the null hypothesis is ``E[loss_t | past] <= tolerated`` at every row t. Eight bets multiply
    their stake by ``1 + λ(loss - tolerated)``, with λ such that for a 0/1 loss the factor is the likelihood
    ratio of odds 1.1 to 30 times the tolerated ones; mixed over λ and over the row at which the excess begins
    (`betting`).

    Guarantee: while the null hypothesis holds, the chance that `alarm` ever becomes true is at most `alpha`,
    however often it is looked at.

    Assumes: losses in [0, 1]. No independence: the losses may be a time series.

    Parameters
    ----------
    tolerated
        Between 0 and 1, both excluded.
    alpha
        Error budget, between 0 and 1.

    References
    ----------
    Waudby-Smith & Ramdas (2024), Estimating means of bounded random variables by betting, JRSS B 86(1).
    Podkopaev & Ramdas (2022), Tracking the risk of a deployed model and detecting harmful distribution
    shifts, ICLR.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> risk = RiskEProcess(tolerated=0.12, alpha=0.01)
    >>> risk.update(rng.random(5_000) < 0.10)
    >>> risk.alarm
    False
    >>> risk.update(rng.random(2_000) < 0.20)
    >>> risk.alarm, 5_000 < risk.alarm_row < 5_500
    (True, True)
    """

    def __init__(self, tolerated: float, *, alpha: float = 0.01) -> None:
        super().__init__(kernels.RISK_BETS, alpha)
        if not 0.0 < tolerated < 1.0:
            raise Invalid(
                "not a risk", field="tolerated", found=tolerated, expected="a number between 0 and 1"
            )
        self.tolerated = float(tolerated)
        odds = np.array(_ODDS)
        self._stakes = (odds - 1.0) / (1.0 - self.tolerated + self.tolerated * odds)

    def update(self, losses: npt.ArrayLike) -> None:
        """Take in `losses` [n] between 0 and 1, in order; raise `Invalid` (and take none) when one is not."""
        values = check_unit_interval(losses)
        answer = kernels.bet_on_risk(
            values,
            self.tolerated,
            self._stakes,
            self.rows,
            self.evidence,
            self.threshold,
            self._wealth,
            self._cusum,
            self._start,
        )
        self._take(answer, values.size)

    def state_bytes(self) -> bytes:
        """All there is to go on from, about 250 bytes."""
        return msgspec.msgpack.encode(_State(self.tolerated, self._wealth_state()))

    @classmethod
    def from_bytes(cls, data: bytes) -> RiskEProcess:
        """Go on where `state_bytes` was taken; raise `Damaged` when `data` is not such a state."""
        state: _State = decode_state(data, _State)
        process = cls(state.tolerated, alpha=state.wealth.alpha)
        process._restore_wealth(state.wealth)
        return process


def check_unit_interval(losses: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """`losses` as float64 [n]; raise `Invalid` when one is NaN or outside [0, 1]."""
    values = as_numbers(losses)
    bad = ~((values >= 0.0) & (values <= 1.0))
    if bad.any():
        raise Invalid(
            "not a loss", field="losses", found=float(values[bad][0]), expected="numbers from 0 to 1"
        )
    return values
