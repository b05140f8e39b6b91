"""The few loops that numpy cannot do fast, in C++.

What comes in: contiguous numpy arrays of the exact type that a loop wants, some of them state that the loop
updates in place. What goes out: numbers and filled arrays, the same bits on every machine (no fused
multiply-add, no libm logarithm). It must never allocate per row, keep state of its own, or know what its
numbers mean: `stats` does.
"""

from tsavo.kernels._native import (
    RISK_BETS,
    UNIFORM_BETS,
    accumulate_variance,
    bet_on_risk,
    bet_on_uniform,
    bin_values,
    conformal_p_values,
)

__all__ = [
    "RISK_BETS",
    "UNIFORM_BETS",
    "accumulate_variance",
    "bet_on_risk",
    "bet_on_uniform",
    "bin_values",
    "conformal_p_values",
]
